"""STREAM pretraining: captioning with teacher forcing (paper 3.3, Eq. 6 and 8)."""

import flax.struct
import jax
import jax.numpy as jnp
import optax

from mirrorgan_jax.losses import captioning
from mirrorgan_jax.models import resize
from mirrorgan_jax.training import accumulation
from mirrorgan_jax.training import state as states


@flax.struct.dataclass
class StreamState:
    """State of STREAM pretraining: updates done, and the captioner."""

    step: jax.Array
    captioner: states.NetworkState


def _in_trunk(path):
    return path[:2] == ("encoder", "trunk")


def make_optimizer(schedule, *, adam_b1, adam_b2, train_trunk):
    """Adam on decoder, linear and batch norm, and on the trunk if it learns."""
    adam = optax.adam(schedule, b1=adam_b1, b2=adam_b2)
    return adam if train_trunk else states.freeze(adam, _in_trunk)


def make_create_state(captioner, optimizer, *, image_size, num_words):
    """A function `create(key, start=None) -> StreamState` at step 0.

    `start` replaces random variables: {"params", "batch_stats"}, of each what there is.
    """

    def create(key, start=None):
        images = jnp.zeros((2, image_size, image_size, 3))
        tokens = jnp.ones((2, num_words), jnp.int32)
        variables = captioner.init(key, images, tokens, train=False)
        variables = states.started(variables, start)
        return StreamState(
            step=jnp.zeros((), jnp.int32),
            captioner=states.NetworkState.create(variables, optimizer),
        )

    return create


def make_train_step(
    captioner,
    optimizer,
    *,
    reduction,
    end_token=False,
    regularisation=0.0,
    accumulate=1,
):
    """The pure step `train_step(state, frozen, batch, key) -> (state, metrics)`.

    Args:
      captioner: STREAM.
      optimizer: what `make_optimizer` returned.
      reduction: "mean" or "sum" over words in Eq. 8.
      end_token: the end of a caption is one more word of Eq. 8.
      regularisation: weight of `captioning.attention_regularisation`; above 0 the
        captioner attends to regions.
      accumulate: parts of the batch that follow one another.
    """

    def loss(params, batch_stats, rows, share):
        described, updated = captioner.apply(
            {"params": params, "batch_stats": batch_stats},
            resize.from_uint8(rows["image"]), rows["tokens"],
            train=True, method="describe", mutable=["batch_stats"],
        )  # fmt: skip
        value = captioning.caption_loss(
            described.logits, rows["tokens"], rows["length"], reduction=reduction
        )
        if regularisation:
            # What is a mean over captions must not weigh as the part's words do.
            value += (regularisation / share) * captioning.attention_regularisation(
                described.weights, rows["length"]
            )
        return value, updated["batch_stats"]

    def train_step(state, frozen, batch, key):
        del frozen, key  # nothing is frozen outside the state, nothing is random
        rows = {name: batch[name] for name in ("image", "tokens", "length")}
        if end_token:
            rows["tokens"], rows["length"] = captioning.with_end(
                rows["tokens"], rows["length"]
            )

        def gradients(batch_stats, rows, share=1.0):
            (value, batch_stats), grads = jax.value_and_grad(loss, has_aux=True)(
                state.captioner.params, batch_stats, rows, share
            )
            return batch_stats, (value, grads)

        batch_stats = state.captioner.batch_stats
        if accumulate == 1:
            batch_stats, (value, grads) = gradients(batch_stats, rows)
        else:
            weights = accumulation.caption_weights(
                rows["length"], accumulate, reduction=reduction
            )
            batch_stats, (value, grads) = accumulation.scan(
                lambda stats, part: gradients(stats, *part),
                batch_stats,
                (accumulation.split(rows, accumulate), accumulate * weights),
                weights,
            )
        metrics = {"STREAM/loss": value, "STREAM/grad_norm": optax.tree.norm(grads)}
        network = state.captioner.updated(optimizer, grads, batch_stats)
        return state.replace(step=state.step + 1, captioner=network), metrics

    return train_step


def make_gate(captioner):
    """How much better captions fit their own image than the next one's.

    Returns:
      `gate(variables, images [B, S, S, 3] in [-1, 1], tokens, length) -> (matched,
      shuffled)` mean cross entropy a word, nats; in the second, image i+1 is
      redescribed by caption i.
    """

    def gate(variables, images, tokens, length):
        def cross_entropy(pictures):
            logits = captioner.apply(variables, pictures, tokens, train=False)
            return captioning.caption_loss(logits, tokens, length, reduction="mean")

        return cross_entropy(images), cross_entropy(jnp.roll(images, -1, axis=0))

    return gate
