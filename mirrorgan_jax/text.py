"""Words: the tokeniser rule, the vocabulary and the captions that people type.

Paper section 4.1, AttnGAN's rule. Token id 0 is `<end>`, which doubles as padding.
Standard library only.
"""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

END = "<end>"
_WORD = re.compile(r"\w+")


def _strings(caption: str) -> list[str]:
    # Real caption files hold pairs of U+FFFD where a word break was lost.
    return _WORD.findall(caption.replace("\ufffd\ufffd", " ").lower())


def tokenize(caption: str) -> list[str]:
    r"""Words of a caption: runs of `\w`, lower case, ASCII characters only.

    A character outside ASCII is dropped from its word and a word that loses all its
    characters is dropped, so a caption may give no words at all.
    """
    words = (w.encode("ascii", "ignore").decode() for w in _strings(caption))
    return [w for w in words if w]


def split_captions(content: str, limit: int | None = None) -> list[str]:
    r"""The captions of a text file, one a line, at most the first `limit`.

    A line without any `\w` character (blank, or punctuation only) is no caption and
    does not count. A line that has one counts, even when nothing of it is ASCII.
    """
    captions = [line for line in content.split("\n") if _strings(line)]
    return captions if limit is None else captions[:limit]


def keep_words(ids: Sequence[int], positions: Iterable[int]) -> list[int]:
    """The words at `positions`, in the order of the caption.

    Args:
      ids: token ids of one caption.
      positions: distinct positions within the caption, in any order.
    """
    return [ids[p] for p in sorted(positions)]


def pad(ids: Sequence[int], num_words: int) -> list[int]:
    """`ids` followed by zeros up to `num_words`; a longer caption is refused."""
    if len(ids) > num_words:
        raise ValueError(
            f"caption of {len(ids)} words; at most {num_words} are allowed"
        )
    return list(ids) + [0] * (num_words - len(ids))


class Vocabulary:
    """Words and their ids; `words[0]` is `<end>`."""

    def __init__(self, words: Sequence[str]):
        if not words or words[0] != END:
            raise ValueError(f"word 0 is {list(words[:1])}; it must be {END!r}")
        self.words = tuple(words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError(
                "the vocabulary holds a word twice; words must be distinct"
            )

    @classmethod
    def from_captions(cls, captions: Iterable[str | Sequence[str]]) -> "Vocabulary":
        """Vocabulary of captions (strings or word lists), in order of appearance."""
        words = {END: None}
        for caption in captions:
            tokens = tokenize(caption) if isinstance(caption, str) else caption
            words.update(dict.fromkeys(tokens))
        return cls(tuple(words))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def id(self, word: str) -> int:
        """Id of a known word."""
        if word not in self._ids:
            raise ValueError(f"unknown word {word!r}; the vocabulary has {len(self)}")
        return self._ids[word]

    def encode(self, caption: str | Sequence[str]) -> list[int]:
        """Token ids of a caption (a string or its words); unknown words are dropped."""
        words = tokenize(caption) if isinstance(caption, str) else caption
        return [self._ids[w] for w in words if w in self._ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The words of `ids` up to the first `<end>`, joined by spaces."""
        words = []
        for i in ids:
            if not 0 <= int(i) < len(self):
                raise ValueError(f"token id {int(i)}; allowed are 0 to {len(self) - 1}")
            if int(i) == 0:
                break
            words.append(self.words[int(i)])
        return " ".join(words)

    def to_json(self) -> dict:
        """A JSON-ready dictionary, `{"words": ["<end>", ...]}`."""
        return {"words": list(self.words)}

    @classmethod
    def from_json(cls, value: dict | str) -> "Vocabulary":
        """The vocabulary of `to_json` (the dictionary or its JSON text)."""
        value = json.loads(value) if isinstance(value, str) else value
        if not isinstance(value, dict) or not isinstance(value.get("words"), list):
            raise ValueError(
                'no vocabulary: a JSON object with a list "words" is needed'
            )
        return cls(value["words"])


class Caption(NamedTuple):
    """A caption that a person typed, as the networks see it.

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
      vocab: `Vocabulary`.
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
        words = tokenize(caption)
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
