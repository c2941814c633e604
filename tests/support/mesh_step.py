"""Steps of every stage on several meshes; prints how far they are from one device.

Run by test_mesh.py with eight virtual devices: their number is decided before
jax starts. Plain descent, because Adam's first steps are the gradient's sign, which
rounding decides where the gradient is nearly zero; its state keeps the gradients.
"""

import functools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from support import tiny

from mirrorgan_jax.parallel import constraints
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import aot
from mirrorgan_jax.training import state as states

ROWS = 8
# Fewer than devices: small maps and STREAM's input cannot be split by images.
FEW_ROWS = 4
STEPS = 10
# Of the batches. With some, a leaky ReLU of the small networks comes so near to zero
# that a rounding of one device alone (1e-7) changes a gradient by a percent.
SEED = 20
DESCENT = optax.sgd(1e-3, momentum=0.0)
OPTIMIZERS = {
    "stem": optax.trace(decay=0.0),
    "stream": DESCENT,
    "gan": {"G": DESCENT, "D": DESCENT},
}


@functools.cache
def trainer(
    preset, stage, batch_size=ROWS, lambda_damsm=0.0, decoder="lstm", switches=False
):
    """(configuration, trainer) of a stage."""
    changes = {
        f"{stage}.batch_size": batch_size,
        "gan.wrong_pairs": True,
        "gan.lambda_damsm": lambda_damsm,
        "stream.decoder": decoder,
        "stream.end_token": decoder != "lstm",
        **(tiny.SWITCHES if switches else {}),
    }
    config = tiny.tiny_config(preset, **changes)
    return config, getattr(tiny, stage)(config, OPTIMIZERS[stage])


def steps(
    preset, stage, mesh, *,
    count=STEPS, batch_size=ROWS, lambda_damsm=0.0, decoder="lstm", switches=False,
    shard_optimizer=False,
):  # fmt: skip
    """States and metrics after the first and the last of the steps, on a mesh."""
    config, functions = trainer(
        preset, stage, batch_size, lambda_damsm, decoder, switches
    )
    rows = meshes.local_rows(mesh, batch_size)
    create = functools.partial(
        states.create, functions.create, shard_optimizer=shard_optimizer
    )
    state = create(mesh, jax.random.key(1))
    key = states.create(lambda: jax.random.key(0), mesh)
    frozen = jax.device_put(functions.frozen, meshes.replicated(mesh))
    step, kept = None, []
    for i in range(count):
        batch = tiny.batch(config, stage, seed=SEED + i)
        batch = {name: value[rows] for name, value in batch.items()}
        batch = meshes.global_batch(mesh, rows, batch, batch_size)
        if step is None:
            step = states.compile_step(
                functions.train_step, state, frozen, batch, key, mesh
            )
        state, metrics = step(state, frozen, batch, key)
        if i in (0, count - 1):
            kept.append((tiny.leaves(state), tiny.leaves(metrics)))
    return kept, state


def losses(metrics):
    """The totals among the metrics."""
    return {key: value for key, value in metrics.items() if key.endswith("loss")}


def gradients(state):
    """{network: its gradient as one vector}, out of the state of plain descent."""
    parts = {}
    for key, value in state.items():
        network, found, _ = key.partition("opt_state")
        if found and "trace" in key:
            parts.setdefault(network, []).append(value.ravel())
    return {network: np.concatenate(values) for network, values in parts.items()}


def difference(actual, expected):
    """Largest relative difference of the losses, and relative L2 of the gradients."""
    loss = max(
        abs(float(value) - float(losses(expected[1])[key])) / abs(float(value))
        for key, value in losses(actual[1]).items()
    )
    wanted = gradients(expected[0])
    gradient = max(
        float(np.linalg.norm(value - wanted[key]) / np.linalg.norm(wanted[key]))
        for key, value in gradients(actual[0]).items()
    )
    return {"loss": loss, "gradient": gradient}


def differences(preset, stage, shape, expected, **options):
    """`difference` of the steps on a mesh from the expected ones, first and last."""
    actual, _ = steps(preset, stage, meshes.create_mesh(*shape), **options)
    return [difference(*pair) for pair in zip(actual, expected, strict=True)]


def parts_of_maps(mesh):
    """{"images x rows": images and rows that a device holds}."""
    with jax.set_mesh(mesh):
        return {
            f"{images} x {rows}": jax.jit(constraints.shard_rows)(
                jnp.zeros((images, rows, 4, 1))
            )
            .addressable_shards[0]
            .data.shape[:2]
            for images in (FEW_ROWS, ROWS)
            for rows in (4, 8, 16, 32)
            if images % mesh.shape["data"] == 0
        }


def placement(mesh):
    """Where a batch's rows and a map's rows are."""
    rows = meshes.local_rows(mesh, ROWS)
    values = np.arange(2.0 * ROWS).reshape(ROWS, 2)
    placed = meshes.global_batch(mesh, rows, {"x": values}, ROWS)["x"]
    return {
        "rows": rows.tolist(),
        "rows_a_device": placed.addressable_shards[0].data.shape[0],
        "batch_is_the_batch": bool((np.asarray(placed) == values).all()),
        "parts_of_maps": parts_of_maps(mesh),
    }


def communication(stage, shape, batch_size, lambda_damsm=0.0, decoder="lstm"):
    """{kind: shapes} of what devices of a mesh say to each other in a compiled step."""
    config, _ = trainer("paper", stage, batch_size, lambda_damsm, decoder)
    mesh = meshes.create_mesh(*shape)
    step = aot.compile_stage(config, stage, mesh, vocab_size=tiny.VOCAB)
    found = {}
    for collective in aot.collectives(step.as_text()):
        found.setdefault(collective.kind, []).extend(collective.shapes)
    return found


def sharded_optimizer(expected):
    """STREAM with its optimiser state split over eight devices."""
    kept, state = steps(
        "paper", "stream", meshes.create_mesh(8, 1), shard_optimizer=True
    )
    leaves = jax.tree.leaves(state.captioner.opt_state)
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)
    return {
        "share": held / sum(leaf.nbytes for leaf in leaves),
        "whole_parameters": all(
            leaf.sharding.is_fully_replicated
            for leaf in jax.tree.leaves(state.captioner.params)
        ),
        "difference": difference(kept[-1], expected[-1]),
    }


def main():
    """Prints the findings; arguments: meshes and presets as JSON."""
    shapes, presets = map(json.loads, sys.argv[1:])
    one = meshes.create_mesh(1, 1, devices=jax.devices()[:1])
    left = meshes.create_mesh(-1, 2)
    create = trainer("paper", "gan")[1].create
    born = [
        tiny.leaves(states.create(create, m, jax.random.key(1))) for m in (one, left)
    ]
    found = {
        "left": list(left.devices.shape),
        "birth": max(
            float(np.abs(born[0][key] - born[1][key]).max()) for key in born[0]
        ),
        "placement": {},
        "communication": {
            "stream": communication("stream", (2, 4), ROWS),
            "stream that looks": communication(
                "stream", (2, 4), ROWS, decoder="attention"
            ),
            "gan": communication("gan", (2, 4), FEW_ROWS),
            "gan with DAMSM": communication("gan", (4, 2), FEW_ROWS, 2.0),
        },
        "difference": {},
        "few": {},
    }
    for shape in shapes:
        mesh = meshes.create_mesh(*shape)
        found["placement"][str(tuple(shape))] = placement(mesh)
    for preset in presets:
        for stage in OPTIMIZERS:
            expected, _ = steps(preset, stage, one)
            if (preset, stage) == ("paper", "stream"):
                found["sharded_optimizer"] = sharded_optimizer(expected)
            for shape in shapes:
                found["difference"][f"{preset} {stage} {tuple(shape)}"] = differences(
                    preset, stage, shape, expected
                )
    switches = {"count": 2, "switches": True}
    expected, _ = steps("paper", "gan", one, **switches)
    found["switches"] = differences("paper", "gan", (2, 4), expected, **switches)
    few = {stage: {"batch_size": FEW_ROWS} for stage in OPTIMIZERS}
    # One step: after some, its gradients meet such a rounding for most seeds.
    few["gan with DAMSM"] = {**few["gan"], "lambda_damsm": 2.0, "count": 1}
    for stage in ("stream", "gan"):
        few[f"{stage} that looks"] = {**few[stage], "decoder": "attention", "count": 1}
    for name, options in few.items():
        stage = name.partition(" ")[0]
        expected, _ = steps("paper", stage, one, **options)
        for shape in (shape for shape in shapes if FEW_ROWS % shape[0] == 0):
            found["few"][f"{name} {tuple(shape)}"] = differences(
                "paper", stage, shape, expected, **options
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
