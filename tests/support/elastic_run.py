"""A GAN run that changes its mesh at every resume, against one on a single device.

Run by test_sharding.py with eight virtual devices; prints its findings as JSON.
"""

import json
import tempfile

import jax
import numpy as np
import optax
from support import command, tiny

from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import loop

MESHES = [(8, 1), (1, 1), (2, 2), (4, 2)]
STEPS = 2  # on each mesh
# Plain descent: Adam would make rounding visible (see mesh_step.py).
DESCENT = optax.sgd(1e-3, momentum=0.0)


def run(workdir, shapes):
    """Trains two steps on each mesh; returns the batches' rows that were read."""
    read = []

    def batches(config):
        def rows_from(start, rows):
            step = start
            while True:
                batch = tiny.batch(config, "gan", seed=step)
                read.append([step, batch["tokens"][rows].tolist()])
                yield {name: value[rows] for name, value in batch.items()}
                step += 1

        return rows_from

    for number, shape in enumerate(shapes, 1):
        config = tiny.tiny_config(
            **{"gan.batch_size": 8, "gan.num_steps": STEPS * number}
        )
        trainer = tiny.gan(config, {"G": DESCENT, "D": DESCENT})
        devices = jax.devices()[: shape[0] * shape[1]]
        mesh = meshes.create_mesh(*shape, devices=devices)
        task = loop.Task(
            name="gan",
            folder="gan",
            settings=config.gan,
            create=trainer.create,
            seed=1,
            train_step=trainer.train_step,
            frozen=jax.device_put(trainer.frozen, meshes.replicated(mesh)),
            batches=batches(config),
            evaluated="no images",
            evaluate=lambda state: {"generated_top1": float(state.step)},
        )
        loop.run_stage(
            task, workdir=workdir, config=config.to_dict(), vocab=["bird"], mesh=mesh
        )
    return read


def main():
    """Prints the findings."""
    with tempfile.TemporaryDirectory() as moved, tempfile.TemporaryDirectory() as still:
        rows = run(moved, MESHES)
        rows_of_one = run(still, [(1, 1)] * len(MESHES))
        actual, expected = (command.saved(path, "gan") for path in (moved, still))
        losses = [
            [row["G/loss"] for row in command.metric_rows(path, "gan")]
            for path in (moved, still)
        ]
    assert actual.keys() == expected.keys()
    floats = [
        key
        for key, value in expected.items()
        # Gradients are in it too; what counts is what they have led to.
        if np.issubdtype(value.dtype, np.floating) and "trace" not in key
    ]
    found = {
        "meshes": MESHES,
        "rows": rows,
        "rows_of_one_device": rows_of_one,
        "loss": float(np.abs(np.divide(*losses) - 1).max()),
        "parameters": max(
            float(
                np.abs(actual[k] - expected[k]).max()
                / max(np.abs(expected[k]).max(), 1)
            )
            for k in floats
            if "trace" not in k
        ),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
