"""Mesh of ('data', 'spatial') devices, shardings of state and batches."""

import math

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


def replicated(mesh):
    """Sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(tree, mesh, *, shard_optimizer):
    """Where the leaves of a train state lie.

    Args:
      tree: arrays or `ShapeDtypeStruct`s.
      mesh: the device mesh.
      shard_optimizer: split the leaves under `opt_state` over `data`, along their
        longest axis that it divides; without it, and where there is no such axis,
        every device holds them whole, as it does all other leaves.

    Returns:
      tree of `NamedSharding`.
    """
    data = mesh.shape["data"]

    def place(path, leaf):
        names = {getattr(key, "name", getattr(key, "key", None)) for key in path}
        fitting = [i for i, size in enumerate(leaf.shape) if size % data == 0]
        if not (shard_optimizer and data > 1 and fitting and "opt_state" in names):
            return replicated(mesh)
        axis = max(fitting, key=lambda i: leaf.shape[i])
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))

    return jax.tree_util.tree_map_with_path(place, tree)


def table(tree):
    """A line for every array of a tree: name, shape, dtype, sharding, bytes a device.

    Args:
      tree: arrays or `ShapeDtypeStruct`s with shardings.

    Returns:
      Text; its last line has the sums.
    """
    rows = [("array", "shape", "dtype", "sharding", "bytes a device")]
    total, number = 0, 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        part = leaf.sharding.shard_shape(leaf.shape)
        size = math.prod(part) * leaf.dtype.itemsize
        axes = getattr(leaf.sharding, "spec", ())  # one device alone has none
        spec = ", ".join("-" if axis is None else axis for axis in axes)
        cells = (leaf.shape, leaf.dtype, spec or "whole", f"{size:,}")
        rows.append((name, *map(str, cells)))
        total, number = total + size, number + math.prod(leaf.shape)
    count = len(rows) - 1
    rows.append((f"{count} arrays", f"{number:,} numbers", "", "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i == 4 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


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
