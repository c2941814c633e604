"""Meshes, rows of global batches, and where arrays are placed."""

import jax
import numpy as np
import pytest

from mirrorgan_jax.parallel import constraints
from mirrorgan_jax.parallel import mesh as meshes


def test_mesh_of_one_device_has_both_axes():
    mesh = meshes.create_mesh(devices=jax.devices()[:1])
    assert dict(mesh.shape) == {"data": 1, "spatial": 1}


@pytest.mark.parametrize(("data", "spatial"), [(2, 1), (1, 2), (0, 1), (1, 0), (-2, 1)])
def test_mesh_of_another_size_is_refused(data, spatial):
    with pytest.raises(ValueError, match=f"mesh.data = {data}.*spatial = {spatial}"):
        meshes.create_mesh(data, spatial, devices=jax.devices()[:1])


def test_rows_are_left_alone_without_a_mesh():
    x = np.ones((2, 4, 4, 3))
    assert constraints.shard_rows(x) is x


def test_global_batch_of_one_process_is_the_batch():
    mesh = meshes.create_mesh(devices=jax.devices()[:1])
    rows = meshes.local_rows(mesh, 6)
    np.testing.assert_array_equal(rows, range(6))
    batch = {"a": np.arange(12).reshape(6, 2), "b": np.arange(6)}
    placed = meshes.global_batch(mesh, rows, batch, 6)
    for key, value in batch.items():
        np.testing.assert_array_equal(placed[key], value)
        assert placed[key].sharding == meshes.batch_sharding(mesh)


def arrays(mesh, shard_optimizer):
    """Abstract leaves of a state with an optimiser, placed."""
    tree = {
        "params": {"w": jax.ShapeDtypeStruct((6, 4), np.float32)},
        "opt_state": {"mu": jax.ShapeDtypeStruct((6, 4), np.float32)},
    }
    placed = meshes.state_shardings(tree, mesh, shard_optimizer=shard_optimizer)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, placed
    )


def test_optimizer_state_is_split_along_its_longest_fitting_axis():
    mesh = jax.sharding.AbstractMesh((4, 1), meshes.AXES)
    tree = jax.tree.map(lambda x: x.sharding.spec, arrays(mesh, True))
    # Six rows are more than four columns, but four devices do not divide them.
    assert tuple(tree["opt_state"]["mu"]) == (None, "data")
    assert tuple(tree["params"]["w"]) == ()
    whole = jax.tree.map(lambda x: x.sharding.spec, arrays(mesh, False))
    assert tuple(whole["opt_state"]["mu"]) == ()


def test_table_names_every_array_and_counts_bytes_of_one_device():
    mesh = jax.sharding.AbstractMesh((2, 1), meshes.AXES)
    head, *rows, total = meshes.table(arrays(mesh, True)).splitlines()
    assert head.split()[:3] == ["array", "shape", "dtype"]
    cells = {row.split()[0]: row.split() for row in rows}
    assert cells["params/w"][-2:] == ["whole", "96"]
    assert cells["opt_state/mu"][-2:] == ["data", "48"]
    assert total.split()[:2] == ["2", "arrays"] and total.split()[-1] == "144"
