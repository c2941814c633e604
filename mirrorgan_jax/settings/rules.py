"""What a key of the configuration may be, as it is written beside the key.

A plain number must be above zero; a plain text, truth value or list may be any.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A key's default and what else it may be.

    Attributes:
      default: its value where nothing says otherwise.
      allowed: words for an error: "allowed are ...".
      holds: whether a value is allowed.
    """

    default: Any
    allowed: str
    holds: Callable[[Any], bool]


def one_of(*choices: Any, default: Any = None) -> Rule:
    """One of some values; the first, or `default`, is what it is."""
    allowed = ", ".join(map(str, choices))
    default = choices[0] if default is None else default
    return Rule(default, allowed, lambda value: value in choices)


def some_of(*choices: str) -> Rule:
    """A text with some of some names, in any order with commas between; "" is none."""

    def holds(value: str) -> bool:
        names = value.split(",") if value else []
        return len(set(names)) == len(names) and set(names) <= set(choices)

    allowed = f"'' and {', '.join(choices)}, each once with commas between"
    return Rule("", allowed, holds)


def zero_or_more(default: float) -> Rule:
    """A number that may be zero."""
    return Rule(default, "numbers zero or more", lambda value: value >= 0)


def below_one(default: float, *, zero: bool = False) -> Rule:
    """A number above zero and below 1; with `zero` it may be zero."""
    least = "zero or more" if zero else "above zero"
    return Rule(
        default,
        f"numbers {least} and below 1",
        lambda value: 0 < value < 1 or (zero and value == 0),
    )


def devices(default: int) -> Rule:
    """A number of devices; -1 takes those that the other axes leave."""
    return Rule(default, "-1 and numbers above zero", lambda v: v == -1 or v > 0)


def of(value: Any) -> Rule:
    """The rule of what stands at a key: its own, or that of a plain value."""
    if isinstance(value, Rule):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Rule(value, "numbers above zero", lambda number: number > 0)
    return Rule(value, "any", lambda _: True)
