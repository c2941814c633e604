"""Mirror accuracy: which attributes survive text -> image -> redescription?

The paper's thesis is that an image which matches its text is redescribed as that
text. Where captions can be parsed this is measured, attribute by attribute, with the
STREAM that taught the generator and with a captioner that it never saw: a generator
that only games its STREAM is told by the gap between the two.
"""

import numpy as np


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
