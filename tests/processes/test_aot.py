"""The command that compiles a stage for chips and meshes that do not exist."""

import importlib.util
import os
import subprocess
import sys

import pytest
from support import ROOT


def run(*flags):
    """The command with --compile_only on the tiny configuration."""
    return subprocess.run(
        [
            sys.executable, "-m", "mirrorgan_jax.main", "--compile_only",
            "--config=tests/support/tiny_config.py", "--stage=stream", *flags,
        ],
        cwd=ROOT, capture_output=True, text=True,
        # One device, and quickly: the mesh is made of virtual ones.
        env={
            **os.environ, "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
        },
    )  # fmt: skip


def test_command_reports_a_mesh_that_does_not_exist():
    result = run("--config.mesh.data=2", "--config.mesh.spatial=2")
    assert result.returncode == 0, result.stderr
    assert "stream: batch 4 on 4 cpu, {'data': 2, 'spatial': 2}" in result.stdout
    assert "GFLOP" in result.stdout and "all-reduce" in result.stdout


def test_other_stages_and_data_are_not_asked_for():
    result = run(
        "--config.data.name=cub", "--config.mesh.data=2", "--config.gan.batch_size=3"
    )
    assert result.returncode == 0, result.stderr


def test_batch_that_does_not_fit_the_mesh_is_named():
    result = run("--config.mesh.data=3")
    assert result.returncode == 1
    assert "config.stream.batch_size = 4: allowed are multiples" in result.stderr


def test_topology_without_compile_only_is_refused():
    result = run("--nocompile_only", "--topology=v5e:2x2")
    assert result.returncode != 0
    assert "--topology needs --compile_only" in result.stdout + result.stderr


HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None


@pytest.mark.skipif(HAS_LIBTPU, reason="libtpu is installed")
def test_topology_without_libtpu_says_what_to_install():
    result = run("--topology=v5e:2x2")
    assert result.returncode == 1
    assert "error: --topology=v5e:2x2" in result.stderr
    assert "pip install 'mirrorgan_jax[tpu]'" in result.stderr


@pytest.mark.skipif(not HAS_LIBTPU, reason="needs libtpu: pip install -e .[tpu]")
def test_step_compiles_for_chips_that_do_not_exist():
    result = run("--topology=v5e:2x2", "--config.mesh.spatial=2")
    assert result.returncode == 0, result.stderr
    assert "on 4 TPU v5 lite, {'data': 2, 'spatial': 2}" in result.stdout
    # Maps of the tiny network are at most 32 pixels; the input alone is gathered.
    assert "activations gathered" not in result.stdout.replace("(2, 32, 32, 3)", "")
