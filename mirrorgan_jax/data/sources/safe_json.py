"""JSON from strangers: bounded in size, depth and numbers, and with one meaning.

Python's own reader takes more than JSON (NaN, the last of two equal keys, half an
emoji) and, for a few bytes, more memory or stack than there is. What is refused here
is refused in one sentence with its place.
"""

import json
import math
import re
from typing import Any

from mirrorgan_jax.data.sources import records

# COCO's largest file of captions has 92 MB and 3.7 million of these characters.
LIMIT = 256 * 2**20
_VALUES, _VALUE_MARKS = 8_000_000, (",", "[", "{")
DEPTH = 32
_DIGITS = 100
_SHOWN = 60

# A string (one that never ends reaches to the end), a number or name, or a bracket.
# Possessive, so that no text takes more than one pass.
_TOKEN = re.compile(
    r'(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))'
    r"|(?P<word>[\w.+-]++)|(?P<open>[\[{])|(?P<close>[\]}])",
    re.DOTALL | re.ASCII,
)
_COLON = re.compile(r"[ \t\r\n]*+:")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u(?P<half>[dD][89a-fA-F]..)|.)", re.DOTALL
)


class _RefusedError(Exception):
    """The text has a fault, which `_fault` finds again with its place."""


def loads(data: bytes | str, where: str, *, limit: int = LIMIT) -> Any:
    """The value of a JSON text.

    Args:
      data: the text; bytes must be UTF-8, without a byte order mark.
      where: what stands before every error, such as "metadata.jsonl:3".
      limit: bytes that it may have.

    Raises:
      ValueError: one sentence with the place: too long, not UTF-8, not JSON, nested
        deeper than `DEPTH`, a number of more than 100 characters or beyond a float's
        range, NaN or Infinity, a key twice in one object, half a surrogate pair.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if len(data) > limit:
        raise ValueError(f"{where}: {len(data):,} bytes; allowed are {limit:,}")
    text = _decode(data, where)
    if text.startswith("\ufeff"):
        raise ValueError(
            f"{where}: column 1: a byte order mark; save the file as UTF-8 without one"
        )
    if sum(map(text.count, _VALUE_MARKS)) > _VALUES:
        raise ValueError(f"{where}: more than {_VALUES:,} values")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_int,
            parse_float=_float,
            parse_constant=_constant,
        )
        _check_depth(value)
    except json.JSONDecodeError as error:
        sentence = error.msg[:1].lower() + error.msg[1:]
        raise _error(where, text, error.pos, f"broken JSON: {sentence}") from None
    except (_RefusedError, RecursionError):
        raise _error(where, text, *_fault(text)) from None
    if _HALF.search(text):
        _check_surrogates(text, where)
    return value


def _decode(data: bytes, where: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError(f"{where}: UTF-16; save the file as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        line, byte = data.count(b"\n", 0, at) + 1, at - data.rfind(b"\n", 0, at)
        several = f"line {line:,}, " if line > 1 else ""
        raise ValueError(
            f"{where}: {several}byte {byte:,}: not UTF-8 (0x{data[at]:02x})"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError
    return found


def _int(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _RefusedError
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > _DIGITS or math.isinf(number := float(digits)):
        raise _RefusedError
    return number


def _constant(name: str) -> float:
    raise _RefusedError


def _check_depth(value: Any) -> None:
    level = [[value]]
    for _ in range(DEPTH + 1):
        level = [
            child.values() if isinstance(child, dict) else child
            for parent in level
            for child in parent
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _RefusedError


def _fault(text: str) -> tuple[int, str]:
    """Offset and sentence of the first fault in a text that has one."""
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        kind, word = token.lastgroup, token.group()
        what = None
        if kind == "open":
            keys.append(set())
            if len(keys) > DEPTH:
                what = f"nested deeper than {DEPTH} levels"
        elif kind == "close" and keys:
            keys.pop()
        elif kind == "word":
            what = _word_fault(word)
        elif kind == "string" and keys and _COLON.match(text, token.end()):
            key = json.loads(word, strict=False)
            if key in keys[-1]:
                what = f"the key {records.shown(key)} stands twice in one object"
            keys[-1].add(key)
        if what:
            return token.start(), what
    return 0, "broken JSON"


def _word_fault(word: str) -> str | None:
    if word in ("NaN", "Infinity", "-Infinity"):
        return f"{word} is no number of JSON"
    if len(word) > _DIGITS:
        return f"a number of {len(word):,} characters; allowed are {_DIGITS}"
    try:
        beyond = math.isinf(float(word))
    except ValueError:  # true, false, null
        beyond = False
    return f"the number {records.shown(word)} is too large" if beyond else None


def _check_surrogates(text: str, where: str) -> None:
    """Refuses an escape of half a pair; backslashes stand in strings alone."""
    for escape in _ESCAPE.finditer(text):
        if escape["half"]:
            what = f"{escape.group()} is half of a surrogate pair, no character"
            raise _error(where, text, escape.start(), what)


def _error(where: str, text: str, at: int, what: str) -> ValueError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    several = f"line {line:,}, " if line > 1 else ""
    return ValueError(f"{where}: {several}column {column:,}: {what}")
