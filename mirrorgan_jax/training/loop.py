"""The one training loop: resume, step, log, evaluate, save, for every stage."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from mirrorgan_jax import progress
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import state as states
from mirrorgan_jax.workdir import layout, metric_log, provenance


class Diverged(FloatingPointError):
    """A loss or a parameter is NaN or infinite.

    Attributes:
      stage: its name.
      step: the step after which it was seen.
    """

    def __init__(self, stage, step, reason):
        self.stage, self.step = stage, step
        super().__init__(
            f"stage {stage}, step {step}: {reason}; training stopped and the last good"
            " checkpoint is kept. A lower learning rate or gan.d_norm = spectral often"
            " helps"
        )


@dataclasses.dataclass(frozen=True)
class Task:
    """What the loop needs to know to train a stage.

    Attributes:
      name: of the stage, as it is said.
      folder: name of its folders in the workdir: "stem", "stream" or "gan".
      settings: the stage's group of the configuration (steps and cadences).
      create: pure `create(key, *initial())`; the state at step 0.
      initial: function without arguments, called where nothing is saved yet.
      seed: of the initial state and of everything random in the step.
      train_step: pure `(state, frozen, batch, key) -> (state, metrics)`.
      lazy: `states.Lazy`: which steps are another one; None: none.
      frozen: what the step reads and never changes.
      batches: `batches(start_step, rows)` yields this process's rows of batches.
      evaluated: what `evaluate` looks at, as it is said: "validation images".
      evaluate: `evaluate(state)` returns {name: number}, among them the one that
        decides the best checkpoint (`workdir.layout.METRICS`).
      sample: `sample(state, step)` writes a sample grid; None: no samples.
    """

    name: str
    folder: str
    settings: Any
    create: Callable[..., Any]
    seed: int
    train_step: Callable[..., Any]
    batches: Callable[[int, np.ndarray], Iterator[dict]]
    evaluated: str
    evaluate: Callable[[Any], dict]
    frozen: Any = dataclasses.field(default_factory=dict)
    initial: Callable[[], tuple] = tuple
    sample: Callable[[Any, int], None] | None = None
    lazy: states.Lazy | None = None


def due(step, every, last):
    """Whether something with a cadence happens after `step`; always at the last."""
    return step == last or step % every == 0


def _checked(task, first_step, pending):
    """Means of the pending steps' metrics, refused where one is not finite.

    Each is over the steps that have it.
    """
    rows = jax.device_get(pending)
    for offset, row in enumerate(rows):
        wrong = [name for name, value in row.items() if not np.isfinite(value)]
        if wrong:
            networks = sorted({name.partition("/")[0] for name in wrong})
            reason = f"network {', '.join(networks)} has {wrong[0]} = {row[wrong[0]]}"
            raise Diverged(task.name, first_step + offset, reason)
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: float(np.mean([row[name] for row in rows if name in row]))
        for name in names
    }


@jax.jit
def _finite(state):
    return jax.tree.map(
        lambda x: (
            jnp.isfinite(x).all()
            if jnp.issubdtype(x.dtype, jnp.inexact)
            else jnp.array(True)
        ),
        state,
    )


def _check_state(task, step, state):
    """Refuses to save a state that holds NaN or Inf."""
    for path, finite in jax.tree_util.tree_leaves_with_path(
        jax.device_get(_finite(state))
    ):
        if not finite:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise Diverged(task.name, step, f"{name} is not finite")


def run_stage(task, *, workdir, config, vocab, mesh):
    """Trains a stage from where it stopped to its last step.

    Args:
      task: `Task`.
      workdir: the run's folder, local or a bucket.
      config: resolved configuration as a dictionary, saved beside the weights.
      vocab: list of words, saved beside the weights.
      mesh: device mesh.

    Raises:
      Diverged: a loss or parameter is not finite.
      hosts.Terminated: SIGTERM; the state is saved.
      ValueError: the checkpoints were made with other settings.
    """
    c = task.settings
    checkpoints = layout.checkpoints(workdir, task.folder)
    try:
        # 1. The state: fresh, or the newest complete checkpoint.
        key = jax.random.key(task.seed)
        placing = {"shard_optimizer": config["mesh"]["shard_optimizer"]}
        latest = checkpoints.latest_step()
        resumed, start = latest is not None, latest or 0
        if resumed:
            saved = checkpoints.restored_json(start)
            layout.check_resumable(task.folder, *saved, config, vocab)
        if resumed and start >= c.num_steps:
            hosts.say(f"{task.name}: nothing to do, all {c.num_steps} steps are done")
            return
        if resumed:
            body, ema = _split(states.abstract(task.create, mesh, key, **placing))
            body, ema = checkpoints.restore(start, body, ema=ema)
            state = body if ema is None else body.replace(ema=ema)
            logging.info("%s: goes on after step %d", task.name, start)
        else:
            state = states.create(task.create, mesh, key, *task.initial(), **placing)
        # 2. The steps.
        first = hosts.is_first()
        clock = provenance.StageClock(
            workdir, task.folder, start, c.batch_size, enabled=first
        )
        with (
            metric_log.MetricLog(workdir, task.folder, start, enabled=first) as log,
            progress.Progress(
                task.name, c.num_steps, initial=start, enabled=first
            ) as bar,
        ):
            keeper = _Keeper(task, checkpoints, log, clock, bar, config, vocab)
            _train(keeper, state, start, mesh)
    finally:
        checkpoints.close()


def _split(state):
    """(state without its moving average, the average or None)."""
    if getattr(state, "ema", None) is None:
        return state, None
    return state.replace(ema=None), state.ema


@dataclasses.dataclass(frozen=True)
class _Keeper:
    """Keeps what a stage comes to: evaluations, sample grids, checkpoints.

    Attributes:
      task: `Task`.
      checkpoints, log, clock, bar: where it goes.
      config, vocab: as `run_stage` takes them.
    """

    task: Task
    checkpoints: Any
    log: metric_log.MetricLog
    clock: provenance.StageClock
    bar: progress.Progress
    config: dict
    vocab: list

    def due(self, step, what):
        """Whether something of the stage's cadences happens after `step`."""
        c = self.task.settings
        return due(step, c[f"{what}_every_steps"], c.num_steps)

    def evaluate(self, state, step):
        """{name: number} of the evaluation that is due after `step`, or None."""
        if not self.due(step, "eval"):
            return None
        results = self.task.evaluate(state)
        self.log.write(step, {f"eval/{k}": v for k, v in results.items()})
        self.bar.note(_described(self.task, step, results))
        self.clock.rest()
        return results

    def sample(self, state, step):
        """Draws the sample grid that is due after `step`, if one is."""
        if self.task.sample and self.due(step, "sample"):
            self.task.sample(state, step)
            self.clock.rest()

    def save(self, state, step, results):
        """Saves the state of `step`, refused where it is not finite."""
        _check_state(self.task, step, state)
        self.log.flush()  # before the checkpoint: a resume writes later rows only
        body, ema = _split(state)
        self.checkpoints.save(
            step, body, ema=ema, config=self.config, vocab=self.vocab, metrics=results
        )
        self.clock.save(step)
        self.clock.rest()

    def keep(self, state, step):
        """Does all that is due after `step`."""
        results = self.evaluate(state, step)
        # Before the checkpoint: a kill in between draws it again.
        self.sample(state, step)
        if self.due(step, "checkpoint"):
            self.save(state, step, results)

    def stop(self, state, step):
        """Saves at once: what else is due after `step`, `make_up` does."""
        self.save(state, step, None)
        self.checkpoints.wait()
        raise hosts.Terminated(f"{self.task.name}: saved step {step}")

    def make_up(self, state, start):
        """Does what is due after the restored step and a stop there left undone."""
        if self.checkpoints.metrics(start) is None:
            results = self.evaluate(state, start)
            # As a run without the stop, which may have no checkpoint here to choose.
            if results is not None and self.due(start, "checkpoint"):
                self.log.flush()
                self.checkpoints.add_metrics(start, results)
        self.sample(state, start)  # the same grid once more where it is there


def _train(keeper, state, start, mesh):
    task, log, clock = keeper.task, keeper.log, keeper.clock
    c, last = task.settings, task.settings.num_steps
    key = states.create(lambda: jax.random.key(task.seed), mesh)
    program = None
    rows = meshes.local_rows(mesh, c.batch_size)
    # Without steps what the stage started from is its result, and no picture is read.
    batches = task.batches(start, rows) if last else iter(())
    pending = []
    with hosts.Preemption() as preemption, jax.set_mesh(mesh):
        if start:
            keeper.make_up(state, start)
        if not last:
            keeper.keep(state, 0)
        for step in range(start + 1, last + 1):
            batch = meshes.global_batch(mesh, rows, next(batches), c.batch_size)
            if program is None:
                # Ahead of time: another shape or sharding is an error from here on,
                # never a second compilation.
                arrays = {"state": state, "frozen": task.frozen, "batch": batch}
                hosts.say(f"{task.name}: arrays\n{meshes.table(arrays)}")
                program = states.compile_steps(
                    task.train_step, task.lazy, state, task.frozen, batch, key, mesh
                )
            state, metrics = program(step)(state, task.frozen, batch, key)
            pending.append(metrics)
            if len(pending) > 1:
                # One step ahead is enough: the rate shown is that of the device.
                jax.block_until_ready(pending[-2])
            clock.step()
            shown = {}
            # The last step does everything that a finished stage has.
            stop = step < last and preemption.reached()
            if stop or keeper.due(step, "log"):
                means = _checked(task, step - len(pending) + 1, pending)
                log.write(step, means)
                shown = {k: v for k, v in means.items() if k.endswith("/loss")}
                pending.clear()
            keeper.bar.update(1, **shown)
            if stop:
                keeper.stop(state, step)
            keeper.keep(state, step)
        if preemption.reached():
            keeper.checkpoints.wait()
            raise hosts.Terminated(f"{task.name}: saved step {last}")


def _described(task, step, results):
    text = ", ".join(f"{key} {value:.4g}" for key, value in results.items())
    return f"{task.name} step {step}, {task.evaluated}: {text}"
