"""Adversarial losses of G and D, and the KL term (paper Eq. 7, 10; [39])."""

import jax
import jax.numpy as jnp

_REAL = ("real", "cond_real")
_FAKE = ("fake", "cond_fake", "cond_wrong")
FORMS = ("bce", "hinge")


def _wide(logits):
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _check(form):
    if form not in FORMS:
        raise ValueError(f"form = {form!r}: one of {', '.join(FORMS)}")


def _cross_entropy(logits, *, real: bool):
    """Mean of -log D (real) or -log(1 - D) over the batch, from logits."""
    logits = _wide(logits)
    return -jnp.mean(jax.nn.log_sigmoid(logits if real else -logits))


def _hinge(logits, *, real: bool):
    """Mean of max(0, 1 - s) over the batch, s the logit (real) or its negative."""
    logits = _wide(logits)
    return jnp.mean(jax.nn.relu(1 - (logits if real else -logits)))


def discriminator_loss(logits, *, weighting, form="bce"):
    """Loss of one discriminator (Eq. 10).

    Args:
      logits: dict of [B] (cond_wrong: [B - 1]) logits under `real`, `cond_real`,
        `fake`, `cond_fake` and, with wrong pairs, `cond_wrong`.
      weighting: "half" weighs every term by 1/2 (Eq. 10); "mean" adds the mean of
        the real terms and the mean of the fake and wrong terms (the reference).
      form: of a term: "bce", the cross entropy of Eq. 10, or "hinge" (Lim and Ye
        2017; SAGAN, Eq. 4).

    Returns:
      The loss and a dict of the unweighted terms under the names of the logits.

    Raises:
      ValueError: unknown weighting or form, or a name of `logits` is unknown.
    """
    _check(form)
    if weighting not in ("half", "mean"):
        raise ValueError(f"weighting = {weighting!r}: one of 'half', 'mean'")
    unknown = sorted(set(logits) - {*_REAL, *_FAKE})
    if unknown:
        raise ValueError(f"unknown logits {unknown}: one of {[*_REAL, *_FAKE]}")
    term = _hinge if form == "hinge" else _cross_entropy
    real = {k: term(logits[k], real=True) for k in _REAL if k in logits}
    fake = {k: term(logits[k], real=False) for k in _FAKE if k in logits}
    if weighting == "half":
        loss = (sum(real.values()) + sum(fake.values())) / 2
    else:
        loss = sum(real.values()) / len(real) + sum(fake.values()) / len(fake)
    return loss, {**real, **fake}


def generator_loss(uncond, cond, *, scale, form="bce"):
    """Adversarial loss of the generator at one stage (Eq. 7).

    Args:
      uncond: [B] unconditional logits of the generated images.
      cond: [B] logits of the generated images with their sentences.
      scale: factor of both terms: 1/2 in Eq. 7, 1 in the reference.
      form: "bce", the cross entropy of Eq. 7, or "hinge", the negative logit.

    Returns:
      The scalar loss.

    Raises:
      ValueError: unknown form.
    """
    _check(form)
    if form == "hinge":
        return -scale * (_wide(uncond).mean() + _wide(cond).mean())
    terms = _cross_entropy(uncond, real=True) + _cross_entropy(cond, real=True)
    return scale * terms


def kl_divergence(mu, logvar):
    """KL of N(mu, exp(logvar)) from N(0, 1), conditioning augmentation of [39].

    Args:
      mu: [B, C'] means.
      logvar: [B, C'] log variances.

    Returns:
      Mean over the batch AND the dimensions, as in the reference.
    """
    dtype = jnp.promote_types(mu.dtype, jnp.float32)
    mu, logvar = mu.astype(dtype), logvar.astype(dtype)
    return -0.5 * jnp.mean(1 + logvar - mu**2 - jnp.exp(logvar))
