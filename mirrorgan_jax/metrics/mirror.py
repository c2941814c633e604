"""Mirror accuracy: which attributes survive text -> image -> redescription?

The paper's thesis is that an image which matches its text is redescribed as that
text. Where captions can be parsed this is measured, attribute by attribute, with the
STREAM that taught the generator and with a captioner that it never saw: a generator
that only games its STREAM is told by the gap between the two.
"""

import numpy as np

from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "Mirror accuracy"
_COLUMNS = ("survived", "contradicted", "unsaid", "agreement", "words")


def survival(asked, said):
    """What redescriptions keep of what captions asked for.

    Args:
      asked: one {attribute: value} a caption.
      said: one {attribute: value} a redescription, in the same order.

    Returns:
      dict of fractions of all that was asked: `survived` (said again), `contradicted`
      (said with another value), `unsaid`; `agreement`, the share that survived of what
      both speak of (NaN if there is none); and `mentions`, how many were asked.

    Raises:
      ValueError: the lists differ in length, or nothing was asked.
    """
    if len(asked) != len(said):
        raise ValueError(f"{len(asked)} captions and {len(said)} redescriptions")
    survived = contradicted = mentions = 0
    for wanted, found in zip(asked, said, strict=True):
        mentions += len(wanted)
        for name, value in wanted.items():
            if name in found:
                survived += found[name] == value
                contradicted += found[name] != value
    if not mentions:
        raise ValueError("the captions mention no attribute: nothing can survive")
    both = survived + contradicted
    return {
        "survived": survived / mentions,
        "contradicted": contradicted / mentions,
        "unsaid": 1 - both / mentions,
        "agreement": survived / both if both else float("nan"),
        "mentions": mentions,
    }


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


def _stated(observed, ids):
    """{attribute: value} of what token ids say."""
    said = observed.truth.find(observed.vocab.decode(ids))
    return {mention.attribute: mention.value for mention in said}


def _words_right(observed, log_probs):
    """Share of the captions' attribute words that the captioner would choose too."""
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
    return right / total if total else float("nan")


def measure(observed: Observed) -> results.Result | None:
    """What every captioner's redescriptions keep of the captions, in %.

    Returns:
      None where no truth is known, or no captioner.

    Raises:
      ValueError: the captions mention no attribute.
    """
    found = observed.redescriptions
    if observed.truth is None or not found:
        return None
    asked = [_stated(observed, tokens) for tokens in observed.tokens]

    def kept(ids):
        said = [
            _stated(observed, redescribed[:length])
            for redescribed, length in zip(ids, observed.length, strict=False)
        ]
        values = survival(asked[: len(said)], said)
        return {name: 100 * values[name] for name in _COLUMNS[:-1]}

    rows = {}
    for judge, sides in found.items():
        for images, values in sides.items():
            words = 100 * _words_right(observed, values["log_probs"])
            rows[results.Source(images, judge)] = results.Row(
                {**kept(values["ids"]), "words": words}
            )
    judge = next(iter(found))
    # Log-probabilities follow the captions they were made with: no value of "words".
    rows[results.Source("generated from other captions", judge)] = results.Row(
        kept(found[judge]["generated"]["ids"][observed.mismatched])
    )
    return results.Result(
        title=TITLE,
        unit="%",
        better="higher",
        protocol=_protocol(observed),
        columns=_COLUMNS,
        rows=rows,
    )


def _protocol(observed):
    said = ", ".join(
        f"{name} {values['matched']:.2f} on matched and {values['shuffled']:.2f} on"
        " shuffled real images"
        for name, values in observed.cross_entropies.items()
    )
    return {
        **observed.counts(),
        "redescription": "greedy, as many words as the caption, both parsed",
        "survived, contradicted, unsaid": "shares of the attributes asked for that are"
        " said again, said with another value, not said",
        "agreement": "of what both speak of, the share that agrees",
        "words": "at the caption's own attribute words, after the words before them,"
        " the share of values that the captioner would choose",
        "held-out captioner": "another trunk and seed, and no generator has seen it",
        "cross entropies": f"nats a word, {said}",
    }
