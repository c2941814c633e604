"""Meshes, global batches, and the GAN step on eight devices equal to one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from mirrorgan_jax import sharding

HERE = Path(__file__).parent
MESHES = [(8, 1), (4, 2), (2, 4), (1, 8)]


def test_mesh_of_one_device_has_both_axes():
    mesh = sharding.create_mesh(devices=jax.devices()[:1])
    assert dict(mesh.shape) == {"data": 1, "spatial": 1}


@pytest.mark.parametrize(("data", "spatial"), [(2, 1), (1, 2), (0, 1), (1, 0), (-2, 1)])
def test_mesh_of_another_size_is_refused(data, spatial):
    with pytest.raises(ValueError, match=f"mesh.data = {data}.*spatial = {spatial}"):
        sharding.create_mesh(data, spatial, devices=jax.devices()[:1])


def test_rows_are_left_alone_without_a_mesh():
    x = np.ones((2, 4, 4, 3))
    assert sharding.shard_rows(x) is x


def test_global_batch_of_one_process_is_the_batch():
    mesh = sharding.create_mesh(devices=jax.devices()[:1])
    rows = sharding.local_rows(mesh, 6)
    np.testing.assert_array_equal(rows, range(6))
    batch = {"a": np.arange(12).reshape(6, 2), "b": np.arange(6)}
    placed = sharding.global_batch(mesh, rows, batch, 6)
    for key, value in batch.items():
        np.testing.assert_array_equal(placed[key], value)
        assert placed[key].sharding == sharding.batch_sharding(mesh)


@pytest.fixture(scope="session")
def eight_devices():
    """What `mesh_step.py` finds on eight virtual devices."""
    # Eight devices compile slowly; what is compared needs no fast code.
    flags = (
        "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
        " --xla_llvm_disable_expensive_passes=true"
    )
    result = subprocess.run(
        [sys.executable, HERE / "mesh_step.py", json.dumps(MESHES)],
        cwd=HERE.parent, capture_output=True, text=True,
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
            "PYTHONPATH": str(HERE.parent),
        },
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_mesh_takes_the_devices_that_are_left(eight_devices):
    assert eight_devices["left"] == [4, 2]


def test_state_is_born_the_same_on_every_mesh(eight_devices):
    assert max(eight_devices["birth"].values()) < 1e-6


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_global_batch_puts_rows_where_they_are_needed(eight_devices, mesh):
    found = eight_devices["meshes"][str(mesh)]
    assert found["rows"] == list(range(8))
    assert found["rows_a_device"] == 8 // mesh[0]
    assert found["batch_is_the_batch"]


@pytest.mark.parametrize("mesh", MESHES[1:], ids=str)
def test_activations_are_split_along_their_rows(eight_devices, mesh):
    # Maps with fewer than two rows a device stay whole.
    split = eight_devices["meshes"][str(mesh)]["rows_of_maps"]
    for rows, found in split.items():
        rows = int(rows)
        assert found == (rows // mesh[1] if rows >= 2 * mesh[1] else rows)


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_gan_step_on_eight_devices_equals_one(eight_devices, mesh):
    # Sums in another order: 5e-5 of the largest value of a leaf.
    wrong = {
        key: value
        for key, value in eight_devices["meshes"][str(mesh)]["difference"].items()
        if not value <= 5e-5
    }
    assert not wrong
