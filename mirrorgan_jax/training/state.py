"""Train states as pytrees, and their creation directly into their shardings."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from mirrorgan_jax.parallel import constraints
from mirrorgan_jax.parallel import mesh as meshes


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
        """The state after one step of its optimiser, parameters whole on a device."""
        grads = constraints.whole_gradients(grads)
        updates, opt_state = optimizer.update(grads, self.opt_state, self.params)
        params = constraints.replicate(optax.apply_updates(self.params, updates))
        return self.replace(params=params, opt_state=opt_state, batch_stats=batch_stats)


def started(variables, start):
    """Variables with parts of them replaced.

    Args:
      variables: nested dictionaries, such as a module's `init` returned.
      start: nested dictionaries of some of their parts; None: none.

    Raises:
      ValueError: `start` has a part that they have not.
    """
    if start is None:
        return variables
    if not isinstance(variables, dict):
        return start
    if start.keys() - variables.keys():
        raise ValueError(f"no place for {sorted(start.keys() - variables.keys())}")
    return {key: started(held, start.get(key)) for key, held in variables.items()}


def weights(state):
    """What inference needs of a `NetworkState`: {params, batch_stats}."""
    return {"params": state.params, "batch_stats": state.batch_stats}


def scaled(optimizer, factor):
    """`optimizer` with its updates multiplied; its state is the same.

    Args:
      optimizer: an optax transformation.
      factor: scalar, such as the share of its learning rate that a step has.
    """

    def update(grads, state, params):
        updates, state = optimizer.update(grads, state, params)
        return jax.tree.map(lambda x: factor * x, updates), state

    return optax.GradientTransformation(optimizer.init, update)


def abstract(make, mesh, *args, shard_optimizer=False):
    """Shapes, dtypes and shardings of the state that `make(*args)` returns."""
    shapes = jax.eval_shape(make, *args)
    placed = meshes.state_shardings(shapes, mesh, shard_optimizer=shard_optimizer)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        shapes,
        placed,
    )


def create(make, mesh, *args, shard_optimizer=False):
    """Runs `make(*args)` under jit so that every leaf is born on the mesh.

    Args:
      make: pure function that returns a state.
      mesh: the device mesh.
      *args: arrays or trees of them.
      shard_optimizer: split optimiser state over `data` (`meshes.state_shardings`).
    """
    shapes = abstract(make, mesh, *args, shard_optimizer=shard_optimizer)
    placed = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    return jax.jit(make, out_shardings=placed)(*args)


class Lazy(NamedTuple):
    """What a step has only every so often, chosen by its number on the host.

    Not in the step: devices must not gather inside a branch.

    Attributes:
      every: step n is whole where this divides n, counted from 1.
      otherwise: the pure step that the others are.
    """

    every: int
    otherwise: Callable[..., Any]


def compile_step(train_step, state, frozen, batch, key, mesh):
    """The step compiled for arrays of these shapes and shardings, `state` donated.

    Args:
      train_step: pure `(state, frozen, batch, key) -> (state, metrics)`.
      state, frozen, batch, key: arrays or `ShapeDtypeStruct`s with shardings.
      mesh: the device mesh, which may be one that does not exist here.

    Returns:
      `jax.stages.Compiled`, called as `train_step`; the state comes back where it was,
      the metrics on every device.
    """
    placed = jax.tree.map(lambda x: x.sharding, state)
    jitted = jax.jit(
        train_step,
        donate_argnums=0,
        out_shardings=(placed, meshes.replicated(mesh)),
    )
    with jax.set_mesh(mesh):
        return jitted.lower(state, frozen, batch, key).compile()


def compile_steps(train_step, lazy, *arrays):
    """Every program of a stage, compiled.

    Args:
      train_step: pure `(state, frozen, batch, key) -> (state, metrics)`.
      lazy: `Lazy`, or None where every step is `train_step`.
      *arrays: state, frozen, batch, key and mesh, as `compile_step` takes them.

    Returns:
      `program(number)`: what `compile_step` returns, for a step's number from 1.
    """
    whole = compile_step(train_step, *arrays)
    if lazy is None:
        return lambda number: whole
    otherwise = compile_step(lazy.otherwise, *arrays)
    return lambda number: otherwise if number % lazy.every else whole


def scaled_rate(rate, *, rule, batch_size, rule_batch):
    """Learning rate at another batch size.

    Args:
      rate: the one that holds at `rule_batch`.
      rule: "none" leaves it, "sqrt" multiplies by the root of the sizes' ratio (Adam's
        noise), "linear" by the ratio.
      batch_size: images of a step, on all devices and in all parts.
      rule_batch: the batch size that `rate` was found at.

    Raises:
      ValueError: an unknown rule.
    """
    powers = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
    if rule not in powers:
        raise ValueError(f"rule = {rule!r}: allowed are {', '.join(powers)}")
    return rate * (batch_size / rule_batch) ** powers[rule]


def decay_of_half_life(images, batch_size):
    """Decay a step of a moving average that forgets half in so many images."""
    return 0.5 ** (batch_size / images)


def warm_up(steps):
    """Schedule of what rises in equal parts to 1 over so many steps; 0: always 1."""
    if not steps:
        return optax.constant_schedule(1.0)
    return lambda step: jnp.minimum(1.0, (step + 1) / steps)


def learning_rate(
    peak, *, schedule, num_steps,
    steps_per_epoch=1, decay_per_epoch=1.0, decay_share=1.0,
):  # fmt: skip
    """Learning rate of step n as an optax schedule.

    Args:
      peak: the largest rate.
      schedule: "constant"; "epoch_decay" multiplies by `decay_per_epoch` an epoch,
        down to a tenth of `peak` (AttnGAN's DAMSM pretraining); "one_cycle" warms
        up over a tenth of the steps and decays to zero; "linear_decay" falls in
        equal parts over the last steps, so that the one after the last would be zero.
      num_steps: steps of the stage.
      steps_per_epoch: steps of one pass over the training images.
      decay_per_epoch: factor of "epoch_decay".
      decay_share: of the steps that are the last ones of "linear_decay".

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
    if schedule == "linear_decay":
        falling = max(decay_share * num_steps, 1)
        return lambda step: peak * jnp.minimum(1.0, (num_steps - step) / falling)
    raise ValueError(
        f"schedule = {schedule!r}: allowed are constant, epoch_decay, one_cycle,"
        " linear_decay"
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
