"""Where activations and gradients lie on the mesh in use, and what it is against.

The constraints are the identity outside a mesh (`jax.set_mesh`) and on one device. Each
says what the compiler does without it, in jax 0.10.2 on eight virtual CPU devices, and
the test that then fails; tests without a file are of tests/parallel/test_mesh.py.
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


def platform():
    """What is computed on: "cpu", "gpu", "tpu". That of the mesh in use, whose devices
    need not be here; outside of any that of the process."""
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    return getattr(device, "platform", None) or jax.default_backend()


def splits_rows():
    """Whether the mesh in use splits images along their rows."""
    return _sizes()["spatial"] > 1


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
    surround. They are split by images over both axes where the batch divides, and
    otherwise whole on all devices of `spatial`.

    Without the rule on small maps, where a convolution's output has fewer rows a device
    than its kernel, the kernel's gradient is split instead and gathered:
    test_no_kernel_and_no_large_map_is_gathered. Without it and without `replicate` on
    new parameters, gradients are wrong by 4 % of their norm:
    test_step_with_the_matching_loss_equals_one, mesh (4, 2).

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

    The batch is split over both axes where it divides, else over `data` alone. With
    `data` alone, devices along `spatial` would all do the same work:
    test_activations_are_split_along_their_rows.
    """
    return _constrained(x, AXES if divides(x.shape[0]) else "data")


def shard_maps(x):
    """Constrains activations [B, H, W, ...] of a network that sees whole images.

    They stay split by images where `shard_images` splits its input over both axes,
    else they are split along their rows. Without that, maps of STREAM change places and
    are gathered: test_devices_of_a_network_split_by_images_exchange_sums_alone.
    """
    return shard_images(x) if divides(x.shape[0]) else shard_rows(x)


def shard_batch(x):
    """Constrains [B, ...] to ('data',): every device of a row of `spatial` has all.

    Without it before copies of an image are made, each of them gathers it; without it
    before the DAMSM loss, whose captions may be split over `spatial`, the compiler
    carries that split into the generator and gathers kernels, whose gradient was seen
    to be wrong: test_no_kernel_and_no_large_map_is_gathered.
    """
    return _constrained(x, "data")


def replicate(tree):
    """Constrains arrays to be whole on every device.

    Of new parameters: convolutions with a kernel that the compiler left split over the
    mesh were seen to be wrong by a factor. The rule on small maps of `shard_rows` is a
    second guard; without both test_step_with_the_matching_loss_equals_one fails.
    """
    return _constrained(tree)


def whole_gradients(grads):
    """Constrains gradients to be whole on every device where `spatial` splits maps.

    The compiler was seen to split some of them along their kernels' rows, update in
    parts, and gather parameters and both moments. The programs of the tests' networks
    are the same without it, and no test fails. With `data` alone they follow the state
    of the optimiser, which `state_shardings` may have split.
    """
    return replicate(grads) if _sizes()["spatial"] > 1 else grads
