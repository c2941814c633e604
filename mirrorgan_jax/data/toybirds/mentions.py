"""What a caption of a toybird says: the attributes that its words stand for.

The inverse of `toybirds.captions`, but lenient, since a redescription need not keep
to that grammar: adjectives belong to the noun that follows them, or, after "is" and
"are", to the noun before.
"""

from collections.abc import Sequence

from mirrorgan_jax import text
from mirrorgan_jax.data.sources import records
from mirrorgan_jax.data.toybirds import birds

# {word: value} of every synonym.
VALUES = {word: value for value, words in birds.SYNONYMS.items() for word in words}
_NOUNS = {
    "bird": "body", "body": "body", "plumage": "body",
    "wing": "wing", "wings": "wing",
    "belly": "belly", "underside": "belly",
    "crown": "crown", "cap": "crown",
    "bill": "bill", "beak": "bill",
}  # fmt: skip


def _attribute(noun, value):
    """The attribute that a value means beside a noun, or None."""
    names = {
        "bill": ("bill_length", "bill_color"),
        "body": ("body", "size"),
    }.get(noun, (noun,))
    fitting = [name for name in names if value in birds.ATTRIBUTES[name]]
    return fitting[0] if fitting else None


def find(caption: str | Sequence[str]) -> list[records.Mention]:
    """What a caption says.

    Args:
      caption: a string, or its tokens.

    Returns:
      the mentions in the order of the words. Of several statements on one
      attribute the first counts; adjectives without a noun say nothing.
    """
    tokens = text.tokenize(caption) if isinstance(caption, str) else caption
    found, waiting, noun, stating = {}, [], None, False

    def say(to, items):
        for position, value in items:
            name = _attribute(to, value)
            if name:
                found.setdefault(name, records.Mention(name, value, position))

    for position, token in enumerate(tokens):
        if token in VALUES:
            item = (position, VALUES[token])
            if stating:
                say(noun, [item])
            else:
                waiting.append(item)
        elif token in _NOUNS:
            noun, stating = _NOUNS[token], False
            say(noun, waiting)
            waiting = []
        else:
            # "the wings are red": what follows is said of the noun before.
            stating = token in ("is", "are") and noun is not None
            waiting = []
    return sorted(found.values(), key=lambda mention: mention.position)


def stated(caption: str | Sequence[str]) -> dict[str, str]:
    """{attribute: value} of what a caption says."""
    return {mention.attribute: mention.value for mention in find(caption)}
