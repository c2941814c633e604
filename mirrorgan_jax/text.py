"""Words: the rules that read them, the vocabulary and the captions that people type.

Two rules make words of a caption. "ascii" is AttnGAN's (paper section 4.1). "unicode"
is for every language: in NFKC and casefolded, words are runs of letters, digits and
their marks, and where a script has no spaces (`_UNSPACED`) every letter with its marks
is a word. Both read captions of ASCII characters the same. Token id 0 is `<end>`,
which doubles as padding. Standard library only.
"""

import collections
import difflib
import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

END = "<end>"
RULES = ("ascii", "unicode")
# Of a caption; Unicode's normal forms take time that grows with the square of it.
MAX_CHARACTERS = 10_000
_WORD = re.compile(r"\w+")
_DOTTED = re.compile("i\u0307+")
_HALF = re.compile("[\ud800-\udfff]")
_SHOWN = 60  # characters of a caption in a message
_NAMED = 10  # unknown words of a caption that get a line each
# Words that every caption has, whatever it speaks of; "bird" is in all those of birds.
_COMMON = frozenset(
    "a an the this that these those it its he she his her they their there which who"
    " and or but with without of in on at to from by for over under as is are was were"
    " be been has have had very bird birds s".split()
)
# Scripts by the first word of their letters' names, where it is not the script's own.
_SCRIPTS = {"Cjk": "Han", "Ideographic": "Han", "Katakana-Hiragana": "Katakana"}
# Scripts that write no spaces between words; Hangul, Arabic and Cyrillic do.
_UNSPACED = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tai")
# Parts of names of letters and marks that nobody sees.
_UNSEEN = ("VARIATION SELECTOR", "FILLER", "GRAPHEME JOINER")
_ZERO_WIDTH_SPACE = "\u200b"


def _strings(caption: str) -> list[str]:
    # Real caption files hold pairs of U+FFFD where a word break was lost.
    return _WORD.findall(caption.replace("\ufffd\ufffd", " ").lower())


def tokenize(caption: str, rule: str = "ascii") -> list[str]:
    r"""Words of a caption, which may be none at all.

    Args:
      caption: a string.
      rule: "ascii": runs of `\w`, lower case, ASCII characters only. A character
        outside ASCII is dropped from its word and a word that loses all its
        characters is dropped. "unicode": see the module.

    Raises:
      ValueError: an unknown rule, or a caption too long for "unicode".
    """
    if rule not in RULES:
        raise ValueError(f"rule = {rule!r}: allowed are {', '.join(RULES)}")
    if rule == "unicode" and not caption.isascii():
        return _unicode_words(caption)
    words = (w.encode("ascii", "ignore").decode() for w in _strings(caption))
    return [w for w in words if w]


def _script(char: str) -> str:
    """The script of a letter, "Latin" or "Cyrillic"; "" for what has no name."""
    first = unicodedata.name(char, "").partition(" ")[0].title()
    return _SCRIPTS.get(first, first)


@functools.cache
def _kind(char: str) -> str:
    """What a character is to a word: "part", "alone", "mark", "unseen" or "break"."""
    category = unicodedata.category(char)
    if char == _ZERO_WIDTH_SPACE:
        return "break"  # It is there to say where a word of Thai or Khmer ends.
    unseen = any(part in unicodedata.name(char, "") for part in _UNSEEN)
    # Joiners, marks of direction, soft hyphens; enclosures, such as that of a keycap.
    if unseen or category in ("Cf", "Me"):
        return "unseen"
    if category[0] == "M":
        return "mark"
    if not (char.isalnum() or char == "_"):
        return "break"
    letter = category[0] == "L" or category == "Nl"
    return "alone" if letter and _script(char) in _UNSPACED else "part"


def _unicode_words(caption: str) -> list[str]:
    if len(caption) > MAX_CHARACTERS:
        raise ValueError(f"caption {shown(caption)} {refusal(caption)}")
    seen = "".join(char for char in caption if _kind(char) != "unseen")
    folded = unicodedata.normalize("NFKC", seen).casefold()
    # The capital of Turkish i keeps a dot that the small letter does not have.
    folded = unicodedata.normalize("NFKC", _DOTTED.sub("i", folded))
    words, last = [], "break"
    for char in folded:
        kind = _kind(char)
        if kind == "unseen":
            continue
        if kind == "mark":
            if last != "break":
                words[-1].append(char)
            continue
        if kind == "alone" or (kind == "part" and last != "part"):
            words.append([char])
        elif kind == "part":
            words[-1].append(char)
        last = kind
    return ["".join(word) for word in words]


def shown(caption: str) -> str:
    """A caption's beginning for a message, escaped as `repr` does."""
    return repr(caption[:_SHOWN]) + "..." * (len(caption) > _SHOWN)


def refusal(caption: str) -> str | None:
    """Why no rule reads a caption, as the end of a sentence; None where one does."""
    if len(caption) > MAX_CHARACTERS:
        return f"has {len(caption)} characters: at most {MAX_CHARACTERS} are read"
    half = _HALF.search(caption)
    if half:
        return f"holds half a character, {half[0]!r}: it was cut or is not UTF-8"
    return None


def damaged(caption: str) -> list[str]:
    """The words that the rule "ascii" does not give whole, as "unicode" gives them.

    None of a caption that no rule reads.
    """
    if caption.isascii() or refusal(caption):
        return []
    whole = collections.Counter(tokenize(caption, "unicode"))
    return list((whole - collections.Counter(tokenize(caption))).elements())


def unread_script(caption: str) -> str | None:
    """The script that keeps the rule "ascii" from reading a caption, as "Cyrillic".

    Returns:
      None where the rule gives words and at most half of the words hold letters of
      other scripts than Latin; else the script of most letters outside ASCII, None
      without any.
    """
    lost = damaged(caption)
    if not lost:
        return None
    scripts = [{_script(c) for c in word if c.isalpha()} for word in lost]
    letters = [c for word in lost for c in word if c.isalpha() and not c.isascii()]
    others = sum(own != {"Latin"} for own in scripts if own)
    few = tokenize(caption) and 2 * others <= len(tokenize(caption, "unicode"))
    if few or not letters:
        return None
    return collections.Counter(map(_script, letters)).most_common(1)[0][0]


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
    """Words and their ids; `words[0]` is `<end>`, `rule` reads what is encoded."""

    def __init__(self, words: Sequence[str], rule: str = "ascii"):
        if rule not in RULES:
            raise ValueError(f"rule = {rule!r}: allowed are {', '.join(RULES)}")
        if not words or words[0] != END:
            raise ValueError(f"word 0 is {list(words[:1])}; it must be {END!r}")
        self.words, self.rule = tuple(words), rule
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError(
                "the vocabulary holds a word twice; words must be distinct"
            )

    @classmethod
    def from_captions(
        cls, captions: Iterable[str | Sequence[str]], rule: str = "ascii"
    ) -> "Vocabulary":
        """Vocabulary of captions (strings or word lists), in order of appearance."""
        words = {END: None}
        for caption in captions:
            tokens = tokenize(caption, rule) if isinstance(caption, str) else caption
            words.update(dict.fromkeys(tokens))
        return cls(tuple(words), rule)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Vocabulary) and self.words == other.words
        return same and self.rule == other.rule

    def __hash__(self) -> int:
        return hash((self.words, self.rule))

    def id(self, word: str) -> int:
        """Id of a known word."""
        if word not in self._ids:
            raise ValueError(f"unknown word {word!r}; the vocabulary has {len(self)}")
        return self._ids[word]

    def tokenize(self, caption: str) -> list[str]:
        """Words of a caption by the vocabulary's rule, known or not."""
        return tokenize(caption, self.rule)

    def encode(self, caption: str | Sequence[str]) -> list[int]:
        """Token ids of a caption (a string or its words); unknown words are dropped."""
        words = self.tokenize(caption) if isinstance(caption, str) else caption
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
        """A JSON-ready dictionary, `{"words": ["<end>", ...], "rule": "ascii"}`."""
        return {"words": list(self.words), "rule": self.rule}

    @classmethod
    def from_json(cls, value: dict | str) -> "Vocabulary":
        """The vocabulary of `to_json` (the dictionary or its JSON text).

        Without a rule, as it was once written, it is "ascii".
        """
        value = json.loads(value) if isinstance(value, str) else value
        if not isinstance(value, dict) or not isinstance(value.get("words"), list):
            raise ValueError(
                'no vocabulary: a JSON object with a list "words" is needed'
            )
        return cls(value["words"], value.get("rule", "ascii"))


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
      ValueError: a caption has no word, or none that the vocabulary has, or is too long
        or broken; there is no caption, or one string in place of a list.
    """
    if isinstance(captions, str) or not len(captions):
        raise ValueError(f"captions = {captions!r}: allowed is a list of strings")
    names = names or [f"caption {i}" for i in range(1, len(captions) + 1)]
    found = []
    for name, caption in zip(names, captions, strict=True):
        refused = refusal(caption)
        if refused:
            raise ValueError(f"{name} {refused}")
        words = vocab.tokenize(caption)
        if not words and vocab.rule == "ascii" and unread_script(caption):
            raise ValueError(
                f"{name}, {shown(caption)}, is in {unread_script(caption)}: the model"
                f" reads ASCII letters (data.words = {vocab.rule!r})"
            )
        if not words:
            raise ValueError(f"{name} is empty: {shown(caption)} has no word")
        known = [word for word in words if word in vocab]
        unknown = [w for w in dict.fromkeys(words) if w not in vocab]
        if not known:
            near = [known for word in unknown[:_NAMED] for known in _near(word, vocab)]
            hint = f"; near are {', '.join(dict.fromkeys(near))}" if near else ""
            raise ValueError(
                f"{name} has no known word: the vocabulary of {len(vocab)} words lacks"
                f" {_listed(unknown)}{hint}"
            )
        found.append(Caption(caption, known[:num_words], unknown, known[num_words:]))
    return found


def telling(word: str) -> bool:
    """Whether a word says what is to be seen, as "red" and "wings", unlike "the"."""
    return word not in _COMMON


def _near(word, vocab):
    """The known words, three at most, that are spelt much like another."""
    return difflib.get_close_matches(word, vocab.words[1:], n=3)


def _listed(words):
    """Words for a message: the first of them, and how many more there are."""
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(map(shown, words[:_NAMED])) + more


def remarks(caption, vocab):
    """Sentences about words of a `Caption` that the networks do not see.

    Args:
      caption: as `read` gives it.
      vocab: the `Vocabulary` that read it.
    """
    lines = []
    damage = damaged(caption.text) if vocab.rule == "ascii" else []
    if damage:
        lines.append(
            f"letters outside ASCII are cut out of {_listed(damage)}: the model reads"
            f" ASCII letters (data.words = {vocab.rule!r})"
        )
    for word in caption.unknown[:_NAMED]:
        near = _near(word, vocab)
        hint = f"; near it are {', '.join(near)}" if near else ""
        lines.append(f"unknown word {shown(word)} is left out{hint}")
    if len(caption.unknown) > _NAMED:
        lines.append(f"{len(caption.unknown) - _NAMED} more unknown words are left out")
    words = {word for word in vocab.tokenize(caption.text) if telling(word)}
    lost = words.intersection(caption.unknown)
    if 2 * len(lost) > len(words):
        lines.append(
            f"{len(lost)} of the {len(words)} words that say what to draw are unknown:"
            " the image has little to do with the caption"
        )
    if caption.cut:
        lines.append(
            f"a caption has at most {len(caption.words)} words:"
            f" {shown(' '.join(caption.cut))} is cut off"
        )
    return lines
