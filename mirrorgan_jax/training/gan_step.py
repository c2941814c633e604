"""The GAN step: GLAM against its discriminators, mirrored by STREAM (Eq. 7-11)."""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from mirrorgan_jax.losses import adversarial, captioning
from mirrorgan_jax.models import resize
from mirrorgan_jax.training import state as states


@flax.struct.dataclass
class GanState:
    """State of GAN training.

    Attributes:
      step: updates done, int32 scalar.
      generator: GLAM.
      discriminators: one network a stage, named by its image size ("D64").
      ema: {params, batch_stats}, the generator's moving average.
    """

    step: jax.Array
    generator: states.NetworkState
    discriminators: dict[str, states.NetworkState]
    ema: Any


class Networks(NamedTuple):
    """The modules of the step.

    Attributes:
      text_encoder: STEM.
      captioner: STREAM.
      generator: GLAM.
      discriminators: {"D64": Discriminator, ...}, coarse to fine.
    """

    text_encoder: Any
    captioner: Any
    generator: Any
    discriminators: dict[str, Any]


class Captions(NamedTuple):
    """Encoded captions of a batch.

    Attributes:
      words: [B, T, D] word features.
      sentence: [B, D] sentence vectors.
      mask: [B, T] bool, True on real words.
      tokens: [B, T] token ids.
      length: [B] number of words.
    """

    words: jax.Array
    sentence: jax.Array
    mask: jax.Array
    tokens: jax.Array
    length: jax.Array


class Weights(NamedTuple):
    """Weights and forms of the objective (`config.gan`, DESIGN table of presets).

    Attributes:
      adversarial_scale: factor of each term of Eq. 7 (1/2).
      discriminator_weighting: "half" (Eq. 10) or "mean".
      wrong_pairs: whether D sees mismatched pairs as fakes.
      lambda_stream: lambda of Eq. 9.
      caption_reduction: "mean" or "sum" over words in Eq. 8.
      kl_weight: weight of the conditioning augmentation's KL term.
      ema_decay: decay of the moving average, a step.
      ema_batch_stats: average the statistics too, or copy the raw network's.
    """

    adversarial_scale: float
    discriminator_weighting: str
    wrong_pairs: bool
    lambda_stream: float
    caption_reduction: str
    kl_weight: float
    ema_decay: float
    ema_batch_stats: bool


def encode_captions(text_encoder, variables, tokens, length):
    """`Captions` of token ids [B, T] and lengths [B], STEM in inference mode."""
    words, sentence = text_encoder.apply(variables, tokens, length, train=False)
    mask = jnp.arange(tokens.shape[1]) < length[:, None]
    return Captions(words, sentence, mask, tokens, length)


def noise(key, batch_size, z_dim, condition_dim):
    """z [B, Z] of Eq. 3 and eps [B, D'] of the conditioning augmentation."""
    z_key, eps_key = jax.random.split(key)
    z = jax.random.normal(z_key, (batch_size, z_dim))
    return z, jax.random.normal(eps_key, (batch_size, condition_dim))


def make_create_state(networks, optimizers, *, word_dim, z_dim, condition_dim):
    """A function `create(key, trunk=None) -> GanState` at step 0.

    `trunk` is there for the loop alone: GLAM has no pretrained part.

    Args:
      networks: `Networks`.
      optimizers: {"G": optimizer, "D": optimizer}.
      word_dim, z_dim, condition_dim: D, Z and D'.
    """

    def create(key, trunk=None):
        del trunk
        keys = iter(jax.random.split(key, 1 + len(networks.discriminators)))
        text = jnp.zeros((2, 3, word_dim))
        inputs = (jnp.zeros((2, z_dim)), jnp.zeros((2, condition_dim)), text[:, 0])
        generator = networks.generator.init(
            next(keys), *inputs, text, jnp.ones((2, 3), bool), train=False
        )
        discriminators = {}
        for name, module in networks.discriminators.items():
            image = jnp.zeros((2, module.image_size, module.image_size, 3))
            variables = module.init(next(keys), image, text[:, 0], train=False)
            discriminators[name] = states.NetworkState.create(
                variables, optimizers["D"]
            )
        network = states.NetworkState.create(generator, optimizers["G"])
        # Copies: the state is donated, and one buffer cannot be donated twice.
        ema = jax.tree.map(jnp.copy, states.weights(network))
        return GanState(jnp.zeros((), jnp.int32), network, discriminators, ema)

    return create


def update_discriminator(module, network, optimizer, real, fake, sentence, weights):
    """One step of D_i on L_{D_i} (Eq. 10).

    Args:
      module: the discriminator.
      network: its `NetworkState`.
      optimizer: its optimiser.
      real, fake: [B, q, q, 3] images of this stage.
      sentence: [B, D].
      weights: `Weights`.

    Returns:
      (network, loss, dict of unweighted terms).
    """

    def loss(params):
        logits, updated = module.apply(
            network.variables(params), real, fake, sentence,
            wrong_pairs=weights.wrong_pairs, train=True,
            method="pairs", mutable=["batch_stats"],
        )  # fmt: skip
        value, terms = adversarial.discriminator_loss(
            logits, weighting=weights.discriminator_weighting
        )
        return value, (terms, updated.get("batch_stats", {}))

    (value, (terms, stats)), grads = jax.value_and_grad(loss, has_aux=True)(
        network.params
    )
    return network.updated(optimizer, grads, stats), value, terms


def make_generator_loss(networks, weights):
    """L_G of Eq. 9 with the KL term, as a function of what the generator returned.

    Returns:
      `loss(images, mu, logvar, discriminators, stream, captions) -> (loss, (terms,
      batch_stats of every D))`.
    """

    def loss(images, mu, logvar, discriminators, stream, captions):
        total, terms, statistics = 0.0, {}, {}
        for image, (name, module) in zip(
            images, networks.discriminators.items(), strict=True
        ):
            (uncond, cond), updated = module.apply(
                discriminators[name].variables(), image, captions.sentence,
                train=True, mutable=["batch_stats"],
            )  # fmt: skip
            value = adversarial.generator_loss(
                uncond, cond, scale=weights.adversarial_scale
            )
            total += value
            terms[f"G/adversarial_{name}"] = value
            statistics[name] = updated.get("batch_stats", {})
        if weights.lambda_stream:
            logits = networks.captioner.apply(
                stream, images[-1], captions.tokens, train=False
            )
            caption = captioning.caption_loss(
                logits, captions.tokens, captions.length,
                reduction=weights.caption_reduction,
            )  # fmt: skip
            total += weights.lambda_stream * caption
            terms["G/caption"] = caption
        kl = adversarial.kl_divergence(mu, logvar)
        terms["G/kl"] = kl
        return total + weights.kl_weight * kl, (terms, statistics)

    return loss


def moving_average(ema, network, *, decay, batch_stats):
    """The generator's moving average after one step.

    Args:
      ema: {params, batch_stats}.
      network: the generator after its update.
      decay: weight of the old average.
      batch_stats: average the statistics too, or copy the raw network's.
    """

    def mix(old, new):
        return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, old, new)

    stats = network.batch_stats
    return {
        "params": mix(ema["params"], network.params),
        "batch_stats": mix(ema["batch_stats"], stats)
        if batch_stats
        else jax.tree.map(jnp.copy, stats),
    }


def make_update(networks, optimizers, weights):
    """One GAN update from prepared inputs.

    Returns:
      `update(state, stream, real, captions, z, eps) -> (state, metrics)`: `stream`
      the frozen STREAM variables, `real` a tuple of [B, q, q, 3] images in [-1, 1],
      coarse to fine.
    """
    generator_loss = make_generator_loss(networks, weights)

    def update(state, stream, real, captions, z, eps):
        # The generator's one forward pass.
        def generate(params):
            out, updated = networks.generator.apply(
                state.generator.variables(params),
                z, eps, captions.sentence, captions.words, captions.mask,
                train=True, mutable=["batch_stats"],
            )  # fmt: skip
            return (out.images, out.mu, out.logvar), updated["batch_stats"]

        outputs, pull, g_stats = jax.vjp(generate, state.generator.params, has_aux=True)

        # Every discriminator learns on the images as they are.
        metrics, discriminators = {}, {}
        fakes = jax.lax.stop_gradient(outputs[0])
        for (name, module), real_i, fake in zip(
            networks.discriminators.items(), real, fakes, strict=True
        ):
            discriminators[name], value, terms = update_discriminator(
                module, state.discriminators[name], optimizers["D"],
                real_i, fake, captions.sentence, weights,
            )  # fmt: skip
            metrics[f"{name}/loss"] = value
            metrics |= {f"{name}/{key}": term for key, term in terms.items()}

        # The generator learns from the updated discriminators and from STREAM.
        (g_loss, (terms, d_stats)), cotangent = jax.value_and_grad(
            generator_loss, argnums=(0, 1, 2), has_aux=True
        )(*outputs, discriminators, stream, captions)
        (grads,) = pull(cotangent)  # its one backward pass
        generator = state.generator.updated(optimizers["G"], grads, g_stats)
        metrics |= {"G/loss": g_loss, **terms}

        state = state.replace(
            step=state.step + 1,
            generator=generator,
            discriminators={
                name: network.replace(batch_stats=d_stats[name])
                for name, network in discriminators.items()
            },
            ema=moving_average(
                state.ema, generator,
                decay=weights.ema_decay, batch_stats=weights.ema_batch_stats,
            ),
        )  # fmt: skip
        return state, metrics

    return update


def make_train_step(networks, optimizers, weights, *, sizes, z_dim, condition_dim):
    """The pure step `train_step(state, frozen, batch, key) -> (state, metrics)`.

    Args:
      networks: `Networks`.
      optimizers: {"G": optimizer, "D": optimizer}.
      weights: `Weights`.
      sizes: image sizes of the stages, coarse to fine.
      z_dim, condition_dim: Z and D'.

    Returns:
      The step; `frozen` is {"stem": variables, "stream": variables}.
    """
    update = make_update(networks, optimizers, weights)

    def train_step(state, frozen, batch, key):
        captions = encode_captions(
            networks.text_encoder, frozen["stem"], batch["tokens"], batch["length"]
        )
        real = resize.pyramid(resize.from_uint8(batch["image"]), sizes)
        z, eps = noise(
            jax.random.fold_in(key, state.step),
            batch["tokens"].shape[0], z_dim, condition_dim,
        )  # fmt: skip
        return update(state, frozen["stream"], real, captions, z, eps)

    return train_step
