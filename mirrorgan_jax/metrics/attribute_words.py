"""Attribute words: what a captioner would choose at the caption's own words.

Redescriptions need not speak of what was asked. Under teacher forcing a captioner has
to choose at each attribute word of the caption, after the words before it, so that all
captioners are asked the same questions.
"""

import numpy as np

from mirrorgan_jax.metrics import mirror
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "Attribute words"


def word_choices(log_probs, groups):
    """Which of several meanings a captioner gives a word.

    Args:
      log_probs: [n, V] log-probabilities of the word at n places.
      groups: one list of token ids for each meaning: its synonyms.

    Returns:
      [n] int: the meaning with the largest probability, its synonyms' added.
    """
    log_probs = np.asarray(log_probs, np.float64)
    if log_probs.ndim != 2 or not all(len(group) for group in groups):
        raise ValueError(
            f"log_probs has shape {log_probs.shape} and groups have"
            f" {[len(group) for group in groups]} ids: allowed are [n, V] and 1 or more"
        )
    weights = np.stack(
        [np.exp(log_probs[:, list(group)]).sum(1) for group in groups], 1
    )
    return weights.argmax(1)


def words_right(observed, log_probs):
    """Share of the captions' attribute words that the captioner would choose too.

    Args:
      observed: the `Observed`.
      log_probs: [n, T, V] of the words of the first n captions.

    Raises:
      ValueError: the captions hold no attribute word.
    """
    truth, vocab = observed.truth, observed.vocab
    # Token ids of each value of an attribute, among the words of the vocabulary.
    groups = {
        attribute: [
            [vocab.id(word) for word in truth.synonyms[value] if word in vocab]
            for value in values
        ]
        for attribute, values in truth.values.items()
    }
    right = total = 0
    for tokens, scores in zip(observed.tokens, log_probs, strict=False):
        for mention in truth.find(vocab.decode(tokens).split()):
            meanings = groups[mention.attribute]
            if not all(meanings):
                continue  # a value that no caption of this data set names
            choice = word_choices(scores[mention.position][None], meanings)[0]
            right += truth.values[mention.attribute][choice] == mention.value
            total += 1
    if not total:
        raise ValueError("the captions hold no attribute word: nothing can be chosen")
    return right / total


def measure(observed: Observed) -> results.Result | None:
    """Share of the captions' attribute words that every captioner would choose, in %.

    Returns:
      None where no truth is known, or no captioner.

    Raises:
      ValueError: the captions hold no attribute word, or every captioner is refused.
    """

    def right(values):
        return {"words": 100 * words_right(observed, values["log_probs"])}

    return mirror.judged(
        observed,
        TITLE,
        ("words",),
        right,
        does="chooses",
        protocol={
            "words": "at the caption's own attribute words, after the words before"
            " them, the share of values that the captioner would choose",
        },
    )
