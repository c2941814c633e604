"""Meshes, global batches, and the GAN step on eight devices equal to one."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from support import PYTHONPATH, ROOT, command

from mirrorgan_jax.parallel import constraints
from mirrorgan_jax.parallel import mesh as meshes

MESHES = [(8, 1), (4, 2), (2, 4), (1, 8)]
STAGES = ("stem", "stream", "gan")


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


def on_eight_devices(script, *arguments):
    """What a script of tests/support prints, as JSON, on eight virtual devices."""
    result = subprocess.run(
        [sys.executable, "-m", f"support.{script}", *map(json.dumps, arguments)],
        cwd=ROOT, capture_output=True, text=True,
        env={
            **os.environ,
            **command.virtual_devices(8),
            "PYTHONPATH": PYTHONPATH,
        },
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def eight_devices():
    """What `mesh_step.py` finds, in the paper's form."""
    return on_eight_devices("mesh_step", MESHES, ["paper"])


def assert_equal_steps(found, key, *, compared=2):
    """Losses to 1e-5, gradients to 1e-4 of their norm, at the first and tenth step."""
    differences = found[key]
    assert len(differences) == compared
    assert all(d["loss"] <= 1e-5 and d["gradient"] <= 1e-4 for d in differences), (
        key,
        differences,
    )


def test_mesh_takes_the_devices_that_are_left(eight_devices):
    assert eight_devices["left"] == [4, 2]


def test_state_is_born_the_same_on_every_mesh(eight_devices):
    assert eight_devices["birth"] < 1e-6


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_global_batch_puts_rows_where_they_are_needed(eight_devices, mesh):
    found = eight_devices["placement"][str(mesh)]
    assert found["rows"] == list(range(8))
    assert found["rows_a_device"] == 8 // mesh[0]
    assert found["batch_is_the_batch"]


@pytest.mark.parametrize("mesh", MESHES[1:], ids=str)
def test_activations_are_split_along_their_rows(eight_devices, mesh):
    data, spatial = mesh
    parts = eight_devices["placement"][str(mesh)]["parts_of_maps"]
    for rows in (16, 32):
        assert parts[f"8 x {rows}"] == [8 // data, rows // spatial]
        assert parts[f"4 x {rows}"] == [4 // data, rows // spatial]
    # Small maps by images, and whole where the batch does not divide.
    for rows in (4, 8):
        assert parts[f"8 x {rows}"] == [1, rows]
        assert parts[f"4 x {rows}"] == [4 // data, rows]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_ten_steps_on_eight_devices_equal_one(eight_devices, mesh, stage):
    assert_equal_steps(eight_devices["difference"], f"paper {stage} {mesh}")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("mesh", MESHES[1:], ids=str)
def test_ten_steps_of_fewer_rows_than_devices_equal_one(eight_devices, mesh, stage):
    assert_equal_steps(eight_devices["few"], f"{stage} {mesh}")


@pytest.mark.parametrize("mesh", MESHES[1:], ids=str)
def test_step_with_the_matching_loss_equals_one(eight_devices, mesh):
    # Its captions are split over `spatial`, which once reached kernels of G.
    assert_equal_steps(eight_devices["few"], f"gan with DAMSM {mesh}", compared=1)


def test_sharded_optimizer_holds_a_part_and_changes_nothing(eight_devices):
    found = eight_devices["sharded_optimizer"]
    assert found["share"] < 0.2  # an eighth, and what eight does not divide
    assert found["whole_parameters"]
    assert found["difference"]["loss"] <= 1e-5
    assert found["difference"]["gradient"] <= 1e-4


@pytest.mark.slow
def test_ten_steps_of_the_reference_preset_equal_one():
    found = on_eight_devices("mesh_step", MESHES, ["reference"])
    for stage in STAGES:
        for mesh in MESHES:
            assert_equal_steps(found["difference"], f"reference {stage} {mesh}")


def test_run_goes_on_on_another_mesh():
    found = on_eight_devices("elastic_run")
    assert found["meshes"] == [[8, 1], [1, 1], [2, 2], [4, 2]]
    assert found["rows"] == found["rows_of_one_device"]  # the order of the data
    assert found["loss"] <= 1e-4
    assert found["parameters"] <= 1e-4


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
