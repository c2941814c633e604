"""Orbax checkpoints: one manager a stage, config and vocabulary beside the weights.

A stage's checkpoints lie in `workdir/<stage>/checkpoints/<step>/` as composites of
`state` (everything a resume needs), `ema` (the generator's average, restored alone
for inference), `config` and `vocab` (JSON). Trees are saved as nested dictionaries,
so that plain Orbax opens them without this package.
"""

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from flax import serialization
from orbax.checkpoint import checkpoint_managers

from mirrorgan_jax.parallel import mesh as meshes


def directory(workdir, stage):
    """Folder of a stage's checkpoints."""
    return epath.Path(workdir).resolve() / stage / "checkpoints"


def _policy(metric, lower_is_better):
    latest = checkpoint_managers.LatestN(2)
    if metric is None:
        return latest
    best = checkpoint_managers.BestN(
        n=1,
        get_metric_fn=lambda metrics: metrics[metric],
        reverse=lower_is_better,
        keep_checkpoints_without_metrics=False,
    )
    return checkpoint_managers.AnyPreservationPolicy([latest, best])


class _TreeHandler(ocp.PyTreeCheckpointHandler):
    """Orbax's standard handler of trees with a registry of types of its own.

    A checkpoint tells nothing of the devices that wrote it: it opens on any others, in
    plain Orbax as NumPy arrays.
    """

    def __init__(self):
        kinds = ocp.type_handlers
        arrays = kinds.ArrayHandler(enable_write_sharding_file=False)
        super().__init__(
            type_handler_registry=kinds.create_type_handler_registry(
                (np.ndarray, kinds.NumpyHandler()), (jax.Array, arrays)
            )
        )

    @classmethod
    def typestr(cls):
        """Name in a checkpoint: of what plain Orbax shall read it with."""
        return ocp.StandardCheckpointHandler.typestr()


def _handlers():
    """The handler of every item of a checkpoint."""
    handlers, args = ocp.handlers.DefaultCheckpointHandlerRegistry(), ocp.args
    for name in ("state", "ema"):
        handler = _TreeHandler()
        handlers.add(name, args.PyTreeSave, handler)
        handlers.add(name, args.PyTreeRestore, handler)
    for name in ("config", "vocab"):
        handler = ocp.JsonCheckpointHandler()
        handlers.add(name, args.JsonSave, handler)
        handlers.add(name, args.JsonRestore, handler)
    return handlers


def _restore_args(abstract):
    """Arguments that restore a tree as the leaves of `abstract` are placed."""
    return ocp.args.PyTreeRestore(
        abstract,
        restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
    )


class Checkpoints:
    """Writer and reader of one stage's checkpoints.

    Keeps the last two and the best by `metric`. Saving is asynchronous; a step's
    folder appears under its final name only when it is complete.

    Args:
      workdir: the run's folder, local or a bucket.
      stage: "stem", "stream" or "gan".
      metric: name of the metric that decides the best step; None: no best.
      lower_is_better: whether a smaller metric is better.
    """

    def __init__(self, workdir, stage, *, metric=None, lower_is_better=False):
        self._metric, self._lower = metric, lower_is_better
        self._manager = ocp.CheckpointManager(
            directory(workdir, stage),
            options=ocp.CheckpointManagerOptions(
                create=True,
                enable_async_checkpointing=True,
                preservation_policy=_policy(metric, lower_is_better),
                # Makes the manager keep metrics on disk.
                best_fn=None if metric is None else lambda values: values[metric],
            ),
            handler_registry=_handlers(),
        )

    def latest_step(self):
        """The newest complete step, or None."""
        return self._manager.latest_step()

    def save(self, step, state, *, ema=None, config, vocab, metrics=None):
        """Starts saving; returns when `state` may be donated.

        Args:
          step: updates done.
          state: the train state; its field `ema`, if any, is left out of the item.
          ema: tree of the item `ema`, or None.
          config: dictionary that JSON can hold.
          vocab: list of words.
          metrics: {name: number} of this step's evaluation.
        """
        items = {
            "state": ocp.args.PyTreeSave(serialization.to_state_dict(state)),
            "config": ocp.args.JsonSave(config),
            "vocab": ocp.args.JsonSave(vocab),
        }
        if ema is not None:
            items["ema"] = ocp.args.PyTreeSave(serialization.to_state_dict(ema))
        self._manager.save(
            step, args=ocp.args.Composite(**items), metrics=metrics, force=True
        )

    def restore(self, step, state, *, ema=None):
        """The state of `step`, placed as the leaves of `state` are.

        Args:
          step: a complete step.
          state: a state of the same structure (its values are not read).
          ema: a tree like the saved `ema`, or None.

        Returns:
          (state, ema).
        """
        wanted = {"state": state} if ema is None else {"state": state, "ema": ema}
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                **{
                    name: _restore_args(
                        jax.tree.map(
                            ocp.utils.to_shape_dtype_struct,
                            serialization.to_state_dict(tree),
                        )
                    )
                    for name, tree in wanted.items()
                }
            ),
        )
        return tuple(
            None
            if tree is None
            else serialization.from_state_dict(tree, restored[name])
            for name, tree in (("state", state), ("ema", ema))
        )

    def restored_json(self, step):
        """(config, vocab) saved beside the weights of `step`."""
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                config=ocp.args.JsonRestore(), vocab=ocp.args.JsonRestore()
            ),
        )
        return restored["config"], restored["vocab"]

    def restored_tree(self, step, item, mesh):
        """One item of `step` as nested dictionaries, replicated on the mesh."""
        metadata = self._manager.item_metadata(step)[item]
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=meshes.replicated(mesh)
            ),
            metadata,
        )
        return self._manager.restore(
            step, args=ocp.args.Composite(**{item: _restore_args(abstract)})
        )[item]

    def metrics(self, step):
        """{name: number} of a step's evaluation, or None where it had none."""
        return self._manager.metrics(step)

    def add_metrics(self, step, metrics):
        """Gives a complete step the evaluation that it was saved without.

        The item appears whole, as if it had been saved with the step.

        Args:
          step: a complete step without metrics.
          metrics: {name: number} of its evaluation.
        """
        name = ocp.checkpoint_manager.METRIC_ITEM_NAME
        with ocp.Checkpointer(ocp.JsonCheckpointHandler(filename=name)) as writer:
            path = self._manager.directory / str(step) / name
            writer.save(path, args=ocp.args.JsonSave(metrics))
        self._manager.reload()

    def best_step(self):
        """The best kept step by the metric; the newest without any; None if empty."""
        if self._metric is None:
            return self.latest_step()
        scores = {
            step: metrics[self._metric]
            for step in self._manager.all_steps()
            if (metrics := self.metrics(step)) and self._metric in metrics
        }
        if not scores:
            return self.latest_step()
        # Of equal ones the newest.
        sign = -1 if self._lower else 1
        return max(scores, key=lambda step: (sign * scores[step], step))

    def wait(self):
        """Returns when everything started is on disk."""
        self._manager.wait_until_finished()

    def close(self):
        """Waits, then closes the manager."""
        self._manager.close()
