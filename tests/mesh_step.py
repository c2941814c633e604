"""One GAN step on several meshes; prints how far it is from one device as JSON.

Run by test_sharding.py with eight virtual devices: their number is decided before
jax starts.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny

from mirrorgan_jax import sharding
from mirrorgan_jax.training import state as states

# Adam's first step is the gradient's sign, which rounding decides where the gradient
# is nearly zero. Plain descent keeps the gradients themselves, here in its state.
DESCENT = optax.sgd(1e-2, momentum=0.0)
CONFIG = tiny.tiny_config(**{"gan.batch_size": 8, "gan.wrong_pairs": True})


def step(trainer, before, mesh):
    """{leaf: array} of the metrics and of the state, gradients too, after a step."""
    batch = tiny.batch(CONFIG, "gan")
    rows = sharding.local_rows(mesh, 8)
    whole = sharding.replicated(mesh)
    with jax.set_mesh(mesh):
        train_step = jax.jit(trainer.train_step, out_shardings=(whole, None))
        after, metrics = train_step(
            jax.device_put(before, whole), jax.device_put(trainer.frozen, whole),
            sharding.global_batch(mesh, rows, batch, 8), jax.random.key(0),
        )  # fmt: skip
    return {**tiny.leaves(after), **tiny.leaves(metrics)}


def differences(actual, expected):
    """{leaf: largest difference as a part of the leaf's largest value}."""
    assert actual.keys() == expected.keys()
    return {
        key: float(np.abs(actual[key] - value).max() / max(np.abs(value).max(), 1e-12))
        for key, value in expected.items()
    }


def rows_of_maps(mesh):
    """{rows of a map: rows of it that a device holds}."""
    with jax.set_mesh(mesh):
        return {
            rows: jax.jit(sharding.shard_rows)(jnp.zeros((8, rows, 4, 1)))
            .addressable_shards[0]
            .data.shape[1]
            for rows in (4, 8, 16, 32)
        }


def main():
    """Prints the findings."""
    trainer = tiny.gan(CONFIG, {"G": DESCENT, "D": DESCENT})
    one = sharding.create_mesh(1, 1, devices=jax.devices()[:1])
    before = states.create(trainer.create, one, jax.random.key(1))
    expected = step(trainer, before, one)
    left = sharding.create_mesh(-1, 2)
    born = states.create(trainer.create, left, jax.random.key(1))
    found = {
        "left": list(left.devices.shape),
        "birth": differences(tiny.leaves(born), tiny.leaves(before)),
        "meshes": {},
    }
    for data, spatial in json.loads(sys.argv[1]):
        mesh = sharding.create_mesh(data, spatial)
        rows = sharding.local_rows(mesh, 8)
        values = np.arange(16.0).reshape(8, 2)
        placed = sharding.global_batch(mesh, rows, {"x": values}, 8)["x"]
        found["meshes"][str((data, spatial))] = {
            "rows": rows.tolist(),
            "rows_a_device": placed.addressable_shards[0].data.shape[0],
            "batch_is_the_batch": bool((np.asarray(placed) == values).all()),
            "rows_of_maps": rows_of_maps(mesh),
            "difference": differences(step(trainer, before, mesh), expected),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
