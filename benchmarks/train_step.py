"""Time of one GAN step on random data.

    python benchmarks/train_step.py --config=configs/toybirds.py --steps=20

Prints the compile time, the median and the spread of a step, and images a second.
Compare two variants as a ratio of runs made in turn: one figure alone says as much
about the machine as about the code. With a gradient penalty every `gan.penalty_every`
steps the mean over a multiple of them is the one to compare.
"""

import time

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import stages
from mirrorgan_jax.training import state as states


def setup(config, vocab_size):
    """(mesh, trainer, state, frozen, batch, key) on random data."""
    c, key = config.gan, jax.random.key(0)
    trainer = stages.gan(config, vocab_size)
    mesh = meshes.create_mesh(config.mesh.data, config.mesh.spatial)
    state = states.create(
        trainer.create, mesh, key, shard_optimizer=config.mesh.shard_optimizer
    )
    frozen = states.create(stages.init_frozen(config, "gan", vocab_size), mesh, key)
    batch = stages.random_batch(config, "gan", vocab_size)
    rows = meshes.local_rows(mesh, c.batch_size)
    batch = meshes.global_batch(mesh, rows, batch, c.batch_size)
    return mesh, trainer, state, frozen, batch, states.create(lambda: key, mesh)


def measure(config, *, steps, vocab_size):
    """Prints the figures of so many steps."""
    mesh, trainer, state, frozen, batch, key = setup(config, vocab_size)
    begin = time.perf_counter()
    program = states.compile_steps(
        trainer.train_step, trainer.lazy, state, frozen, batch, key, mesh
    )
    print(f"compilation: {time.perf_counter() - begin:.1f} s")
    state, metrics = jax.block_until_ready(program(1)(state, frozen, batch, key))
    seconds, cpu = [], time.process_time()
    for number in range(1, steps + 1):
        begin = time.perf_counter()
        results = program(number)(state, frozen, batch, key)
        state, metrics = jax.block_until_ready(results)
        seconds.append(time.perf_counter() - begin)
    cores = (time.process_time() - cpu) / sum(seconds)
    median = float(np.median(seconds))
    print(
        f"step: median {1e3 * median:.1f} ms (min {1e3 * min(seconds):.1f}, max"
        f" {1e3 * max(seconds):.1f}, mean {1e3 * np.mean(seconds):.1f}),"
        f" {config.gan.batch_size / median:.1f} images/s, batch"
        f" {config.gan.batch_size}, {mesh.size} x {jax.devices()[0].device_kind}"
    )
    print(f"cores of this host that were busy: {cores:.1f}")
    print(f"G/loss {float(metrics['G/loss']):.4g}")


if __name__ == "__main__":
    CONFIG = config_flags.DEFINE_config_file("config", "configs/toybirds.py")
    STEPS = flags.DEFINE_integer("steps", 20, "Steps that are timed.", lower_bound=1)
    VOCAB = flags.DEFINE_integer("vocab", 5450, "Words of a vocabulary.", lower_bound=2)
    app.run(
        lambda argv: measure(CONFIG.value, steps=STEPS.value, vocab_size=VOCAB.value)
    )
