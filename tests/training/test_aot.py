"""Ahead-of-time compilation: the report, and chips that do not exist."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from support import tiny

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


@pytest.mark.parametrize("decoder", ["lstm", "attention"])
def test_stage_compiles_without_data_or_weights(decoder):
    config = tiny.tiny_config(**{"stream.decoder": decoder})
    mesh = meshes.create_mesh(devices=jax.devices()[:1])
    compiled = aot.compile_stage(config, "stream", mesh, vocab_size=tiny.VOCAB)
    state, _ = compiled.output_shardings
    assert all(
        isinstance(place, NamedSharding) and place.spec == PartitionSpec()
        for place in jax.tree.leaves(state)
    )
    assert aot.report(compiled)["flops"] > 0
