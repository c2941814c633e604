"""Checkpoints: what is kept, what plain Orbax sees, and safety under donation."""

import json
import os
import subprocess
import sys
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from support import tiny

from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import state as states
from mirrorgan_jax.workdir import checkpoints as checkpoint

CONFIG = {"seed": 0, "stem": {"learning_rate": 2e-3}}
VOCAB = ["<pad>", "red", "bird"]


@flax.struct.dataclass
class State:
    """A state like that of the GAN stage."""

    step: jax.Array
    network: states.NetworkState
    ema: Any = None


def make_state(step=0, size=3):
    params = {
        "dense": {"kernel": jnp.full((2, size), float(step)), "bias": jnp.ones(2)}
    }
    network = states.NetworkState.create({"params": params}, optax.adam(1e-3))
    return State(jnp.asarray(step, jnp.int32), network)


def ema(step=0):
    return {"params": {"kernel": jnp.full(3, step + 0.5)}, "batch_stats": {}}


def save(checkpoints, step, **kwargs):
    checkpoints.save(step, make_state(step), config=CONFIG, vocab=VOCAB, **kwargs)


def kept(workdir):
    folder = checkpoint.directory(workdir, "gan")
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


@pytest.mark.parametrize(("lower", "best"), [(False, 2), (True, 3)])
def test_last_two_and_best_are_kept_also_after_reopening(tmp_path, lower, best):
    scores = {1: 0.5, 2: 0.9, 3: 0.1, 4: 0.3, 5: 0.4, 6: 0.6}

    def opened():
        return checkpoint.Checkpoints(
            tmp_path, "gan", metric="score", lower_is_better=lower
        )

    for steps in ((1, 2, 3, 4), (5, 6)):
        checkpoints = opened()
        for step in steps:
            save(checkpoints, step, metrics={"score": scores[step], "other": 1.0})
        checkpoints.wait()
        assert kept(tmp_path) == sorted({best, *range(steps[-1] - 1, steps[-1] + 1)})
        assert checkpoints.best_step() == best
        assert checkpoints.latest_step() == steps[-1]
        checkpoints.close()
    checkpoints = opened()
    assert (checkpoints.best_step(), checkpoints.latest_step()) == (best, 6)
    checkpoints.close()


def test_a_save_without_metrics_is_latest_and_never_best(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan", metric="score")
    save(checkpoints, 1, metrics={"score": 0.5})
    for step in (2, 3, 4):
        save(checkpoints, step)  # as on SIGTERM
    checkpoints.wait()
    assert kept(tmp_path) == [1, 3, 4]
    assert (checkpoints.best_step(), checkpoints.latest_step()) == (1, 4)
    checkpoints.close()


def test_metrics_that_are_added_later_count_as_if_saved_with_the_step(tmp_path):
    def opened():
        return checkpoint.Checkpoints(tmp_path, "gan", metric="score")

    checkpoints = opened()
    save(checkpoints, 1, metrics={"score": 0.5})
    save(checkpoints, 2)  # as on SIGTERM
    checkpoints.close()
    checkpoints = opened()
    assert checkpoints.metrics(2) is None
    checkpoints.add_metrics(2, {"score": 0.9, "other": 1.0})
    assert checkpoints.metrics(2) == {"score": 0.9, "other": 1.0}
    for step in (3, 4, 5):
        save(checkpoints, step, metrics={"score": 0.1})
    checkpoints.close()
    assert kept(tmp_path) == [2, 4, 5]
    checkpoints = opened()
    assert checkpoints.best_step() == 2
    restored, _ = checkpoints.restore(2, make_state())
    assert not tiny.changed(make_state(2), restored)
    assert checkpoints.restored_json(2) == (CONFIG, VOCAB)
    checkpoints.close()


def test_equal_scores_prefer_the_newest(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan", metric="score")
    for step in (1, 2):
        save(checkpoints, step, metrics={"score": 0.5})
    checkpoints.wait()
    assert checkpoints.best_step() == 2
    checkpoints.close()


def test_empty_folder_has_no_steps(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan", metric="score")
    assert checkpoints.latest_step() is None
    assert checkpoints.best_step() is None
    checkpoints.close()


def test_restore_gives_state_average_configuration_and_vocabulary(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan")
    save(checkpoints, 7, ema=ema(7))
    checkpoints.wait()
    mesh = meshes.create_mesh()
    state, average = checkpoints.restore(7, make_state(), ema=ema())
    assert isinstance(state.network.opt_state[0], optax.ScaleByAdamState)
    assert not tiny.changed(make_state(7), state)
    assert not tiny.changed(ema(7), average)
    assert checkpoints.restored_json(7) == (CONFIG, VOCAB)
    # Inference restores the average alone, onto its own mesh.
    alone = checkpoints.restored_tree(7, "ema", mesh)
    assert not tiny.changed(ema(7), alone)
    assert alone["params"]["kernel"].sharding == meshes.replicated(mesh)
    checkpoints.close()


def test_another_shape_is_refused(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan")
    save(checkpoints, 1)
    checkpoints.wait()
    with pytest.raises(ValueError, match="(?i)shape"):
        checkpoints.restore(1, make_state(size=4))
    checkpoints.close()


_PLAIN = """
import json, sys
import numpy as np
import orbax.checkpoint as ocp
folder = sys.argv[1]
checkpointer = ocp.StandardCheckpointer()
def plain(tree):
    if tree is None: return None
    if type(tree) is dict: return {key: plain(value) for key, value in tree.items()}
    return np.asarray(tree).tolist()
trees = {
    item: plain(checkpointer.restore(f"{folder}/{item}")) for item in ("state", "ema")
}
trees["vocab"] = json.load(open(f"{folder}/vocab/metadata"))
parent, _, step = folder.rpartition("/")
with ocp.CheckpointManager(parent) as manager:
    whole = manager.restore(int(step))
assert all(plain(whole[item]) == trees[item] for item in ("state", "ema", "vocab"))
assert "mirrorgan_jax" not in sys.modules and "flax" not in sys.modules
print(json.dumps(trees))
"""


@pytest.mark.processes
def test_plain_orbax_restores_nested_dictionaries(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan")
    save(checkpoints, 3, ema=ema(3))
    checkpoints.close()
    folder = checkpoint.directory(tmp_path, "gan") / "3"
    result = subprocess.run(
        [sys.executable, "-c", _PLAIN, str(folder)],
        cwd=tmp_path, capture_output=True, text=True,
        env={key: v for key, v in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    trees = json.loads(result.stdout)
    assert trees["state"]["step"] == 3
    network = trees["state"]["network"]
    assert network["params"]["dense"] == {"kernel": [[3.0] * 3] * 2, "bias": [1.0] * 2}
    assert network["opt_state"]["0"]["mu"]["dense"]["bias"] == [0.0] * 2
    assert trees["ema"]["params"]["kernel"] == [3.5] * 3
    assert trees["vocab"] == VOCAB


def test_state_donated_right_after_saving_is_saved_as_it_was(tmp_path):
    # So large that the save cannot be over when the steps go on.
    weights = {f"w{i}": jnp.full(4_000_000, 1.0) for i in range(6)}
    step = jax.jit(lambda tree: jax.tree.map(lambda x: x - 1, tree), donate_argnums=0)
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan")
    checkpoints.save(1, weights, config=CONFIG, vocab=VOCAB)
    # The save reads the live buffers: none of them may be given to a donated step.
    for _ in range(5):
        weights = jax.block_until_ready(step(weights))
    checkpoints.wait()
    restored, _ = checkpoints.restore(1, weights)
    for value in restored.values():
        np.testing.assert_array_equal(value, 1.0)
    checkpoints.close()


def test_checkpoints_of_the_standard_handler_open(tmp_path):
    folder = checkpoint.directory(tmp_path, "gan")
    with ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(create=True),
        item_names=("state", "ema", "config", "vocab"),
    ) as manager:
        manager.save(
            7,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(serialization.to_state_dict(make_state(7))),
                ema=ocp.args.StandardSave(ema(7)),
                config=ocp.args.JsonSave(CONFIG),
                vocab=ocp.args.JsonSave(VOCAB),
            ),
        )
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan")
    state, average = checkpoints.restore(7, make_state(), ema=ema())
    assert not tiny.changed(make_state(7), state)
    assert not tiny.changed(ema(7), average)
    assert checkpoints.restored_json(7) == (CONFIG, VOCAB)
    alone = checkpoints.restored_tree(7, "ema", meshes.create_mesh())
    assert not tiny.changed(ema(7), alone)
    checkpoints.close()


def test_nothing_on_disk_tells_of_devices(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, "gan")
    save(checkpoints, 3, ema=ema(3))
    checkpoints.close()
    folder = checkpoint.directory(tmp_path, "gan") / "3"
    for item in ("state", "ema"):
        names = {path.name for path in (folder / item).iterdir()}
        assert "_METADATA" in names and "_sharding" not in names
