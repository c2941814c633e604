"""Where activations and gradients lie on the mesh in use.

The constraints are the identity outside a mesh (`jax.set_mesh`) and on one device.
"""

import math

import jax
from jax.sharding import PartitionSpec

from mirrorgan_jax.parallel.mesh import AXES

_FEWEST_ROWS = 16  # of a map that is split along its rows


def _sizes():
    """{axis: devices along it} of the mesh in use; ones outside of any."""
    mesh = jax.sharding.get_abstract_mesh()
    return dict.fromkeys(AXES, 1) if mesh.empty else dict(mesh.shape)


def divides(rows, axes=AXES):
    """Whether the devices along `axes` share so many rows evenly."""
    sizes = _sizes()
    return rows % math.prod(sizes[axis] for axis in axes) == 0


def _constrained(x, *axes):
    if math.prod(_sizes().values()) == 1:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*axes))


def shard_rows(x, *, narrowest=None):
    """Constrains activations [B, H, W, ...] to ('data', 'spatial').

    Small maps are not split along their rows: halos would be larger than what they
    surround, and where a convolution's output has fewer rows a device than its kernel,
    the kernel's gradient is split instead and has to be gathered. They are split by
    images over both axes where the batch divides, and otherwise whole on all devices
    of `spatial`.

    Args:
      x: the activations.
      narrowest: rows of the map that is made of x next, where these are fewer.
    """
    spatial = _sizes()["spatial"]
    rows = min(x.shape[1], narrowest or x.shape[1])
    if spatial == 1 or rows % spatial or rows < max(2 * spatial, _FEWEST_ROWS):
        return shard_images(x)
    return _constrained(x, "data", "spatial")


def shard_images(x):
    """Constrains [B, ...] so that every image is whole on a device.

    The batch is split over both axes where it divides, else over `data` alone.
    """
    return _constrained(x, AXES if divides(x.shape[0]) else "data")


def shard_maps(x):
    """Constrains activations [B, H, W, ...] of a network that sees whole images.

    They stay split by images where `shard_images` splits its input over both axes,
    else they are split along their rows.
    """
    return shard_images(x) if divides(x.shape[0]) else shard_rows(x)


def shard_batch(x):
    """Constrains [B, ...] to ('data',): every device of a row of `spatial` has all."""
    return _constrained(x, "data")


def replicate(tree):
    """Constrains arrays to be whole on every device."""
    return _constrained(tree)


def whole_gradients(grads):
    """Constrains gradients to be whole on every device where `spatial` splits maps.

    The compiler would split some of them along their kernels' rows, update in parts,
    and gather parameters and both moments. With `data` alone they follow the state of
    the optimiser, which `state_shardings` may have split.
    """
    return replicate(grads) if _sizes()["spatial"] > 1 else grads
