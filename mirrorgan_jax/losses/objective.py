"""What the discriminators and the generator minimise (Eq. 7-11)."""

from typing import NamedTuple

from mirrorgan_jax.losses import (
    adversarial,
    augmentation,
    captioning,
    damsm,
    penalties,
)
from mirrorgan_jax.parallel import constraints


class Weights(NamedTuple):
    """Weights and forms of the objective.

    Attributes:
      adversarial_scale: factor of each term of Eq. 7 (1/2).
      discriminator_weighting: "half" (Eq. 10) or "mean".
      wrong_pairs: whether D sees mismatched pairs as fakes.
      lambda_stream: lambda of Eq. 9.
      caption_reduction: "mean" or "sum" over words in Eq. 8.
      lambda_damsm: weight of the DAMSM loss in L_G ([35], Eq. 3).
      gammas: (gamma1, gamma2, gamma3) of that loss.
      kl_weight: weight of the conditioning augmentation's KL term.
      end_token: the end of a caption is one more word of Eq. 8.
      adversarial_loss: "bce" (Eq. 7 and 10) or "hinge".
      gradient_penalty: "none", or a form of `penalties.gradient_penalty`.
      penalty_weight: of that penalty in L_{D_i}.
    """

    adversarial_scale: float
    discriminator_weighting: str
    wrong_pairs: bool
    lambda_stream: float
    caption_reduction: str
    lambda_damsm: float
    gammas: tuple[float, ...]
    kl_weight: float
    end_token: bool = False
    adversarial_loss: str = "bce"
    gradient_penalty: str = "none"
    penalty_weight: float = 0.0

    @classmethod
    def of(cls, gan, gammas, *, end_token=False):
        """Those of the keys of `gan`, a mapping, STEM's gammas and STREAM's end."""
        return cls(
            adversarial_scale=gan["adversarial_scale"],
            discriminator_weighting=gan["discriminator_weighting"],
            wrong_pairs=gan["wrong_pairs"],
            lambda_stream=gan["lambda_stream"],
            caption_reduction=gan["caption_reduction"],
            lambda_damsm=gan["lambda_damsm"],
            gammas=gammas,
            kl_weight=gan["kl_weight"],
            end_token=end_token,
            adversarial_loss=gan["adversarial_loss"],
            gradient_penalty=gan["gradient_penalty"],
            # One step in so many has it, and counts for all of them.
            penalty_weight=gan["penalty_weight"] * gan["penalty_every"],
        )


def discriminator_loss(module, variables, real, fake, sentence, weights, numbers):
    """L_{D_i} (Eq. 10).

    Args:
      module: the discriminator.
      variables: {params, batch_stats} of it.
      real, fake: [B, q, q, 3] images of its stage.
      sentence: [B, D].
      weights: `Weights`.
      numbers: what `augmentation.draw` returns, {kind: {}} where nothing is changed.

    Returns:
      (loss, (unweighted terms, batch_stats)).
    """
    real = augmentation.apply(real, numbers["real"])
    fake = augmentation.apply(fake, numbers["fake"])
    logits, updated = module.apply(
        variables, real, fake, sentence,
        wrong_pairs=weights.wrong_pairs, train=True,
        method="pairs", mutable=["batch_stats"],
    )  # fmt: skip
    loss, terms = adversarial.discriminator_loss(
        logits,
        weighting=weights.discriminator_weighting,
        form=weights.adversarial_loss,
    )
    if weights.gradient_penalty != "none":

        def judge(images, sentences):
            # Statistics have moved already, in `pairs`.
            return sum(module.apply(variables, images, sentences, train=True))

        terms["penalty"] = penalties.gradient_penalty(
            judge, real, sentence, form=weights.gradient_penalty
        )
        loss += weights.penalty_weight * terms["penalty"]
    return loss, (terms, updated.get("batch_stats", {}))


def generator_loss(
    networks, weights, images, mu, logvar, discriminators, frozen, captions, numbers,
    scale=1.0, warmth=1.0,
):  # fmt: skip
    """L_G = sum_i L_{G_i} + lambda L_stream (Eq. 9), DAMSM's loss and the KL term.

    Args:
      networks: `models.build.Networks`.
      weights: `Weights`.
      images: tuple of [B, q, q, 3] generated images, coarse to fine.
      mu, logvar: [B, D'] of the conditioning augmentation.
      discriminators: {name: variables}, updated on these images.
      frozen: variables of STREAM ("stream") and of the image tower ("image"), each
        where its weight is not 0.
      captions: `models.stem.Captions`.
      numbers: as `discriminator_loss` takes them; STREAM and the image tower see the
        images as they are.
      scale: of the caption loss: 1 but for a part of a batch, whose captions may be
        longer or shorter than the others'.
      warmth: share of lambda that the caption loss has.

    Returns:
      (loss, (unweighted terms, batch_stats of every D)).
    """
    total, terms, statistics = 0.0, {}, {}

    # Eq. 7: every stage is to pass for real, alone and with its sentence.
    for image, (name, module) in zip(
        images, networks.discriminators.items(), strict=True
    ):
        (uncond, cond), updated = module.apply(
            discriminators[name], augmentation.apply(image, numbers["judged"]),
            captions.sentence,
            train=True, mutable=["batch_stats"],
        )  # fmt: skip
        value = adversarial.generator_loss(
            uncond,
            cond,
            scale=weights.adversarial_scale,
            form=weights.adversarial_loss,
        )
        total += value
        terms[f"G/adversarial_{name}"] = value
        statistics[name] = updated.get("batch_stats", {})

    # Eq. 8: the last image is redescribed as its caption.
    if weights.lambda_stream:
        tokens, length = captions.tokens, captions.length
        if weights.end_token:
            tokens, length = captioning.with_end(tokens, length)
        logits = networks.captioner.apply(
            frozen["stream"], images[-1], tokens, train=False
        )
        value = scale * captioning.caption_loss(
            logits, tokens, length, reduction=weights.caption_reduction
        )
        total += warmth * weights.lambda_stream * value
        terms["G/caption"] = value

    # [35], Eq. 3: words match regions of the last image, the sentence the whole.
    if weights.lambda_damsm:
        value = _matching_loss(
            networks.image_encoder, frozen["image"], images[-1], captions,
            weights.gammas,
        )  # fmt: skip
        total += weights.lambda_damsm * value
        terms["G/damsm"] = value

    # [39]: sentences stay close to a standard normal distribution.
    value = adversarial.kl_divergence(mu, logvar)
    total += weights.kl_weight * value
    terms["G/kl"] = value
    return total, (terms, statistics)


def _matching_loss(image_encoder, variables, images, captions, gammas):
    """L_DAMSM of generated images [B, q, q, 3], the encoder in inference mode."""
    regions, code = image_encoder.apply(variables, images, train=False)
    # The loss may split captions over `spatial`: the split stays in it.
    words, mask, sentence = map(
        constraints.shard_batch, (captions.words, captions.mask, captions.sentence)
    )
    gamma1, gamma2, gamma3 = gammas
    return damsm.damsm_loss(
        regions, words, mask, code, sentence, captions.class_id,
        gamma1=gamma1, gamma2=gamma2, gamma3=gamma3,
    )[0]  # fmt: skip
