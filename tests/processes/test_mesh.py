"""The GAN step on eight devices equal to one, and a run on one mesh after another."""

import json
import os
import subprocess
import sys

import pytest
from support import PYTHONPATH, ROOT, command

MESHES = [(8, 1), (4, 2), (2, 4), (1, 8)]
STAGES = ("stem", "stream", "gan")


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


@pytest.mark.parametrize("step", ["stream", "stream that looks"])
def test_devices_of_a_network_split_by_images_exchange_sums_alone(eight_devices, step):
    assert eight_devices["communication"][step].keys() == {"all-reduce"}


@pytest.mark.parametrize("step", ["gan", "gan with DAMSM"])
def test_no_kernel_and_no_large_map_is_gathered(eight_devices, step):
    gathered = eight_devices["communication"][step]["all-gather"]
    gathered = [dims for dims in gathered if len(dims) == 4]
    # Maps are [B, rows, rows, C]; kernels have sides of 3 or begin with those of 4.
    kernels = [d for d in gathered if d.count(3) > 1 or d[0] == d[1] != d[2]]
    assert not kernels and max(dims[1] for dims in gathered) <= 16


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


@pytest.mark.parametrize("stage", ["stream", "gan"])
@pytest.mark.parametrize("mesh", MESHES[1:], ids=str)
def test_step_of_a_stream_that_looks_at_regions_equals_one(eight_devices, mesh, stage):
    found = eight_devices["few"]
    assert_equal_steps(found, f"{stage} that looks {mesh}", compared=1)


def test_step_with_every_switch_equals_one(eight_devices):
    # A gradient of a gradient, and images that are moved along split rows.
    assert_equal_steps(eight_devices, "switches")


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
