"""Ahead-of-time compilation: the report, and chips that do not exist."""

import importlib.util
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from support import ROOT, tiny

from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import aot

HLO = """
  %a = f32[2,64,64,8]{3,2,1,0} all-gather(f32[2,32,64,8]{3,2,1,0} %x), channel_id=1, x
  %b = f32[2,64,64,8]{3,2,1,0} all-gather(f32[2,32,64,8]{3,2,1,0} %x), channel_id=1, x
  %c = (bf16[4,4,512,64]{3,2,1,0}, f32[3]{0}) all-reduce(%p, %q), channel_id=2, y
  %d = (f32[4]{0}, f32[8]{0}) all-gather-start(f32[4]{0} %r), channel_id=3
  %e = f32[8]{0} all-gather-done(%d)
  %f = f32[4,4,512,64]{3,2,1,0} all-gather(f32[4,4,256,64]{3,2,1,0} %s), channel_id=4
  %h = f32[64,1,64,3]{2,0,3,1} all-gather(f32[16,1,64,3]{2,0,3,1} %u), channel_id=6
  %i = f32[1,1,64,64]{3,2,1,0} all-gather(f32[1,1,32,64]{3,2,1,0} %v), channel_id=7
  %j = f32[16,1,16,64]{3,2,1,0} all-gather(f32[4,1,16,64]{3,2,1,0} %w), channel_id=8
  %g = pred[7]{0} collective-permute(pred[7]{0} %t), channel_id=5
"""


def test_collectives_are_counted_once_with_the_bytes_of_their_results():
    found = aot.collectives(HLO)
    assert [(c.kind, c.bytes) for c in found] == [
        ("all-gather", 4 * 2 * 64 * 64 * 8),
        ("all-reduce", 2 * 4 * 4 * 512 * 64 + 4 * 3),
        ("all-gather", 4 * 8),
        ("all-gather", 4 * 4 * 4 * 512 * 64),
        ("all-gather", 4 * 64 * 64 * 3),
        ("all-gather", 4 * 64 * 64),
        ("all-gather", 4 * 16 * 16 * 64),
        ("collective-permute", 7),
    ]


def test_gathered_maps_are_large_activations_and_no_kernels():
    found = aot.gathered_maps(aot.collectives(HLO), 16)
    assert [c.shapes for c in found] == [((2, 64, 64, 8),), ((64, 1, 64, 3),)]
    assert not aot.gathered_maps(aot.collectives(HLO), 64)


def test_report_of_a_product():
    compiled = jax.jit(jnp.matmul).lower(*[jnp.ones((8, 8))] * 2).compile()
    found = aot.report(compiled)
    assert found["flops"] == pytest.approx(2 * 8**3, rel=0.1)
    assert found["arguments"] == 2 * 4 * 64
    assert found["collectives"] == {} and found["gathered_maps"] == []


def test_stage_compiles_without_data_or_weights():
    config = tiny.tiny_config()
    mesh = meshes.create_mesh(devices=jax.devices()[:1])
    compiled = aot.compile_stage(config, "stream", mesh, vocab_size=tiny.VOCAB)
    state, _ = compiled.output_shardings
    assert all(
        isinstance(place, NamedSharding) and place.spec == PartitionSpec()
        for place in jax.tree.leaves(state)
    )
    assert aot.report(compiled)["flops"] > 0


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
