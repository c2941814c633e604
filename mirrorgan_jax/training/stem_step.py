"""STEM pretraining: text and image towers under the DAMSM losses (AttnGAN 3.2)."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from mirrorgan_jax.losses import damsm
from mirrorgan_jax.models import resize
from mirrorgan_jax.training import state as states


@flax.struct.dataclass
class StemState:
    """State of STEM pretraining.

    Attributes:
      step: updates done, int32 scalar.
      text: text encoder.
      image: image tower.
      opt_state: one Adam over both, as the released code has it.
    """

    step: jax.Array
    text: states.NetworkState
    image: states.NetworkState
    opt_state: Any


def _in_trunk(path):
    return path[:2] == ("image", "trunk")


def make_optimizer(*, adam_b1, adam_b2, clip_norm, train_trunk):
    """Adam's direction over both towers; only the text gradient is clipped.

    The learning rate is not in it: it follows the run's step, which a new Adam
    every epoch does not restart.

    Args:
      adam_b1, adam_b2: Adam's decay rates.
      clip_norm: bound on the text encoder's global gradient norm.
      train_trunk: whether the image tower's trunk learns, or only its heads.
    """
    adam = optax.scale_by_adam(b1=adam_b1, b2=adam_b2)
    clip = optax.multi_transform(
        {"text": optax.clip_by_global_norm(clip_norm), "image": optax.identity()},
        lambda params: {key: key for key in params},
    )
    chained = optax.chain(clip, adam)
    return chained if train_trunk else states.freeze(chained, _in_trunk)


def make_create_state(text_encoder, image_encoder, optimizer, *, image_size, num_words):
    """A function `create(key, trunk=None) -> StemState` at step 0.

    `trunk` is a pair of trees (params, batch_stats) that replaces the image
    tower's random trunk.
    """

    def create(key, trunk=None):
        text_key, image_key = jax.random.split(key)
        tokens = jnp.ones((1, num_words), jnp.int32)
        text = text_encoder.init(text_key, tokens, jnp.full(1, num_words), train=False)
        images = jnp.zeros((1, image_size, image_size, 3))
        image = dict(image_encoder.init(image_key, images, train=False))
        if trunk is not None:
            image["params"] = {**image["params"], "trunk": trunk[0]}
            image["batch_stats"] = {**image["batch_stats"], "trunk": trunk[1]}
        params = {"text": text["params"], "image": image["params"]}
        return StemState(
            step=jnp.zeros((), jnp.int32),
            text=states.NetworkState.create(text),
            image=states.NetworkState.create(image),
            opt_state=optimizer.init(params),
        )

    return create


def make_loss(text_encoder, image_encoder, *, gamma1, gamma2, gamma3):
    """The DAMSM loss of one batch as a function of both towers' parameters.

    Returns:
      `loss(params, state, images, tokens, length, class_id, key) -> (loss, (terms,
      image batch_stats))` with `params` = {"text", "image"} and images [B, S, S, 3]
      in [-1, 1].
    """

    def loss(params, state, images, tokens, length, class_id, key):
        words, sentence = text_encoder.apply(
            state.text.variables(params["text"]),
            tokens, length, train=True, rngs={"dropout": key},
        )  # fmt: skip
        (regions, code), updated = image_encoder.apply(
            state.image.variables(params["image"]),
            images, train=True, mutable=["batch_stats"],
        )  # fmt: skip
        mask = jnp.arange(words.shape[1]) < length[:, None]
        total, terms = damsm.damsm_loss(
            regions, words, mask, code, sentence, class_id,
            gamma1=gamma1, gamma2=gamma2, gamma3=gamma3,
        )  # fmt: skip
        return total, (terms, updated.get("batch_stats", {}))

    return loss


def make_update(loss, optimizer, schedule, *, reset_every=0):
    """One update from prepared inputs.

    Args:
      loss: what `make_loss` returned.
      optimizer: what `make_optimizer` returned.
      schedule: learning rate of step n, an optax schedule.
      reset_every: steps after which Adam starts anew (the released code makes a
        new one every epoch); 0 never.

    Returns:
      `update(state, images, tokens, length, class_id, key) -> (state, metrics)`.
    """

    def update(state, images, tokens, length, class_id, key):
        params = {"text": state.text.params, "image": state.image.params}
        (total, (terms, batch_stats)), grads = jax.value_and_grad(loss, has_aux=True)(
            params, state, images, tokens, length, class_id, key
        )
        opt_state = state.opt_state
        if reset_every:
            fresh = optimizer.init(params)
            reset = state.step % reset_every == 0
            opt_state = jax.tree.map(
                lambda new, old: jnp.where(reset, new, old), fresh, opt_state
            )
        updates, opt_state = optimizer.update(grads, opt_state, params)
        rate = schedule(state.step)
        updates = jax.tree.map(lambda update: -rate * update, updates)
        params = optax.apply_updates(params, updates)
        metrics = {
            "STEM/loss": total,
            **{f"STEM/{name}": value for name, value in terms.items()},
            "STEM/text_grad_norm": optax.global_norm(grads["text"]),
        }
        state = state.replace(
            step=state.step + 1,
            text=state.text.replace(params=params["text"]),
            image=state.image.replace(params=params["image"], batch_stats=batch_stats),
            opt_state=opt_state,
        )
        return state, metrics

    return update


def make_train_step(update):
    """The pure step `train_step(state, frozen, batch, key) -> (state, metrics)`."""

    def train_step(state, frozen, batch, key):
        del frozen  # the image tower's frozen trunk is a part of the state
        return update(
            state, resize.from_uint8(batch["image"]), batch["tokens"],
            batch["length"], batch["class_id"], jax.random.fold_in(key, state.step),
        )  # fmt: skip

    return train_step
