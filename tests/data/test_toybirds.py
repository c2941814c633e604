"""Tests of the toybirds: determinism, protocol, true captions, drawings."""

import re

import numpy as np
import pytest

from mirrorgan_jax.data.toybirds import birds, drawing

SETTINGS = {"seed": 0, "images_per_species": 4, "size": 32}

# An independent reading of the captions: word -> value, noun -> attribute.
VALUES = {
    "crimson": "red", "amber": "orange", "golden": "yellow", "emerald": "green",
    "azure": "blue", "chestnut": "brown", "ebony": "black", "snowy": "white",
    "grey": "gray", "little": "small", "tiny": "small", "big": "large",
    "stubby": "short", "pointed": "long",
}  # fmt: skip
VALUES |= {v: v for values in birds.ATTRIBUTES.values() for v in values}
NOUNS = {
    "body": "body", "plumage": "body", "bird": "body", "wing": "wing",
    "wings": "wing", "belly": "belly", "underside": "belly", "crown": "crown",
    "cap": "crown", "bill": "bill", "beak": "bill",
}  # fmt: skip

# What seed 0 has given since the first version.
SPECIES_0 = [[4, 8, 4, 0, 0, 0, 0], [1, 5, 2, 1, 0, 0, 1]]
CAPTION_7 = "red bird with a gray cap and a crimson wing."
ATTRIBUTES_7 = [0, 0, 7, 8, 0, 0, 0]
BOX_7 = [5.4623, 9.1882, 22.7794, 15.318]
MEAN_7 = (168.47, 166.88, 161.26)


def read_caption(text):
    """Claims {attribute: value} of a caption; a noun takes the adjectives around it."""
    claims = {}

    def claim(noun, value):
        if value in ("small", "large"):
            noun = "size"
        elif noun == "bill":
            noun = "bill_length" if value in ("short", "long") else "bill_color"
        assert claims.setdefault(noun, value) == value
        assert value in birds.ATTRIBUTES[noun]

    pending, noun, subject = [], None, None
    for word in re.findall(r"\w+", text):
        if word in VALUES and subject:
            claim(subject, VALUES[word])
            subject = None
        elif word in VALUES:
            pending.append(VALUES[word])
        elif word in NOUNS:
            for value in pending:
                claim(NOUNS[word], value)
            pending, noun = [], NOUNS[word]
        elif word in ("is", "are"):
            subject = noun
        elif word == "with":
            subject = None
    assert not pending
    return claims


@pytest.fixture(scope="module")
def examples():
    return [birds.example("test", i, **SETTINGS) for i in range(200)]


def test_species_are_distinct_and_fixed():
    table = birds.species(0)
    assert table.shape == (200, len(birds.ATTRIBUTES))
    assert len(np.unique(table[:, :4], axis=0)) == 200
    sizes = [len(values) for values in birds.ATTRIBUTES.values()]
    assert (table >= 0).all() and (table < sizes).all()
    # Every colour occurs often enough on every part to be learnt from 150 species.
    counts = [np.bincount(table[:150, i], minlength=9).min() for i in range(4)]
    assert min(counts) >= 5
    assert not np.array_equal(table, birds.species(1))
    with pytest.raises(ValueError):
        table[0, 0] = 0


def test_stream_does_not_change_between_versions():
    assert birds.species(0)[:2].tolist() == SPECIES_0
    bird = birds.example("train", 7, **SETTINGS)
    assert bird.captions[0] == CAPTION_7
    assert bird.attributes.tolist() == ATTRIBUTES_7
    np.testing.assert_allclose(bird.box, BOX_7, atol=1e-3)
    # Other versions of Pillow may round a rim differently, not shift a part.
    np.testing.assert_allclose(bird.draw().mean((0, 1)), MEAN_7, atol=0.5)


def test_splits_are_class_disjoint_and_balanced():
    assert not set(birds.TRAIN_CLASSES) & set(birds.TEST_CLASSES)
    assert birds.num_examples("train", 4) == 600
    classes = [birds.example("test", i, **SETTINGS).class_id for i in range(200)]
    assert np.bincount(classes)[151:].tolist() == [4] * 50
    assert max(np.bincount(classes)[:151]) == 0


def test_example_depends_on_its_arguments_only(examples):
    again = birds.example("test", 17, **(SETTINGS | {"images_per_species": 9}))
    for key in ("class_id", "attributes", "captions", "box"):
        expected = getattr(examples[17], key)
        np.testing.assert_array_equal(getattr(again, key), expected)
    np.testing.assert_array_equal(again.draw(), examples[17].draw())
    other = birds.example("test", 17, **(SETTINGS | {"seed": 1}))
    assert not np.array_equal(other.draw(), examples[17].draw())
    assert other.captions != examples[17].captions


def test_individuals_vary_around_their_species(examples):
    table = birds.species(0)
    same = np.mean([e.attributes[:4] == table[e.class_id - 1, :4] for e in examples])
    expected = 1 - birds.VARIATION * 8 / 9
    assert abs(same - expected) < 0.05


def test_captions_are_true_and_specific(examples):
    colors = []
    for item in examples:
        values = birds.attribute_values(item.attributes)
        assert len(set(item.captions)) == birds.CAPTIONS_PER_IMAGE
        for text in item.captions:
            claims = read_caption(text)
            assert claims == {name: values[name] for name in claims}, text
            colors.append(len(claims.keys() & {"body", "wing", "belly", "crown"}))
    shares = np.bincount(colors, minlength=5) / len(colors)
    assert shares[:2].sum() == 0 and shares[3:].sum() > 0.7 and shares[4] > 0.3


def test_captions_have_5_to_25_words_of_a_small_vocabulary(examples):
    words = [re.findall(r"\w+", c) for e in examples for c in e.captions]
    lengths = np.array([len(w) for w in words])
    assert lengths.min() >= 5 and lengths.max() <= 25
    assert 0.1 < (lengths > 18).mean() < 0.4
    assert 45 <= len({w for line in words for w in line}) <= 70
    text = " ".join(" ".join(w) for w in words)
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text)


def test_attributes_alone_find_the_caption_among_99_others(examples):
    rng = np.random.default_rng(0)
    claims = [[read_caption(c) for c in e.captions] for e in examples]
    expected = []
    for item in examples:
        values = birds.attribute_values(item.attributes)
        others = [i for i, e in enumerate(examples) if e.class_id != item.class_id]
        pool = [claims[i][0] for i in rng.choice(others, 99, replace=False)]
        fits = sum(all(values[k] == v for k, v in c.items()) for c in pool)
        expected.append(1 / (1 + fits))
    # A perfect reader of images would reach this; a trained one stays below.
    assert 0.75 < np.mean(expected) <= 1.0


@pytest.mark.parametrize("size", [16, 64, 100, 256])
def test_drawing_is_the_same_bird_at_any_size(size):
    bird = birds.example("train", 3, **(SETTINGS | {"size": size}))
    assert bird.draw().shape == (size, size, 3) and bird.draw().dtype == np.uint8
    x, y, w, h = np.array(bird.box) / size
    assert 0 <= x < x + w <= 1 and 0 <= y < y + h <= 1 and w > 0.5 and h > 0.3
    reference = birds.example("train", 3, **(SETTINGS | {"size": 128}))
    np.testing.assert_allclose(np.array(reference.box) / 128, [x, y, w, h])
    means = bird.draw().mean((0, 1)), reference.draw().mean((0, 1))
    np.testing.assert_allclose(*means, atol=3.0)


@pytest.mark.parametrize("part", ["body", "wing", "belly", "crown"])
@pytest.mark.parametrize("value", ["red", "blue", "black"])
def test_each_part_covers_pixels_of_its_colour_at_64(part, value):
    values = dict.fromkeys(["body", "wing", "belly", "crown"], "white")
    values |= {"bill_length": "short", "bill_color": "yellow", "size": "small"}

    def draw(**changes):
        rng = np.random.Generator(np.random.Philox(5))
        return drawing.Sketch.sample(values | changes, rng).draw(64).astype(int)

    image = draw(**{part: value})
    changed = np.abs(image - draw()).max(-1) > 60
    rows, columns = changed.any(1).sum(), changed.any(0).sum()
    assert changed.sum() >= 40 and rows >= 6 and columns >= 6
    # Under any light the nearest of the nine colours is the right one.
    colour = np.median(image[changed], axis=0)
    names = list(drawing.COLORS)
    distances = [np.abs(colour - drawing.COLORS[name]).sum() for name in names]
    assert names[int(np.argmin(distances))] == value


def test_random_birds_draw_attributes_independently():
    images, attributes = birds.random_birds(400, size=16, seed=0)
    assert images.shape == (400, 16, 16, 3) and images.dtype == np.uint8
    assert abs(np.corrcoef(attributes.T) - np.eye(7)).max() < 0.2
    for column, values in zip(attributes.T, birds.ATTRIBUTES.values(), strict=True):
        assert set(column) == set(range(len(values)))
    fewer, _ = birds.random_birds(3, size=16, seed=0)
    np.testing.assert_array_equal(fewer, images[:3])


@pytest.mark.parametrize(
    ("split", "changes", "match"),
    [
        ("validation", {}, "'validation'.*test.*train"),
        ("test", {"images_per_species": 0}, "images_per_species = 0"),
        ("test", {"size": 8}, "size = 8.*16 to 256"),
        ("test", {"size": 257}, "size = 257.*16 to 256"),
    ],
)
def test_bad_argument_is_named(split, changes, match):
    with pytest.raises(ValueError, match=match):
        birds.example(split, 0, **(SETTINGS | changes))


def test_index_out_of_range_is_named():
    with pytest.raises(ValueError, match="index = 200: test has 0 to 199"):
        birds.example("test", 200, **SETTINGS)
