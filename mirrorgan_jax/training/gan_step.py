"""The GAN step: GLAM against its discriminators, mirrored by STREAM (Eq. 7-11)."""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from mirrorgan_jax.losses import augmentation, objective
from mirrorgan_jax.models import glam, resize
from mirrorgan_jax.models import stem as stem_models
from mirrorgan_jax.training import accumulation
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


def make_create_state(networks, optimizers, *, word_dim, z_dim, condition_dim):
    """A function `create(key, start=None) -> GanState` at step 0.

    `start` replaces random variables: {"generator", "discriminators"}, of each what
    there is; the moving average starts as the generator does.

    Args:
      networks: `models.build.Networks`.
      optimizers: {"G": optimizer, "D": optimizer}.
      word_dim, z_dim, condition_dim: D, Z and D'.
    """

    def create(key, start=None):
        start = start or {}
        keys = iter(jax.random.split(key, 1 + len(networks.discriminators)))
        text = jnp.zeros((2, 3, word_dim))
        inputs = (jnp.zeros((2, z_dim)), jnp.zeros((2, condition_dim)), text[:, 0])
        generator = networks.generator.init(
            next(keys), *inputs, text, jnp.ones((2, 3), bool), train=False
        )
        generator = states.started(generator, start.get("generator"))
        discriminators, given = {}, start.get("discriminators", {})
        for name, module in networks.discriminators.items():
            image = jnp.zeros((2, module.image_size, module.image_size, 3))
            variables = module.init(next(keys), image, text[:, 0], train=False)
            variables = states.started(variables, given.get(name))
            discriminators[name] = states.NetworkState.create(
                variables, optimizers["D"]
            )
        network = states.NetworkState.create(generator, optimizers["G"])
        # Copies: the state is donated, and one buffer cannot be donated twice.
        ema = jax.tree.map(jnp.copy, states.weights(network))
        return GanState(jnp.zeros((), jnp.int32), network, discriminators, ema)

    return create


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


class _Inputs(NamedTuple):
    """What one update, or one part of it, is made of: rows of the batch.

    `numbers` are those of `augmentation.draw`; `caption_scale` is a scalar, 1 for a
    whole batch.
    """

    real: Any
    captions: stem_models.Captions
    z: jax.Array
    eps: jax.Array
    numbers: Any
    caption_scale: Any = 1.0


class _Passes(NamedTuple):
    """The passes of the step over a batch or a part of one.

    Attributes:
      networks: `models.build.Networks`.
      weights: `objective.Weights`.
      warmth: share of lambda_stream that the step has, a scalar.
    """

    networks: Any
    weights: objective.Weights
    warmth: Any

    def generate(self, params, batch_stats, inputs):
        """((images, mu, logvar), batch_stats) of the generator in training mode."""
        captions = inputs.captions
        out, updated = self.networks.generator.apply(
            {"params": params, "batch_stats": batch_stats},
            inputs.z, inputs.eps, captions.sentence, captions.words, captions.mask,
            train=True, mutable=["batch_stats"],
        )  # fmt: skip
        return (out.images, out.mu, out.logvar), updated.get("batch_stats", {})

    def discriminate(self, discriminators, images, inputs):
        """(gradients, batch_stats, metrics) of every D on its own update's loss."""
        fakes = jax.lax.stop_gradient(images)
        grads, statistics, metrics = {}, {}, {}
        for (name, module), real, fake in zip(
            self.networks.discriminators.items(), inputs.real, fakes, strict=True
        ):
            network = discriminators[name]

            def loss(params, module=module, network=network, real=real, fake=fake):
                return objective.discriminator_loss(
                    module, network.variables(params), real, fake,
                    inputs.captions.sentence, self.weights, inputs.numbers,
                )  # fmt: skip

            (value, (terms, statistics[name])), grads[name] = jax.value_and_grad(
                loss, has_aux=True
            )(network.params)
            metrics[f"{name}/loss"] = value
            metrics |= {f"{name}/{key}": term for key, term in terms.items()}
        return grads, statistics, metrics

    def judge(self, outputs, discriminators, frozen, inputs):
        """(cotangent of the outputs, batch_stats of every D, metrics) of L_G."""

        def loss(images, mu, logvar):
            return objective.generator_loss(
                self.networks, self.weights, images, mu, logvar,
                {name: network.variables() for name, network in discriminators.items()},
                frozen, inputs.captions, inputs.numbers, inputs.caption_scale,
                self.warmth,
            )  # fmt: skip

        (value, (terms, statistics)), cotangent = jax.value_and_grad(
            loss, argnums=(0, 1, 2), has_aux=True
        )(*outputs)
        return cotangent, statistics, {"G/loss": value, **terms}


def _with_statistics(discriminators, statistics):
    return {
        name: network.replace(batch_stats=statistics[name])
        for name, network in discriminators.items()
    }


def _updated(discriminators, optimizer, grads, statistics):
    """Every D after its own step."""
    return {
        name: network.updated(optimizer, grads[name], statistics[name])
        for name, network in discriminators.items()
    }


def _at_once(passes, optimizer, state, frozen, inputs):
    """(discriminators, G's gradients and batch_stats, metrics): one forward pass of G.

    Every discriminator learns on the images as they are, then the generator from the
    updated discriminators and the frozen networks in its one backward pass.
    """
    outputs, pull, g_stats = jax.vjp(
        lambda params: passes.generate(params, state.generator.batch_stats, inputs),
        state.generator.params,
        has_aux=True,
    )
    grads, statistics, d_metrics = passes.discriminate(
        state.discriminators, outputs[0], inputs
    )
    discriminators = _updated(state.discriminators, optimizer, grads, statistics)
    cotangent, statistics, g_metrics = passes.judge(
        outputs, discriminators, frozen, inputs
    )
    (g_grads,) = pull(cotangent)
    discriminators = _with_statistics(discriminators, statistics)
    return discriminators, g_grads, g_stats, d_metrics | g_metrics


def _in_parts(passes, optimizer, state, frozen, inputs, accumulate):
    """As `_at_once`, a part of the batch at a time.

    The generator learns from discriminators that have seen the whole batch, so every
    part is generated twice: once for them, once for itself. The second time its
    running statistics stay, as they have moved already.
    """
    network = state.generator
    equal = jnp.full(accumulate, 1 / accumulate)

    def d_part(carry, part):
        g_stats, statistics = carry
        outputs, g_stats = passes.generate(network.params, g_stats, part)
        discriminators = _with_statistics(state.discriminators, statistics)
        grads, statistics, metrics = passes.discriminate(
            discriminators, outputs[0], part
        )
        return (g_stats, statistics), (grads, metrics)

    statistics = {name: d.batch_stats for name, d in state.discriminators.items()}
    (g_stats, statistics), (grads, d_metrics) = accumulation.scan(
        d_part, (network.batch_stats, statistics), inputs, equal
    )
    discriminators = _updated(state.discriminators, optimizer, grads, statistics)

    def g_part(statistics, part):
        outputs, pull, _ = jax.vjp(
            lambda params: passes.generate(params, network.batch_stats, part),
            network.params,
            has_aux=True,
        )
        cotangent, statistics, metrics = passes.judge(
            outputs, _with_statistics(discriminators, statistics), frozen, part
        )
        return statistics, (pull(cotangent)[0], metrics)

    statistics, (g_grads, g_metrics) = accumulation.scan(
        g_part, statistics, inputs, equal
    )
    discriminators = _with_statistics(discriminators, statistics)
    return discriminators, g_grads, g_stats, d_metrics | g_metrics


def make_update(
    networks, optimizers, weights, *,
    ema_decay, ema_batch_stats, rate, warmth, accumulate=1,
):  # fmt: skip
    """One GAN update from prepared inputs.

    Args:
      networks: `models.build.Networks`.
      optimizers: {"G": optimizer, "D": optimizer}.
      weights: `objective.Weights`.
      ema_decay: decay of the moving average, a step.
      ema_batch_stats: average the statistics too, or copy the raw network's.
      rate: `rate(step)`, by which the optimisers' updates are multiplied.
      warmth: `warmth(step)`, by which lambda_stream is.
      accumulate: parts of the batch that follow one another. Every mean is that over
        the whole batch, but batch norms see a part at a time, and wrong pairs and the
        DAMSM loss's negatives are formed within one.

    Returns:
      `update(state, frozen, real, captions, z, eps, numbers) -> (state, metrics)`:
      `frozen` as `make_train_step` has it, `real` a tuple of [B, q, q, 3] images in
      [-1, 1], coarse to fine, `numbers` of `augmentation.draw`.
    """

    def update(state, frozen, real, captions, z, eps, numbers):
        inputs = _Inputs(real, captions, z, eps, numbers)
        passes = _Passes(networks, weights, warmth(state.step))
        g_optimizer, d_optimizer = (
            states.scaled(optimizers[name], rate(state.step)) for name in ("G", "D")
        )
        if accumulate == 1:
            results = _at_once(passes, d_optimizer, state, frozen, inputs)
        else:
            rows = accumulation.split(inputs._replace(caption_scale=None), accumulate)
            scale = accumulate * accumulation.caption_weights(
                captions.length + weights.end_token,
                accumulate,
                reduction=weights.caption_reduction,
            )
            inputs = rows._replace(caption_scale=scale)
            results = _in_parts(passes, d_optimizer, state, frozen, inputs, accumulate)
        discriminators, grads, g_stats, metrics = results
        generator = state.generator.updated(g_optimizer, grads, g_stats)
        state = state.replace(
            step=state.step + 1,
            generator=generator,
            discriminators=discriminators,
            ema=moving_average(
                state.ema, generator, decay=ema_decay, batch_stats=ema_batch_stats
            ),
        )
        return state, metrics

    return update


# Of the augmentations' key: 0 and 1 are those of `glam.noise`.
_AUGMENTATION = 2


def make_train_step(networks, update, *, sizes, z_dim, condition_dim, diff_augment):
    """The pure step `train_step(state, frozen, batch, key) -> (state, metrics)`.

    Args:
      networks: `models.build.Networks`.
      update: what `make_update` returned.
      sizes: image sizes of the stages, coarse to fine.
      z_dim, condition_dim: Z and D'.
      diff_augment: policy of `augmentation.draw`.

    Returns:
      The step; `frozen` is {"stem", "stream", "image"}: variables of the text encoder,
      of STREAM and of the image tower; "stream" is {} where lambda_stream is 0,
      "image" where lambda_damsm is.
    """

    def train_step(state, frozen, batch, key):
        captions = stem_models.encode_captions(
            networks.text_encoder, frozen["stem"], batch["tokens"], batch["length"],
            batch["class_id"],
        )  # fmt: skip
        real = resize.pyramid(resize.from_uint8(batch["image"]), sizes)
        key, rows = jax.random.fold_in(key, state.step), batch["tokens"].shape[0]
        z, eps = glam.noise(key, rows, z_dim, condition_dim)
        numbers = augmentation.draw(
            jax.random.fold_in(key, _AUGMENTATION), rows, diff_augment
        )
        return update(state, frozen, real, captions, z, eps, numbers)

    return train_step
