"""Train states as pytrees, and their creation directly into their shardings."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from mirrorgan_jax import sharding


@flax.struct.dataclass
class NetworkState:
    """One network with its own optimiser.

    Attributes:
      params: parameters.
      batch_stats: running statistics ({} for a network without any).
      opt_state: state of the network's optimiser; None when it has none of its own.
    """

    params: Any
    batch_stats: Any
    opt_state: Any = None

    @classmethod
    def create(cls, variables, optimizer=None):
        """State at step 0 of what a module's `init` returned."""
        return cls(
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            opt_state=None
            if optimizer is None
            else optimizer.init(variables["params"]),
        )

    def variables(self, params=None):
        """What a module's `apply` takes, with `params` in place of its own."""
        return {
            "params": self.params if params is None else params,
            "batch_stats": self.batch_stats,
        }

    def updated(self, optimizer, grads, batch_stats):
        """The state after one step of its optimiser."""
        updates, opt_state = optimizer.update(grads, self.opt_state, self.params)
        params = optax.apply_updates(self.params, updates)
        return self.replace(params=params, opt_state=opt_state, batch_stats=batch_stats)


def weights(state):
    """What inference needs of a `NetworkState`: {params, batch_stats}."""
    return {"params": state.params, "batch_stats": state.batch_stats}


def abstract(make, mesh, *args):
    """Shapes, dtypes and shardings of the state that `make(*args)` returns."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding.replicated(mesh)
        ),
        jax.eval_shape(make, *args),
    )


def create(make, mesh, *args):
    """Runs `make(*args)` under jit so that every leaf is born on the mesh.

    Args:
      make: pure function that returns a state.
      mesh: the device mesh; the state is replicated on it.
      *args: arrays or trees of them.
    """
    placed = jax.tree.map(lambda leaf: leaf.sharding, abstract(make, mesh, *args))
    return jax.jit(make, out_shardings=placed)(*args)


def learning_rate(peak, *, schedule, num_steps, steps_per_epoch=1, decay_per_epoch=1.0):
    """Learning rate of step n as an optax schedule.

    Args:
      peak: the largest rate.
      schedule: "constant"; "epoch_decay" multiplies by `decay_per_epoch` an epoch,
        down to a tenth of `peak` (AttnGAN's DAMSM pretraining); "one_cycle" warms
        up over a tenth of the steps and decays to zero.
      num_steps: steps of the stage.
      steps_per_epoch: steps of one pass over the training images.
      decay_per_epoch: factor of "epoch_decay".

    Raises:
      ValueError: an unknown schedule.
    """
    if schedule == "constant":
        return optax.constant_schedule(peak)
    if schedule == "epoch_decay":
        return lambda step: jnp.maximum(
            peak * decay_per_epoch ** (step // steps_per_epoch), peak / 10
        )
    if schedule == "one_cycle":
        return optax.cosine_onecycle_schedule(max(num_steps, 1), peak, pct_start=0.1)
    raise ValueError(
        f"schedule = {schedule!r}: allowed are constant, epoch_decay, one_cycle"
    )


def freeze(optimizer, frozen):
    """`optimizer` on the parameters for which `frozen(path)` is false.

    Args:
      optimizer: an optax transformation.
      frozen: predicate on a tuple of keys; true leaves get no update and no
        optimiser state.
    """

    def labels(params):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: (
                "frozen" if frozen(tuple(k.key for k in path)) else "trained"
            ),
            params,
        )

    return optax.multi_transform(
        {"trained": optimizer, "frozen": optax.set_to_zero()}, labels
    )
