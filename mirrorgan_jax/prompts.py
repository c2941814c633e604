"""Captions that people type: what the networks see of them, and what they do not."""

import difflib
from typing import NamedTuple

from mirrorgan_jax import text


class Caption(NamedTuple):
    """A caption as the networks see it.

    Attributes:
      text: as it was given.
      words: the words that are used, all of them known.
      unknown: words of the text that the vocabulary does not have, each once.
      cut: known words beyond the longest caption.
    """

    text: str
    words: list
    unknown: list
    cut: list


def read(captions, vocab, *, num_words, names=None):
    """Captions as the networks see them.

    Args:
      captions: strings.
      vocab: `text.Vocabulary`.
      num_words: T, words of the longest caption.
      names: what each is called in errors; None: "caption 1" and so on.

    Returns:
      list of `Caption`.

    Raises:
      ValueError: a caption has no word, or none that the vocabulary has; there is no
        caption, or one string in place of a list.
    """
    if isinstance(captions, str) or not len(captions):
        raise ValueError(f"captions = {captions!r}: allowed is a list of strings")
    names = names or [f"caption {i}" for i in range(1, len(captions) + 1)]
    found = []
    for name, caption in zip(names, captions, strict=True):
        words = text.tokenize(caption)
        if not words:
            raise ValueError(f"{name} is empty: {caption!r} has no word")
        known = [word for word in words if word in vocab]
        unknown = [w for w in dict.fromkeys(words) if w not in vocab]
        if not known:
            raise ValueError(
                f"{name} has no known word: the vocabulary of {len(vocab)} words lacks"
                f" {', '.join(map(repr, unknown))}"
            )
        found.append(Caption(caption, known[:num_words], unknown, known[num_words:]))
    return found


def remarks(caption, vocab):
    """Sentences about words of a `Caption` that the networks do not see."""
    lines = []
    for word in caption.unknown:
        near = difflib.get_close_matches(word, vocab.words[1:], n=3)
        hint = f"; near it are {', '.join(near)}" if near else ""
        lines.append(f"unknown word {word!r} is left out{hint}")
    if caption.cut:
        lines.append(
            f"a caption has at most {len(caption.words)} words:"
            f" {' '.join(caption.cut)!r} is cut off"
        )
    return lines
