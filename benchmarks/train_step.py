"""Time of one GAN step on random data.

    python benchmarks/train_step.py --config=configs/toybirds.py --steps=20

Prints the compile time, the median and the spread of a step, and images a second.
Compare two variants as a ratio of runs made in turn: one figure alone says as much
about the machine as about the code.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from mirrorgan_jax import config as configs
from mirrorgan_jax import networks, sharding
from mirrorgan_jax.training import gan_step
from mirrorgan_jax.training import state as states

_CONFIG = config_flags.DEFINE_config_file("config", "configs/toybirds.py")
_STEPS = flags.DEFINE_integer("steps", 20, "Steps that are timed.", lower_bound=1)
_VOCAB = flags.DEFINE_integer("vocab", 5450, "Words of the vocabulary.", lower_bound=2)


def _setup(config):
    """(mesh, jitted step, state, frozen, batch)."""
    c, rng = config.gan, np.random.default_rng(0)
    sizes = configs.stage_sizes(c)
    modules = networks.gan(config, _VOCAB.value)
    optimizers = networks.gan_optimizers(config)
    create = gan_step.make_create_state(
        modules,
        optimizers,
        word_dim=config.stem.word_dim,
        z_dim=c.z_dim,
        condition_dim=c.condition_dim,
    )
    words = config.text.num_words
    batch = {
        "image": rng.integers(
            0, 256, (c.batch_size, sizes[-1], sizes[-1], 3), np.uint8
        ),
        "tokens": rng.integers(1, _VOCAB.value, (c.batch_size, words)).astype(np.int32),
        "length": np.full(c.batch_size, words, np.int32),
    }

    def init_frozen(key):
        image = jnp.zeros((2, sizes[-1], sizes[-1], 3))
        tokens = jnp.ones((2, words), jnp.int32)
        text = modules.text_encoder.init(key, tokens, jnp.full(2, words), train=False)
        stream = {}
        if c.lambda_stream:
            stream = modules.captioner.init(key, image, tokens, train=False)
        return {"stem": text, "stream": stream}

    key = jax.random.key(0)
    step = gan_step.make_train_step(
        modules,
        optimizers,
        networks.gan_weights(config),
        sizes=sizes,
        z_dim=c.z_dim,
        condition_dim=c.condition_dim,
    )
    mesh = sharding.create_mesh(config.mesh.data, config.mesh.spatial)
    rows = sharding.local_rows(mesh, c.batch_size)
    return (
        mesh,
        jax.jit(step, donate_argnums=0),
        states.create(create, mesh, key),
        states.create(init_frozen, mesh, key),
        sharding.global_batch(mesh, rows, batch, c.batch_size),
    )


def main(argv):
    """Prints the figures."""
    del argv
    config = _CONFIG.value
    mesh, step, state, frozen, batch = _setup(config)
    jax.set_mesh(mesh)
    key = jax.random.key(1)
    begin = time.perf_counter()
    state, metrics = jax.block_until_ready(step(state, frozen, batch, key))
    print(f"first step, with compilation: {time.perf_counter() - begin:.1f} s")
    seconds, cpu = [], time.process_time()
    for _ in range(_STEPS.value):
        begin = time.perf_counter()
        state, metrics = jax.block_until_ready(step(state, frozen, batch, key))
        seconds.append(time.perf_counter() - begin)
    cores = (time.process_time() - cpu) / sum(seconds)
    median = float(np.median(seconds))
    print(
        f"step: median {1e3 * median:.1f} ms (min {1e3 * min(seconds):.1f}, max"
        f" {1e3 * max(seconds):.1f}), {config.gan.batch_size / median:.1f} images/s,"
        f" batch {config.gan.batch_size}, {mesh.size} x {jax.devices()[0].device_kind}"
    )
    print(f"cores of this host that were busy: {cores:.1f}")
    print(f"G/loss {float(metrics['G/loss']):.4g}")


if __name__ == "__main__":
    app.run(main)
