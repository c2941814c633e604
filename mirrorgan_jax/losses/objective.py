"""Objectives of the GAN step: L_D of every discriminator and L_G (Eq. 7-11)."""

from typing import NamedTuple

import jax

from mirrorgan_jax.losses import adversarial, captioning, damsm
from mirrorgan_jax.parallel import constraints


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
      lambda_damsm: weight of the DAMSM loss in L_G ([35], Eq. 3).
      gammas: (gamma1, gamma2, gamma3) of that loss.
    """

    adversarial_scale: float
    discriminator_weighting: str
    wrong_pairs: bool
    lambda_stream: float
    caption_reduction: str
    kl_weight: float
    ema_decay: float
    ema_batch_stats: bool
    lambda_damsm: float = 0.0
    gammas: tuple[float, ...] = ()


def discriminator_gradients(module, network, real, fake, sentence, weights):
    """L_{D_i} (Eq. 10) and its gradient.

    Args:
      module: the discriminator.
      network: its `NetworkState`.
      real, fake: [B, q, q, 3] images of this stage.
      sentence: [B, D].
      weights: `Weights`.

    Returns:
      (gradients, batch_stats, {"loss", unweighted terms}).
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
    return grads, stats, {"loss": value, **terms}


def _matching_loss(image_encoder, variables, images, captions, gammas):
    """L_DAMSM of generated images [B, q, q, 3], the encoder in inference mode."""
    regions, code = image_encoder.apply(variables, images, train=False)
    # The loss may split captions over `spatial`. Without this the compiler carries that
    # split into the generator, where a kernel's gradient was seen to be wrong.
    words, mask, sentence = map(
        constraints.shard_batch, (captions.words, captions.mask, captions.sentence)
    )
    gamma1, gamma2, gamma3 = gammas
    return damsm.damsm_loss(
        regions, words, mask, code, sentence, captions.class_id,
        gamma1=gamma1, gamma2=gamma2, gamma3=gamma3,
    )[0]  # fmt: skip


def make_generator_loss(networks, weights):
    """L_G of Eq. 9 with the KL term, as a function of what the generator returned.

    Returns:
      `loss(images, mu, logvar, discriminators, frozen, captions, caption_scale) ->
      (loss, (terms, batch_stats of every D))`; `frozen` holds the variables of STREAM
      ("stream") and of the image tower ("image"), each where its weight is not 0;
      `caption_scale` is 1 but for a part of a batch, whose captions may be longer or
      shorter than the others'.
    """

    def loss(images, mu, logvar, discriminators, frozen, captions, caption_scale):
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
                frozen["stream"], images[-1], captions.tokens, train=False
            )
            caption = caption_scale * captioning.caption_loss(
                logits, captions.tokens, captions.length,
                reduction=weights.caption_reduction,
            )  # fmt: skip
            total += weights.lambda_stream * caption
            terms["G/caption"] = caption
        if weights.lambda_damsm:
            matching = _matching_loss(
                networks.image_encoder, frozen["image"], images[-1], captions,
                weights.gammas,
            )  # fmt: skip
            total += weights.lambda_damsm * matching
            terms["G/damsm"] = matching
        kl = adversarial.kl_divergence(mu, logvar)
        terms["G/kl"] = kl
        return total + weights.kl_weight * kl, (terms, statistics)

    return loss
