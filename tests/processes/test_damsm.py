"""DAMSM losses on eight devices equal to one."""

import json
import os
import subprocess
import sys

import pytest
from support import ROOT

SHARDED = """
import json, sys
import jax, numpy as np
from mirrorgan_jax.losses import damsm
from mirrorgan_jax.parallel import mesh as meshes

rng = np.random.default_rng(0)
ROWS, *SHAPES = json.loads(sys.argv[1])
regions, words, code, sentence = (
    rng.normal(size=(ROWS, *s)).astype(np.float32) for s in ((9, 6), (5, 6), (6,), (6,))
)
mask = np.arange(5) < rng.integers(1, 6, (ROWS, 1))
class_id = np.arange(ROWS) % 3

def loss(regions, words, mask, code, sentence, class_id):
    return damsm.damsm_loss(
        regions, words, mask, code, sentence, class_id,
        gamma1=4.0, gamma2=5.0, gamma3=10.0)[0]

step = jax.value_and_grad(loss, argnums=(0, 1, 3, 4))
arguments = (regions, words, mask, code, sentence, class_id)
dense = jax.jit(step)(*arguments)
for shape in SHAPES:
    mesh = meshes.create_mesh(*shape)
    with jax.set_mesh(mesh):
        arguments = jax.device_put(arguments, meshes.batch_sharding(mesh))
        split = jax.jit(step)(*arguments)
    for a, b in zip(jax.tree.leaves(dense), jax.tree.leaves(split), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-5)
"""


@pytest.mark.parametrize(
    ("rows", "meshes"),
    # Fewer pairs than devices: captions are shared along `spatial`, or all are whole.
    [(8, [(8, 1), (4, 2), (1, 8)]), (4, [(4, 2), (2, 4), (1, 8)])],
)
def test_sharded_loss_equals_dense(rows, meshes):
    flags = "--xla_force_host_platform_device_count=8"
    result = subprocess.run(
        [sys.executable, "-c", SHARDED, json.dumps([rows, *meshes])],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
