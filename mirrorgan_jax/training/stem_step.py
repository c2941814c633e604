"""STEM pretraining: text and image towers under the DAMSM losses (AttnGAN 3.2)."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from mirrorgan_jax.losses import damsm
from mirrorgan_jax.models import resize
from mirrorgan_jax.parallel import constraints
from mirrorgan_jax.training import accumulation
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
    """A function `create(key, start=None) -> StemState` at step 0.

    `start` replaces random variables: {"text", "image"} of {"params", "batch_stats"},
    of each what there is.
    """

    def create(key, start=None):
        text_key, image_key = jax.random.split(key)
        tokens = jnp.ones((1, num_words), jnp.int32)
        text = text_encoder.init(text_key, tokens, jnp.full(1, num_words), train=False)
        images = jnp.zeros((1, image_size, image_size, 3))
        image = image_encoder.init(image_key, images, train=False)
        towers = states.started({"text": text, "image": image}, start)
        text, image = towers["text"], towers["image"]
        params = {"text": text["params"], "image": image["params"]}
        return StemState(
            step=jnp.zeros((), jnp.int32),
            text=states.NetworkState.create(text),
            image=states.NetworkState.create(image),
            opt_state=optimizer.init(params),
        )

    return create


def make_encode(text_encoder, image_encoder):
    """Both towers over a batch as a function of their parameters.

    Returns:
      `encode(params, text_stats, image_stats, rows, key) -> (codes, image_stats)` with
      `params` = {"text", "image"}, `rows` = {"image" [B, S, S, 3] in [-1, 1],
      "tokens", "length"}; `codes` is what `make_loss` takes.
    """

    def encode(params, text_stats, image_stats, rows, key):
        words, sentence = text_encoder.apply(
            {"params": params["text"], "batch_stats": text_stats},
            rows["tokens"], rows["length"], train=True, rngs={"dropout": key},
        )  # fmt: skip
        (regions, code), updated = image_encoder.apply(
            {"params": params["image"], "batch_stats": image_stats},
            rows["image"], train=True, mutable=["batch_stats"],
        )  # fmt: skip
        codes = {
            "regions": regions, "words": words, "code": code, "sentence": sentence,
        }  # fmt: skip
        return codes, updated.get("batch_stats", {})

    return encode


def make_loss(*, gamma1, gamma2, gamma3):
    """The DAMSM loss of a batch of codes.

    Returns:
      `loss(codes, length, class_id) -> (loss, terms)`.
    """

    def loss(codes, length, class_id):
        mask = jnp.arange(codes["words"].shape[1])[None] < length[:, None]
        return damsm.damsm_loss(
            codes["regions"], codes["words"], mask, codes["code"], codes["sentence"],
            class_id, gamma1=gamma1, gamma2=gamma2, gamma3=gamma3,
        )  # fmt: skip

    return loss


def _gradients(encode, loss, state, rows, class_id, key):
    """(loss, terms, image statistics, gradients) of one batch."""
    params = {"text": state.text.params, "image": state.image.params}

    def objective(params):
        codes, stats = encode(
            params, state.text.batch_stats, state.image.batch_stats, rows, key
        )
        total, terms = loss(codes, rows["length"], class_id)
        return total, (terms, stats)

    (total, (terms, stats)), grads = jax.value_and_grad(objective, has_aux=True)(params)
    return total, terms, stats, grads


def _accumulated_gradients(encode, loss, state, rows, class_id, key, accumulate):
    """`_gradients` with the towers over one part of the batch at a time.

    The loss sees the codes of all parts, so that negatives come from the whole batch:
    the codes are made first, then every part is encoded once more to carry the
    gradient of its codes back to the parameters.
    """
    params = {"text": state.text.params, "image": state.image.params}
    parts = accumulation.split(rows, accumulate)
    keys = jax.random.split(key, accumulate)

    def encode_part(stats, item):
        part, part_key = item
        codes, stats = encode(params, state.text.batch_stats, stats, part, part_key)
        return stats, codes

    stats, codes = jax.lax.scan(encode_part, state.image.batch_stats, (parts, keys))
    (total, terms), cotangents = jax.value_and_grad(loss, has_aux=True)(
        accumulation.join(codes), rows["length"], class_id
    )

    def pull_part(carry, item):
        part, part_key, cotangent = item
        _, pull = jax.vjp(
            lambda params: encode(
                params, state.text.batch_stats, state.image.batch_stats, part, part_key
            )[0],
            params,
        )
        return carry, pull(cotangent)[0]

    items = (parts, keys, accumulation.split(cotangents, accumulate))
    _, grads = accumulation.scan(pull_part, None, items, jnp.ones(accumulate))
    return total, terms, stats, grads


def make_update(encode, loss, optimizer, schedule, *, reset_every=0, accumulate=1):
    """One update from prepared inputs.

    Args:
      encode: what `make_encode` returned.
      loss: what `make_loss` returned.
      optimizer: what `make_optimizer` returned.
      schedule: learning rate of step n, an optax schedule.
      reset_every: steps after which Adam starts anew (the released code makes a
        new one every epoch); 0 never.
      accumulate: parts into which the towers take the batch.

    Returns:
      `update(state, images, tokens, length, class_id, key) -> (state, metrics)`.
    """

    def update(state, images, tokens, length, class_id, key):
        rows = {"image": images, "tokens": tokens, "length": length}
        args = (encode, loss, state, rows, class_id, key)
        total, terms, batch_stats, grads = (
            _gradients(*args)
            if accumulate == 1
            else _accumulated_gradients(*args, accumulate)
        )
        grads = constraints.whole_gradients(grads)
        params = {"text": state.text.params, "image": state.image.params}
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
            "STEM/text_grad_norm": optax.tree.norm(grads["text"]),
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
