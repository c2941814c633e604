"""The training loop: exact resume, one row a step, divergence, SIGTERM, refusals."""

import copy
import itertools
import os
import signal
import time
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import command, tiny

from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import loop
from mirrorgan_jax.training import state as states
from mirrorgan_jax.workdir import checkpoints as checkpoint
from mirrorgan_jax.workdir import layout

VOCAB = ["<pad>", "red", "bird"]
STEPS = 10


@flax.struct.dataclass
class State:
    """A state with every kind of leaf that the real ones have."""

    step: jax.Array
    params: Any
    ema: Any


class Crash(Exception):
    """A kill, as far as the loop can tell."""


def create(key, start=None):
    params = {"w": jax.random.normal(key, (3,))}
    if start is not None:
        params = {"w": params["w"] + start}
    return State(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params))


def train_step(state, frozen, batch, key):
    """Descent to the batch's mean, with noise and a moving average."""
    noise = jax.random.normal(jax.random.fold_in(key, state.step), (3,))
    error = state.params["w"] - batch["x"].mean() + frozen["shift"]
    params = {"w": state.params["w"] - 0.1 * error - 0.01 * noise}
    ema = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, state.ema, params)
    metrics = {"W/loss": jnp.square(error).mean(), "W/batch": batch["x"].mean()}
    return State(state.step + 1, params, ema), metrics


def batches(start, rows):
    """Batch i depends on i alone, as in the pipeline."""
    for step in itertools.count(start):
        x = np.random.default_rng(step).normal(size=4)
        yield {"x": x[rows].astype(np.float32)}


def crashing(action, at):
    """The batches, with `action()` before the one of step `at` (from 1)."""

    def wrapped(start, rows):
        for step, batch in enumerate(batches(start, rows), start + 1):
            if step == at:
                batch = action(batch) or batch
            yield batch

    return wrapped


def crash(batch):
    raise Crash


def settings(**changes):
    """The tiny configuration whose stage "gan" the fake stage stands for."""
    changes = {f"gan.{key}": value for key, value in changes.items()}
    return tiny.tiny_config(
        **{"gan.num_steps": STEPS, "gan.sample_every_steps": 5, **changes}
    )


def train(workdir, config=None, *, vocab=VOCAB, **changes):
    """Runs the fake stage; returns what it did besides."""
    config = config or settings()
    seen = {"evaluated": [], "sampled": [], "pretrained": 0}

    def evaluate(state):
        seen["evaluated"].append(int(state.step))
        return {"generated_top1": float(state.ema["w"][0])}

    def pretrained():
        seen["pretrained"] += 1
        return (jnp.ones(3),)

    fields = {
        "name": "gan",
        "folder": "gan",
        "settings": config.gan,
        "create": create,
        "initial": pretrained,
        "seed": 3,
        "train_step": train_step,
        "frozen": {"shift": jnp.float32(0.5)},
        "batches": batches,
        "evaluated": "made up images",
        "evaluate": evaluate,
        "sample": lambda state, step: seen["sampled"].append(step),
        **changes,
    }
    loop.run_stage(
        loop.Task(**fields),
        workdir=workdir,
        config=config.to_dict(),
        vocab=vocab,
        mesh=meshes.create_mesh(),
    )
    return seen


def rows(workdir):
    return command.metric_rows(workdir, "gan")


def test_everything_happens_at_its_cadence_and_at_the_last_step(tmp_path):
    seen = train(tmp_path, settings(checkpoint_every_steps=4, eval_every_steps=4))
    assert seen == {
        "evaluated": [4, 8, 10],
        "sampled": [5, 10],
        "pretrained": 1,
    }
    assert command.steps(tmp_path, "gan")[-2:] == [8, 10]
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [*range(1, 11)]
    assert [row["step"] for row in found if "eval/generated_top1" in row] == [4, 8, 10]
    saved = command.saved(tmp_path, "gan")
    assert saved["state/step"] == 10


def test_logged_metrics_are_means_over_the_steps_since_the_last(tmp_path):
    train(tmp_path / "each")
    train(
        tmp_path / "five",
        settings(log_every_steps=5, checkpoint_every_steps=5, eval_every_steps=5),
    )
    each = [row["W/batch"] for row in rows(tmp_path / "each")]
    five = rows(tmp_path / "five")
    assert [row["step"] for row in five] == [5, 10]
    for row, wanted in zip(five, (np.mean(each[:5]), np.mean(each[5:])), strict=True):
        assert row["W/batch"] == pytest.approx(wanted)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Workdir of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole")
    train(workdir)
    return workdir


@pytest.mark.parametrize("at", [1, 2, 3, 6, 7, 10])
def test_resume_equals_the_uninterrupted_run(tmp_path, whole, at):
    with pytest.raises(Crash):
        train(tmp_path, batches=crashing(crash, at))
    before = rows(tmp_path)
    assert [row["step"] for row in before] == [*range(1, at)]
    seen = train(tmp_path)
    # The checkpoint before the crash was there, and no more was done than is missing.
    first = (at - 1) // 2 * 2
    assert seen["evaluated"] == [*range(first + 2, STEPS + 1, 2)]
    assert seen["pretrained"] == (first == 0)
    command.assert_same_checkpoint(whole, tmp_path, "gan")
    assert rows(tmp_path) == rows(whole)


def whole_step(state, frozen, batch, key):
    """`train_step` with something that only every third step has."""
    state, metrics = train_step(state, frozen, batch, key)
    params = {"w": 0.5 * state.params["w"]}
    return state.replace(params=params), {**metrics, "W/penalty": metrics["W/batch"]}


LAZY = {"train_step": whole_step, "lazy": states.Lazy(3, train_step)}


@pytest.fixture(scope="module")
def lazy_run(tmp_path_factory):
    """Workdir of an uninterrupted run whose every third step is another one."""
    workdir = tmp_path_factory.mktemp("lazy")
    train(workdir, **LAZY)
    return workdir


def test_lazy_step_is_every_third_of_the_run(lazy_run):
    found = rows(lazy_run)
    assert [row["step"] for row in found if "W/penalty" in row] == [3, 6, 9]
    w = create(jax.random.key(3), jnp.ones(3)).params["w"]
    state = State(jnp.zeros((), jnp.int32), {"w": w}, {"w": w})
    for step, batch in zip(range(1, STEPS + 1), batches(0, slice(None)), strict=False):
        function = train_step if step % 3 else whole_step
        state, _ = function(state, {"shift": 0.5}, batch, jax.random.key(3))
    saved = command.saved(lazy_run, "gan")["state/params/w"]
    np.testing.assert_allclose(saved, state.params["w"], rtol=1e-5)


@pytest.mark.parametrize("at", [2, 3, 4, 8])
def test_resume_goes_on_within_the_cycle_of_a_lazy_step(tmp_path, lazy_run, at):
    with pytest.raises(Crash):
        train(tmp_path, batches=crashing(crash, at), **LAZY)
    train(tmp_path, **LAZY)
    command.assert_same_checkpoint(lazy_run, tmp_path, "gan")
    assert rows(tmp_path) == rows(lazy_run)


def test_metrics_of_some_steps_are_means_over_these(tmp_path, lazy_run):
    few = {"log_every_steps": 5, "checkpoint_every_steps": 5, "eval_every_steps": 5}
    train(tmp_path, settings(**few), **LAZY)
    each = [row.get("W/penalty") for row in rows(lazy_run)]
    first, second = rows(tmp_path)
    assert first["W/penalty"] == pytest.approx(each[2])
    assert second["W/penalty"] == pytest.approx((each[5] + each[8]) / 2)
    config = settings(num_steps=2, **{k: 2 for k in few})
    train(tmp_path / "short", config, **LAZY)
    assert "W/penalty" not in rows(tmp_path / "short")[0]


def test_events_show_no_step_twice(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing import plugin_event_accumulator

    with pytest.raises(Crash):
        train(tmp_path, batches=crashing(crash, 8))
    # TensorBoard reads files in the order of the seconds in their names.
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    train(tmp_path)
    events = plugin_event_accumulator.EventAccumulator(
        str(tmp_path / "events" / "gan"), size_guidance={"tensors": 0}
    )
    events.Reload()
    found = [event.step for event in events.Tensors("W/loss")]
    assert found == [*range(1, STEPS + 1)]


def test_more_steps_go_on_with_the_same_run(tmp_path, whole):
    train(tmp_path, settings(num_steps=6))
    train(tmp_path)
    command.assert_same_checkpoint(whole, tmp_path, "gan")


def test_finished_stage_does_nothing_and_says_so(tmp_path, capsys):
    train(tmp_path)
    assert "nothing to do" not in capsys.readouterr().out
    before = {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()
    }
    seen = train(tmp_path, batches=crashing(crash, 1))
    assert seen == {"evaluated": [], "sampled": [], "pretrained": 0}
    assert "gan: nothing to do, all 10 steps are done" in capsys.readouterr().out
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert before == after


def test_nan_loss_stops_with_step_and_network_and_keeps_the_checkpoint(tmp_path, whole):
    def spoil(batch):
        return {"x": np.full_like(batch["x"], np.nan)}

    with pytest.raises(loop.Diverged, match=r"stage gan, step 7: network W has W/"):
        train(tmp_path, batches=crashing(spoil, 7))
    assert command.steps(tmp_path, "gan")[-1] == 6
    assert all(np.isfinite(v).all() for v in command.saved(tmp_path, "gan").values())
    # From there the run goes on as if nothing had happened.
    train(tmp_path)
    command.assert_same_checkpoint(whole, tmp_path, "gan")


def test_nan_between_two_logs_is_named_with_its_own_step(tmp_path):
    config = settings(log_every_steps=5, checkpoint_every_steps=5, eval_every_steps=5)

    def spoil(batch):
        return {"x": np.full_like(batch["x"], np.inf)}

    with pytest.raises(loop.Diverged, match="step 3: network W"):
        train(tmp_path, config, batches=crashing(spoil, 3))
    assert command.steps(tmp_path, "gan") == []


def test_nan_in_a_parameter_is_never_saved(tmp_path):
    def spoiled(state, frozen, batch, key):
        state, metrics = train_step(state, frozen, batch, key)
        wrong = jnp.where(state.step == 4, jnp.nan, 0.0)
        # The loss of this step was still good.
        return state.replace(ema={"w": state.ema["w"] + wrong}), metrics

    with pytest.raises(loop.Diverged, match=r"step 4: ema\.w is not finite"):
        train(tmp_path, train_step=spoiled)
    assert command.steps(tmp_path, "gan") == [2]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gan.ema_half_life", 5.0),
        ("gan.batch_size", 8),
        ("text.num_words", 7),
        ("data.image_size", 64),
        ("seed", 1),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, key, value):
    train(tmp_path, settings(num_steps=2))
    config = settings()
    group, _, name = key.rpartition(".")
    old = (config[group] if group else config)[name]
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=f"{key} = {value}, was {old}") as error:
        train(tmp_path, config)
    assert "--workdir" in str(error.value)


def test_another_vocabulary_is_refused(tmp_path):
    train(tmp_path, settings(num_steps=2))
    with pytest.raises(ValueError, match="vocabulary of 2 words, was 3"):
        train(tmp_path, vocab=VOCAB[:2])


def test_cadences_and_places_may_change(tmp_path):
    train(tmp_path, settings(num_steps=2))
    config = settings(checkpoint_every_steps=5, eval_every_steps=5)
    config.data.root = "elsewhere"
    config.stem.learning_rate = 1.0  # another stage's
    train(tmp_path, config)
    assert command.steps(tmp_path, "gan")[-1] == STEPS


def terminate(*unused):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def own_handler():
    """What the command installs: a signal that no stage takes ends up here."""
    missed = []
    previous = signal.signal(signal.SIGTERM, lambda *unused: missed.append(1))
    yield missed
    signal.signal(signal.SIGTERM, previous)


def test_sample_that_a_kill_cut_off_is_drawn_by_the_resume(tmp_path):
    def interrupted(state, step):
        if step == STEPS:
            raise Crash

    with pytest.raises(Crash):
        train(tmp_path, sample=interrupted)
    assert train(tmp_path)["sampled"] == [STEPS]


@pytest.mark.parametrize("at", [1, 5])
def test_sigterm_saves_the_step_and_the_run_goes_on(tmp_path, whole, own_handler, at):
    with pytest.raises(hosts.Terminated, match=f"saved step {at}"):
        train(tmp_path, batches=crashing(terminate, at))
    assert command.steps(tmp_path, "gan")[-1] == at
    assert rows(tmp_path)[-1]["step"] == at
    train(tmp_path)
    command.assert_same_checkpoint(whole, tmp_path, "gan")
    assert rows(tmp_path) == rows(whole)
    assert not own_handler
    terminate()
    assert own_handler  # the handler before the loop's is back


def chosen(workdir):
    """(best step, {kept step: its metrics}) of the fake stage."""
    checkpoints = layout.opened(workdir, "gan")
    try:
        steps = command.steps(workdir, "gan")
        return checkpoints.best_step(), {s: checkpoints.metrics(s) for s in steps}
    finally:
        checkpoints.close()


def best_at(step, seen=None):
    """An evaluation that is best after `step`, and worse the further away."""

    def evaluate(state):
        if seen is not None:
            seen.append(int(state.step))
        return {"generated_top1": -abs(float(state.step) - step)}

    return evaluate


@pytest.mark.parametrize(
    ("at", "cadences"),
    [
        (4, {}),
        (6, {"checkpoint_every_steps": 4}),  # evaluated, but not saved
        (4, {"checkpoint_every_steps": 1}),
        (5, {"checkpoint_every_steps": 1, "eval_every_steps": 5}),
        (5, {}),  # due for a sample alone
    ],
)
def test_what_sigterm_left_undone_is_made_up_for(tmp_path, own_handler, at, cadences):
    config, evaluate = settings(**cadences), best_at(at)
    steadily, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(steadily, config, evaluate=evaluate)
    with pytest.raises(hosts.Terminated, match=f"saved step {at}"):
        train(stopped, config, evaluate=evaluate, batches=crashing(terminate, at))
    assert not any(key.startswith("eval/") for key in rows(stopped)[-1])
    looked = []
    seen = train(stopped, config, evaluate=best_at(at, looked))
    every = config.gan.eval_every_steps
    wanted = [s for s in range(at, STEPS + 1) if s % every == 0 or s == STEPS]
    assert looked == wanted
    assert seen["sampled"] == [s for s in (5, 10) if s >= at]
    assert rows(stopped) == rows(steadily)
    assert chosen(stopped) == chosen(steadily)
    command.assert_same_checkpoint(steadily, stopped, "gan")


def test_evaluation_that_is_made_up_for_is_logged_before_it_chooses(
    tmp_path, own_handler, monkeypatch
):
    """A kill in between would leave a choice that no curve shows."""
    with pytest.raises(hosts.Terminated):
        train(tmp_path, batches=crashing(terminate, 4))
    logged = []

    def chooses(checkpoints, step, metrics):
        logged.append((step, rows(tmp_path)[-1]["eval/generated_top1"], metrics))

    monkeypatch.setattr(checkpoint.Checkpoints, "add_metrics", chooses)
    train(tmp_path, evaluate=best_at(4))
    assert logged == [(4, 0.0, {"generated_top1": 0.0})]


def test_evaluation_that_is_made_up_for_may_be_killed_too(tmp_path, own_handler):
    whole, stopped, looked = tmp_path / "whole", tmp_path / "stopped", []
    train(whole, evaluate=best_at(4))
    with pytest.raises(hosts.Terminated):
        train(stopped, evaluate=best_at(4), batches=crashing(terminate, 4))

    def killed(state):
        raise Crash

    with pytest.raises(Crash):
        train(stopped, evaluate=killed)
    # Made up for, but killed before the next checkpoint: once is enough.
    with pytest.raises(Crash):
        train(stopped, evaluate=best_at(4, looked), batches=crashing(crash, 5))
    assert looked == [4] and rows(stopped)[-1]["eval/generated_top1"] == 0
    train(stopped, evaluate=best_at(4, looked))
    assert looked == [4, 6, 8, 10]
    assert rows(stopped) == rows(whole) and chosen(stopped) == chosen(whole)


def test_sigterm_in_what_is_made_up_for_stops_after_the_next_step(
    tmp_path, own_handler
):
    with pytest.raises(hosts.Terminated):
        train(tmp_path, batches=crashing(terminate, 4))

    def evaluate(state):
        terminate()
        return best_at(4)(state)

    with pytest.raises(hosts.Terminated, match="saved step 5"):
        train(tmp_path, evaluate=evaluate)
    assert chosen(tmp_path) == (4, {4: {"generated_top1": 0.0}, 5: None})


def test_sigterm_in_the_last_evaluation_is_not_forgotten(tmp_path, whole, own_handler):
    def evaluate(state):
        if state.step == STEPS:
            terminate()
        return {"generated_top1": float(state.ema["w"][0])}

    with pytest.raises(hosts.Terminated):
        train(tmp_path, evaluate=evaluate)
    assert not own_handler
    command.assert_same_checkpoint(whole, tmp_path, "gan")
    assert rows(tmp_path) == rows(whole)


def test_sigterm_before_the_last_step_still_evaluates_it(tmp_path, whole, own_handler):
    with pytest.raises(hosts.Terminated):
        train(tmp_path, batches=crashing(terminate, STEPS))
    assert rows(tmp_path) == rows(whole)


@pytest.mark.parametrize(
    ("step", "every", "last", "expected"),
    [(4, 2, 10, True), (5, 2, 10, False), (9, 4, 9, True), (1, 1, 9, True)],
)
def test_due_at_multiples_and_at_the_end(step, every, last, expected):
    assert loop.due(step, every, last) == expected


def test_resumable_compares_keys_that_only_one_side_has():
    old = settings().to_dict()
    new = copy.deepcopy(old)
    del new["gan"]["kl_weight"]
    with pytest.raises(ValueError, match="gan.kl_weight = None, was 1.0"):
        layout.check_resumable("gan", old, VOCAB, new, VOCAB)
    layout.check_resumable("gan", old, VOCAB, old, VOCAB)


def test_a_stage_of_no_steps_keeps_what_it_started_from(tmp_path):
    none = settings(num_steps=0)
    assert not layout.is_finished(none, tmp_path / "a", "gan")
    unread = pytest.fail  # no picture is looked at
    seen = train(tmp_path / "a", none, batches=lambda *rest: unread("batches"))
    assert seen == {"evaluated": [0], "sampled": [0], "pretrained": 1}
    assert command.steps(tmp_path / "a", "gan") == [0]
    kept = command.saved(tmp_path / "a", "gan")
    np.testing.assert_array_equal(kept["ema/w"], kept["state/params/w"])
    assert layout.is_saved(tmp_path / "a", "gan")
    assert layout.is_finished(none, tmp_path / "a", "gan")
    assert not layout.is_finished(settings(), tmp_path / "a", "gan")
    # Once more there is nothing to do.
    again = train(tmp_path / "a", none)
    assert again == {"evaluated": [], "sampled": [], "pretrained": 0}
    # With steps it goes on, as a run that began with them.
    seen = train(tmp_path / "a")
    assert seen["pretrained"] == 0
    train(tmp_path / "b")
    command.assert_same_checkpoint(tmp_path / "a", tmp_path / "b", "gan")
