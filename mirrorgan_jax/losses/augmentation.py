"""Differentiable augmentation of what a discriminator sees (DiffAugment, 2006.10738).

Real and generated images are changed at random before the discriminators alone see
them, and gradients reach the generator through the change.
"""

import jax
import jax.numpy as jnp

from mirrorgan_jax.parallel import constraints

# Real images, which those of wrong pairs are, generated ones as D's own update sees
# them, and as L_G does: each has numbers of its own.
KINDS = ("real", "fake", "judged")


def _color(images, numbers):
    """Brightness by at most 1/2, saturation by 0 to 2, contrast by 1/2 to 3/2."""
    brightness, saturation, contrast = (
        numbers[:, i, None, None, None] for i in range(3)
    )
    images = images + (brightness - 0.5)
    grey = images.mean(-1, keepdims=True)
    images = grey + 2 * saturation * (images - grey)
    mean = images.mean((1, 2, 3), keepdims=True)
    return mean + (contrast + 0.5) * (images - mean)


def _translation(images, numbers):
    """Whole pixels down and right, at most an eighth of the side; zeros come in."""
    size = images.shape[1]
    reach = int(size / 8 + 0.5)
    line = jnp.arange(size)

    def taken(number):
        """[B, size, size]: which row or column stands where."""
        shift = jnp.floor(number * (2 * reach + 1)).astype(jnp.int32) - reach
        return jnp.equal(line[None, :, None] - shift[:, None, None], line[None, None])

    # Products, whose gradients are products: those of an index are sums in no order.
    return jnp.einsum(
        "brR,bRCk,bcC->brck",
        taken(numbers[:, 0]).astype(images.dtype), images,
        taken(numbers[:, 1]).astype(images.dtype),
        precision="highest",
    )  # fmt: skip


def _cutout(images, numbers):
    """A square of half the side is zero; it may reach over the border."""
    size = images.shape[1]
    side = int(size / 2 + 0.5)
    centre = jnp.floor(numbers * (size + 1 - side % 2)).astype(jnp.int32)
    place = jnp.arange(size)[None, :, None] - centre[:, None] + side // 2
    inside = (place >= 0) & (place < side)  # [B, size, 2]
    hole = inside[:, :, None, 0] & inside[:, None, :, 1]
    return jnp.where(hole[..., None], 0, images)


# In the order in which they follow one another: function, numbers an image.
_CHANGES = {
    "color": (_color, 3),
    "translation": (_translation, 2),
    "cutout": (_cutout, 2),
}


def draw(key, batch_size, policy):
    """Random numbers of a batch's augmentations.

    Args:
      key: of the step.
      batch_size: B.
      policy: names of changes with commas between, "color,translation,cutout"; "" for
        none.

    Returns:
      {kind: {name: [B, n] in [0, 1)}} for each of `KINDS`.
    """
    names = policy.split(",")
    return {
        kind: {
            name: jax.random.uniform(
                jax.random.fold_in(key, i * len(_CHANGES) + j), (batch_size, count)
            )
            for j, (name, (_, count)) in enumerate(_CHANGES.items())
            if name in names
        }
        for i, kind in enumerate(KINDS)
    }


def apply(images, numbers):
    """Images as a discriminator sees them.

    The numbers are shares of the side: images of all stages are changed alike.
    Sharding: every image is whole on a device.

    Args:
      images: [B, q, q, 3] in [-1, 1]; colours may leave that range.
      numbers: {name: [B, n]}, one kind of what `draw` returns; {} changes nothing.

    Returns:
      [B, q, q, 3].
    """
    if numbers:
        images = constraints.shard_images(images)
    for name, (change, _) in _CHANGES.items():
        if name in numbers:
            images = change(images, numbers[name])
    return images
