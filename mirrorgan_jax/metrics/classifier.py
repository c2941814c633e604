"""A classifier that reads the attributes of images, trained where they are known."""

from functools import partial
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax


class AttributeNet(nn.Module):
    """Convolutions to a coarse map, then each attribute looks where it wants.

    Attributes:
      heads: (name, number of values) of each attribute.
      widths: channels of the patches, then of each 3x3 convolution; the first of
        these halves the map.
      patch: pixels along the side of a patch.
    """

    heads: tuple[tuple[str, int], ...]
    widths: tuple[int, ...] = (48, 64, 64)
    patch: int = 4

    @nn.compact
    def __call__(self, images, *, with_features: bool = False):
        """Images [B, S, S, 3] in [-1, 1] -> tuple of logits [B, values].

        With features the result is a pair: [B, C], the last map's mean over positions,
        and the logits.
        """
        # Patches as one matrix product: a strided convolution takes twice as long.
        side = images.shape[1] // self.patch
        x = images.reshape(-1, side, self.patch, side, self.patch, 3)
        x = x.transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, side, side, 3 * self.patch**2)
        x = nn.Dense(self.widths[0], name="patches")(x)
        for level, width in enumerate(self.widths[1:]):
            x = nn.relu(nn.LayerNorm(name=f"norm_{level}")(x))
            stride = 2 if level == 0 else 1
            x = nn.Conv(width, (3, 3), strides=stride, name=f"conv_{level}")(x)
        x = nn.relu(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])  # [B, H*W, C]
        # A crown is a few pixels that move with the pose: the mean over the whole
        # map would drown it.
        focus = nn.Dense(len(self.heads), name="focus")(x)
        weights = nn.softmax(focus.astype(jnp.float32), axis=1)
        pooled = jnp.einsum("bra,brc->abc", weights, x)
        logits = tuple(
            nn.Dense(values, name=f"head_{name}")(pooled[number])
            for number, (name, values) in enumerate(self.heads)
        )
        return (x.mean(1), logits) if with_features else logits


@flax.struct.dataclass
class Classifier:
    """A trained attribute classifier: parameters and what they classify."""

    params: Any
    heads: tuple[tuple[str, int], ...] = flax.struct.field(pytree_node=False)


def augmented(key, images):
    """[B, S, S, 3] in [0, 1], shifted, mirrored, recoloured and blurred a little."""
    batch, size = images.shape[:2]
    keys = jax.random.split(key, 7)
    margin = max(size // 16, 1)
    padded = jnp.pad(images, ((0, 0), (margin,) * 2, (margin,) * 2, (0, 0)), "edge")
    corner = jax.random.randint(keys[0], (batch, 2), 0, 2 * margin + 1)

    def crop(image, at):
        return jax.lax.dynamic_slice(image, (at[0], at[1], 0), (size, size, 3))

    images = jax.vmap(crop)(padded, corner)
    one = (batch, 1, 1, 1)
    flip = jax.random.bernoulli(keys[1], 0.5, one)
    images = jnp.where(flip, images[:, :, ::-1], images)
    # Grey, white and brown differ by little: the jitter has to stay below that.
    light = jax.random.uniform(keys[2], one, minval=0.9, maxval=1.1)
    tint = jax.random.uniform(keys[3], (batch, 1, 1, 3), minval=0.95, maxval=1.05)
    images = images * light * tint
    # Generated images are softer than photographs and carry texture of their own.
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    soft = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
    images += jax.random.uniform(keys[4], one) * (soft - images)
    # One field for the whole batch, another each step: a field each costs more
    # than the rest of the augmentation.
    noise = jax.random.normal(keys[5], images.shape[1:])
    images += jax.random.uniform(keys[6], one, maxval=0.04) * noise[None]
    return jnp.clip(images, 0, 1)


def _loss(params, net, images, attributes):
    logits = net.apply({"params": params}, images)
    losses = [
        optax.softmax_cross_entropy_with_integer_labels(head, attributes[:, number])
        for number, head in enumerate(logits)
    ]
    return jnp.stack(losses).mean()


@partial(jax.jit, static_argnames=("net", "optimizer"), donate_argnums=(0, 1))
def _train_step(params, opt_state, key, images, attributes, *, net, optimizer):
    """One update from uint8 images [B, S, S, 3] and attributes [B, A]."""
    images = 2 * augmented(key, images.astype(jnp.float32) / 255) - 1
    loss, grads = jax.value_and_grad(_loss)(params, net, images, attributes)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


def _check_attributes(attributes, heads, count):
    """[n, A] int32, refused when out of the range of the heads."""
    attributes = np.asarray(attributes, np.int32)
    if attributes.shape != (count, len(heads)):
        raise ValueError(
            f"attributes has shape {attributes.shape}: allowed is"
            f" ({count}, {len(heads)})"
        )
    for number, (name, values) in enumerate(heads):
        column = attributes[:, number]
        if count and (column.min() < 0 or column.max() >= values):
            raise ValueError(
                f"attribute {name!r} has values {column.min()} to {column.max()}:"
                f" allowed are 0 to {values - 1}"
            )
    return attributes


def train_classifier(
    images, attributes, cardinalities, *, steps, batch_size, seed, progress=None
):
    """Trains the classifier on real images.

    Args:
      images: [n, S, S, 3] uint8; varied combinations, far more than those of the
        images to be judged (a fixed set of species is learned by heart).
      attributes: [n, A] int, one column for each attribute.
      cardinalities: dict of attribute name -> number of values, in the order of
        the columns.
      steps: updates.
      batch_size: images an update.
      seed: of initial parameters, order and augmentation.
      progress: called as `progress(step, loss)` after each update, or None.

    Returns:
      Classifier.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ValueError(
            f"images are {images.dtype} {images.shape}: allowed is uint8 [n, S, S, 3]"
        )
    if any(side % AttributeNet.patch for side in images.shape[1:3]):
        raise ValueError(
            f"images are {images.shape[1]} x {images.shape[2]}: allowed are"
            f" multiples of {AttributeNet.patch}"
        )
    heads = tuple((name, int(values)) for name, values in cardinalities.items())
    attributes = _check_attributes(attributes, heads, len(images))
    net = AttributeNet(heads)
    init_key, step_key = jax.random.split(jax.random.key(seed))
    blank = jnp.zeros((1, *images.shape[1:]), jnp.float32)
    params = jax.jit(net.init)(init_key, blank)["params"]
    schedule = optax.cosine_onecycle_schedule(max(steps, 4), 6e-3, pct_start=0.2)
    optimizer = optax.adam(schedule)
    opt_state = optimizer.init(params)
    rng = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for step in range(1, steps + 1):
        while len(order) < batch_size:
            order = np.concatenate([order, rng.permutation(len(images))])
        rows, order = order[:batch_size], order[batch_size:]
        params, opt_state, loss = _train_step(
            params,
            opt_state,
            jax.random.fold_in(step_key, step),
            images[rows],
            attributes[rows],
            net=net,
            optimizer=optimizer,
        )
        if progress is not None:
            progress(step, float(loss))
    return Classifier(params=params, heads=heads)
