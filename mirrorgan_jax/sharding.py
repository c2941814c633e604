"""Mesh of ('data', 'spatial') devices, activation constraints, global batches."""

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

AXES = ("data", "spatial")


def create_mesh(data=-1, spatial=1, devices=None):
    """Device mesh with Auto axes `('data', 'spatial')`.

    Args:
      data: devices along the batch; -1 takes what `spatial` leaves.
      spatial: devices along image rows.
      devices: the devices to use; None takes all.

    Raises:
      ValueError: the product does not equal the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    count = len(devices)
    if spatial < 1 or (data != -1 and data < 1):
        raise ValueError(
            f"mesh.data = {data}, mesh.spatial = {spatial}: sizes are positive"
            " (or data = -1 for what is left)"
        )
    if data == -1:
        data = count // spatial
    if data * spatial != count:
        raise ValueError(
            f"mesh.data = {data} times mesh.spatial = {spatial} is not the"
            f" number of devices, {count}"
        )
    return jax.make_mesh(
        (data, spatial), AXES, axis_types=(AxisType.Auto,) * 2, devices=devices
    )


def shard_rows(x):
    """Constrains activations [B, H, W, ...] to ('data', 'spatial').

    The identity outside a mesh (`jax.set_mesh`) and on one device. Maps with
    fewer rows than two for each device stay whole along their rows: halos would
    be larger than what they surround.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    spatial = mesh.shape["spatial"]
    rows = x.shape[1]
    split = spatial > 1 and rows % spatial == 0 and rows >= 2 * spatial
    spec = PartitionSpec("data", "spatial" if split else None)
    return jax.lax.with_sharding_constraint(x, spec)


def replicated(mesh):
    """Sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh):
    """Sharding of a batch leaf: its first axis over `data`."""
    return NamedSharding(mesh, PartitionSpec("data"))


def local_rows(mesh, batch_size):
    """Rows of the global batch that this process's devices need, ascending.

    Returns:
      int array of positions in [0, batch_size).
    """
    sharding = batch_sharding(mesh)
    needed = set()
    for (rows,) in sharding.addressable_devices_indices_map((batch_size,)).values():
        needed.update(range(*rows.indices(batch_size)))
    return np.array(sorted(needed), np.int64)


def global_batch(mesh, rows, batch, batch_size):
    """Global arrays [batch_size, ...] from this process's rows.

    Args:
      mesh: the device mesh.
      rows: what `local_rows` returned.
      batch: dict of arrays whose first axis follows `rows`.
      batch_size: global batch size.
    """
    sharding = batch_sharding(mesh)

    def place(values):
        values = np.asarray(values)
        shape = (batch_size, *values.shape[1:])

        def block(index):
            wanted = np.arange(*index[0].indices(batch_size))
            return values[np.searchsorted(rows, wanted)][(slice(None), *index[1:])]

        return jax.make_array_from_callback(shape, sharding, block)

    return jax.tree.map(place, batch)
