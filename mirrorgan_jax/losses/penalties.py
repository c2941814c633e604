"""Gradient penalties of a discriminator at real images with their sentences."""

import jax
import jax.numpy as jnp

FORMS = ("r1", "ma_gp")
_POWER = 6  # p of MA-GP; DF-GAN


def gradient_penalty(judge, images, sentences, *, form):
    """Mean over the batch of a penalty on the gradients of real pairs.

    Args:
      judge: `judge(images, sentences) -> [B]`; each logit is of its own pair alone.
      images: [B, q, q, 3] real images, as the discriminator sees them.
      sentences: [B, D] of their captions.
      form: "r1", |grad_image|^2 / 2 (Mescheder et al. 2018, Eq. 9, gamma 1), or
        "ma_gp", (|grad_image| + |grad_sentence|)^6 (matching-aware gradient penalty
        of DF-GAN, k = 1; its released code takes the norm of both together).

    Returns:
      The scalar penalty.

    Raises:
      ValueError: unknown form.
    """
    if form not in FORMS:
        raise ValueError(f"form = {form!r}: one of {', '.join(FORMS)}")
    gradients = jax.grad(lambda *pair: judge(*pair).sum(), (0, 1))(images, sentences)
    of_images, of_sentences = map(_squares, gradients)
    if form == "r1":
        return of_images.mean() / 2
    # The slope of a root is infinite at zero.
    norms = jnp.sqrt(of_images + 1e-12) + jnp.sqrt(of_sentences + 1e-12)
    return jnp.mean(norms**_POWER)


def _squares(x):
    """[B, ...] -> [B]: sums of squares."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.sum(wide**2, tuple(range(1, x.ndim)))
