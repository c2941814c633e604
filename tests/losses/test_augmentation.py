"""Augmentations of what a discriminator sees, against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mirrorgan_jax.losses import augmentation

EVERYTHING = "color,translation,cutout"


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)


def numbers_of(name, *rows):
    return {name: np.array(rows, np.float32)}


def test_nothing_is_drawn_and_nothing_changed_where_it_is_off(images):
    numbers = augmentation.draw(jax.random.key(0), 3, "")
    assert not jax.tree.leaves(numbers)
    for kind in augmentation.KINDS:
        assert augmentation.apply(images, numbers[kind]) is images


def test_real_fake_and_judged_images_have_numbers_of_their_own():
    numbers = augmentation.draw(jax.random.key(0), 50, EVERYTHING)
    assert {k: v.shape for k, v in numbers["real"].items()} == {
        "color": (50, 3), "translation": (50, 2), "cutout": (50, 2),
    }  # fmt: skip
    drawn = np.concatenate([np.ravel(x) for x in jax.tree.leaves(numbers)])
    assert len(set(drawn.tolist())) > 0.99 * len(drawn)
    assert 0 <= drawn.min() < 0.01 and 0.99 < drawn.max() < 1
    # Other numbers for another key, the same whatever else is on.
    other = augmentation.draw(jax.random.key(1), 50, EVERYTHING)
    assert not np.array_equal(other["real"]["color"], numbers["real"]["color"])
    alone = augmentation.draw(jax.random.key(0), 50, "cutout")
    assert alone["fake"].keys() == {"cutout"}
    np.testing.assert_array_equal(alone["fake"]["cutout"], numbers["fake"]["cutout"])


def test_color_is_brightness_then_saturation_then_contrast(images):
    drawn = [[0.9, 0.2, 0.7], [0.5, 0.5, 0.5], [0.0, 0.99, 0.0]]
    actual = augmentation.apply(images, numbers_of("color", *drawn))
    for image, (brightness, saturation, contrast), found in zip(
        images, drawn, actual, strict=True
    ):
        image = image + brightness - 0.5
        grey = image.mean(-1, keepdims=True)
        image = grey + (image - grey) * 2 * saturation
        image = image.mean() + (image - image.mean()) * (contrast + 0.5)
        np.testing.assert_allclose(found, image, atol=1e-5)
    np.testing.assert_allclose(actual[1], images[1], atol=1e-6)  # the middle


def shifted(image, down, right):
    size, out = len(image), np.zeros_like(image)
    for row in range(size):
        for column in range(size):
            if 0 <= row - down < size and 0 <= column - right < size:
                out[row, column] = image[row - down, column - right]
    return out


def test_translation_is_by_whole_pixels_up_to_an_eighth(images):
    drawn = [[0.0, 0.999], [0.5, 0.5], [0.999, 0.3]]  # of five places each
    shifts = [(-2, 2), (0, 0), (2, -1)]
    actual = augmentation.apply(images, numbers_of("translation", *drawn))
    for image, shift, found in zip(images, shifts, actual, strict=True):
        np.testing.assert_allclose(found, shifted(image, *shift), atol=1e-6)


@pytest.mark.parametrize("size", [8, 32])
def test_images_of_all_stages_are_changed_alike(size):
    one = np.zeros((1, size, size, 3), np.float32)
    one[0, size // 2, size // 2] = 1
    moved = augmentation.apply(one, numbers_of("translation", [0.999, 0.0]))[0, ..., 0]
    (place,) = np.argwhere(moved)
    np.testing.assert_array_equal(place - size // 2, [size // 8, -size // 8])


def test_cutout_is_a_square_of_half_the_side_that_may_leave_the_image(images):
    # Centres 0, 8 and 16 of 17 places.
    drawn = [[0.0, 0.0], [0.5, 0.5], [0.999, 0.5]]
    holes = [(slice(0, 4), slice(0, 4)), (slice(4, 12), slice(4, 12))]
    holes.append((slice(12, 16), slice(4, 12)))
    actual = augmentation.apply(images, numbers_of("cutout", *drawn))
    for image, hole, found in zip(images, holes, actual, strict=True):
        wanted = image.copy()
        wanted[hole] = 0
        np.testing.assert_array_equal(found, wanted)


def test_changes_follow_one_another_in_one_order(images):
    numbers = augmentation.draw(jax.random.key(0), 3, "cutout,color,translation")
    wanted = images
    for name in EVERYTHING.split(","):
        wanted = augmentation.apply(wanted, {name: numbers["real"][name]})
    actual = augmentation.apply(images, numbers["real"])
    np.testing.assert_allclose(actual, wanted, atol=1e-6)


def test_gradient_of_all_changes_equals_a_difference(images):
    numbers = augmentation.draw(jax.random.key(3), 3, EVERYTHING)["judged"]
    rng = np.random.default_rng(1)
    weight, direction = rng.normal(size=(2, *images.shape))
    with jax.enable_x64(True):

        def value(x):
            return jnp.sum(weight * augmentation.apply(x, numbers))

        slope = np.asarray(jax.grad(value)(images.astype(float)))
        sides = (images + s * direction for s in (1.0, -1.0))
        ahead, behind = (float(value(x)) for x in sides)
    # Every change is linear but for a constant.
    np.testing.assert_allclose(np.sum(slope * direction), (ahead - behind) / 2)
    assert np.abs(slope).max() > 0.1
