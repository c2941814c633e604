"""Toybirds: drawn birds of 200 species with true captions (our embedded data set).

The protocol is that of CUB (paper section 4.1): class-disjoint, 150 species to train
on and 50 unseen ones to test on, ten captions an image. A species is a combination
of attributes; each bird varies around its species and has its own pose. Everything
is a pure function of (seed, split, index), so any example can be made alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mirrorgan_jax.data.toybirds import drawing

_COLORS = tuple(drawing.COLORS)
ATTRIBUTES = {
    "body": _COLORS,
    "wing": _COLORS,
    "belly": _COLORS,
    "crown": _COLORS,
    "bill_length": ("short", "long"),
    "bill_color": ("black", "yellow", "red"),
    "size": ("small", "large"),
}
TRAIN_CLASSES = tuple(range(1, 151))
TEST_CLASSES = tuple(range(151, 201))
SPLITS = {"train": TRAIN_CLASSES, "test": TEST_CLASSES}
CAPTIONS_PER_IMAGE = 10
# The chance that one attribute of a bird is drawn anew instead of its species'.
VARIATION = 0.25

PARTS = ("body", "wing", "belly", "crown")
_SIZES = np.array([len(values) for values in ATTRIBUTES.values()])
# One stream of random numbers for each use of a seed.
_STREAMS = {"species": 0, "train": 1, "test": 2, "random": 3}

# Ways to say a value; the first is the usual one.
SYNONYMS = {
    "red": ("red", "crimson"),
    "orange": ("orange", "amber"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "brown": ("brown", "chestnut"),
    "black": ("black", "ebony"),
    "white": ("white", "snowy"),
    "gray": ("gray", "grey"),
    "small": ("small", "little", "tiny"),
    "large": ("large", "big"),
    "short": ("short", "stubby"),
    "long": ("long", "pointed"),
}
_USUAL = 0.75
# Nouns of a part with the article each needs in the singular.
_NOUNS = {
    "body": ("a {} body", "{} plumage"),
    "wing": ("{} wings", "{} wings", "a {} wing"),
    "belly": ("a {} belly", "a {} belly", "a {} underside"),
    "crown": ("a {} crown", "a {} crown", "a {} cap"),
    "bill": ("a {} bill", "a {} bill", "a {} beak"),
}
_SENTENCES = {
    "body": ("the body is {}", "its body is {}"),
    "wing": ("the wings are {}", "its wings are {}"),
    "belly": ("the belly is {}", "its underside is {}"),
    "crown": ("the crown is {}", "its crown is {}"),
    "bill": ("the bill is {}", "its beak is {}"),
}
# Openings by what they say already; each goes on with a list of parts.
_OPENINGS = {
    (): ("this bird has", "the bird has", "a bird with", "this is a bird with"),
    ("size",): (
        "this {size} bird has",
        "a {size} bird with",
        "this is a {size} bird with",
    ),
    ("body",): (
        "a {body} bird with",
        "this {body} bird has",
        "this is a {body} bird that has",
        "{body} bird with",
    ),
    ("size", "body"): (
        "a {size} {body} bird with",
        "this {size} {body} bird has",
        "this is a {size} bird that is {body} with",
    ),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Bird:
    """One bird of a split.

    Attributes:
      class_id: its species, 1 to 200.
      attributes: [A] int64, the true ones of this very bird as indices into
        `ATTRIBUTES`' values.
      captions: ten of them.
      box: (x, y, width, height) in pixels.
      draw: gives its picture, [size, size, 3] uint8.
    """

    class_id: int
    attributes: np.ndarray
    captions: list[str]
    box: tuple[float, float, float, float]
    draw: Callable[[], np.ndarray]


def num_examples(split: str, images_per_species: int) -> int:
    """Number of examples of a split; its indices are 0 to this minus one."""
    _check_split(split)
    if images_per_species < 1:
        raise ValueError(
            f"images_per_species = {images_per_species}: at least 1 is needed"
        )
    return len(SPLITS[split]) * images_per_species


@functools.cache
def species(seed: int = 0) -> np.ndarray:
    """The species, in the order of their class ids 1 to 200.

    Args:
      seed: seed of the data set.

    Returns:
      [200, A] int64, read-only: indices into the values of `ATTRIBUTES`. No two
      species have the same four colours.
    """
    rng = _generator(seed, "species")
    count = len(TRAIN_CLASSES) + len(TEST_CLASSES)
    # Sorting uniform doubles draws without replacement, whatever NumPy does.
    order = np.argsort(rng.random(len(_COLORS) ** len(PARTS)), kind="stable")
    colors = np.unravel_index(order[:count], (len(_COLORS),) * len(PARTS))
    table = _random_attributes(rng, count)
    table[:, : len(PARTS)] = np.stack(colors, axis=-1)
    table.flags.writeable = False
    return table


def example(
    split: str, index: int, *, seed: int, images_per_species: int, size: int
) -> Bird:
    """One bird of a split.

    Consecutive indices run through the species, so that any stretch is balanced and
    a larger data set begins with the smaller one.

    Args:
      split: "train" or "test".
      index: 0 to `num_examples(split, images_per_species)` minus one.
      seed: seed of the data set.
      images_per_species: birds of one species.
      size: height and width in pixels, 16 to 256.

    Raises:
      ValueError: unknown split, or index or size out of range.
    """
    count = num_examples(split, images_per_species)
    if not 0 <= index < count:
        raise ValueError(f"index = {index}: {split} has 0 to {count - 1}")
    rng = _generator(seed, split, index)
    class_id = SPLITS[split][index % len(SPLITS[split])]
    own = _random_attributes(rng, 1)[0]
    varied = rng.random(len(own)) < VARIATION
    attributes = np.where(varied, own, species(seed)[class_id - 1])
    values = attribute_values(attributes)
    texts = captions(values, rng)
    sketch = drawing.Sketch.sample(values, rng)
    draw = functools.partial(sketch.draw, size)
    return Bird(class_id, attributes, texts, sketch.box(size), draw)


def random_birds(count: int, *, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Birds with all attributes drawn independently, to train a classifier on.

    The fixed combinations of the 150 training species are too few for a classifier
    to tell the parts apart.

    Args:
      count: number of birds.
      size: height and width in pixels, 16 to 256.
      seed: seed of the birds; bird i does not depend on `count`.

    Returns:
      images [count, size, size, 3] uint8 and attributes [count, A] int64.
    """
    images = np.empty((count, size, size, 3), np.uint8)
    attributes = np.empty((count, len(ATTRIBUTES)), np.int64)
    for i in range(count):
        rng = _generator(seed, "random", i)
        attributes[i] = _random_attributes(rng, 1)[0]
        values = attribute_values(attributes[i])
        images[i] = drawing.Sketch.sample(values, rng).draw(size)
    return images, attributes


def attribute_values(attributes: Sequence[int]) -> dict[str, str]:
    """{attribute: value} of [A] indices into the values of `ATTRIBUTES`."""
    return {
        name: values[i]
        for (name, values), i in zip(ATTRIBUTES.items(), attributes, strict=True)
    }


def captions(values: Mapping[str, str], rng: np.random.Generator) -> list[str]:
    """Ten different true captions of one bird, 5 to 25 words each.

    Args:
      values: {attribute: value}.
      rng: np.random.Generator.

    Returns:
      list of `CAPTIONS_PER_IMAGE` str, lower case, with commas and a full stop.
    """
    texts = []
    while len(texts) < CAPTIONS_PER_IMAGE:
        text = _caption(values, iter(rng.random(40).tolist()))
        if text not in texts:
            texts.append(text)
    return texts


def _check_split(split):
    if split not in SPLITS:
        raise ValueError(f"split = {split!r}: allowed are {sorted(SPLITS)}")


def _generator(seed, stream, index=0):
    sequence = np.random.SeedSequence([seed, _STREAMS[stream], index])
    return np.random.Generator(np.random.Philox(sequence))


def _random_attributes(rng, count):
    return (rng.random((count, len(_SIZES))) * _SIZES).astype(np.int64)


def _pick(options, u):
    return options[int(len(options) * next(u))]


def _word(value, u):
    """The value in words: mostly the usual one, sometimes a synonym."""
    synonyms = SYNONYMS[value]
    return synonyms[0] if next(u) < _USUAL else _pick(synonyms[1:], u)


def _bill(values, u):
    """Adjectives of the bill: length, colour or both."""
    length, color = _word(values["bill_length"], u), _word(values["bill_color"], u)
    return _pick(((length,), (color,), (length, color)), u)


def _mentioned(u):
    """Names of the parts a caption speaks of: mostly three or four of the colours."""
    count = _pick((2, 3, 3, 3, 3, 4, 4, 4, 4, 4), u)
    # The body is what one sees first; the other parts come in any order.
    others = sorted(PARTS[1:], key=lambda _: next(u))
    with_body = count == len(PARTS) or next(u) < 0.85
    parts = [*others[: count - 1], "body"] if with_body else others[:count]
    return sorted(parts, key=lambda _: next(u))


def _caption(values, u):
    parts = _mentioned(u)
    opening = tuple(
        name
        for name, likely in (("size", 0.35), ("body", 0.6 * ("body" in parts)))
        if next(u) < likely
    )
    words = {name: _word(values[name], u) for name in opening}
    listed = [name for name in parts if name not in opening]
    if next(u) < 0.35:
        listed.append("bill")
    # Some captions end in a sentence of its own, which makes them long.
    trailing = listed.pop() if len(listed) > 2 and next(u) < 0.5 else None
    said = [
        _pick(_NOUNS[name], u).format(" ".join(_adjectives(name, values, u)))
        for name in listed
    ]
    text = f"{_pick(_OPENINGS[opening], u).format(**words)} {_listing(said)}"
    if trailing:
        sentence = _pick(_SENTENCES[trailing], u)
        text += f", and {sentence.format(_adjectives(trailing, values, u)[0])}"
    return f"{_articles(text)}."


def _adjectives(name, values, u):
    return _bill(values, u) if name == "bill" else (_word(values[name], u),)


def _listing(phrases):
    """ "a", "a and b" or "a, b and c"."""
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _articles(text):
    """Writes "an" for "a" before a vowel."""
    words = text.split(" ")
    pairs = zip(words, [*words[1:], ""], strict=True)
    return " ".join(
        "an" if word == "a" and after[:1] in tuple("aeiou") else word
        for word, after in pairs
    )
