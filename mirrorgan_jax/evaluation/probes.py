"""What an evaluation runs over images besides the networks that made them."""

import jax
import jax.numpy as jnp

from mirrorgan_jax.evaluation import evaluator as evaluators


def seen(images):
    """Images in [-1, 1] as a file of 8 bits a channel would hold them."""
    return jnp.rint((images + 1) * 127.5) / 127.5 - 1


def features(network, image_size=None):
    """The `Probe` of a feature network: {"features", "log_probs"} of 8-bit images.

    Args:
      network: `metrics.features.FeatureNetwork`.
      image_size: images of another size are brought to this one; None leaves it to
        the network.
    """

    def function(variables, images, batch):
        del batch
        if image_size and images.shape[1] != image_size:
            shape = (len(images), image_size, image_size, 3)
            images = jax.image.resize(images, shape, "linear")
        features, log_probs = network.apply(variables, seen(images))
        return {"features": features, "log_probs": log_probs}

    return evaluators.Probe(function, network.variables)


def word_scores(module, variables):
    """The `Probe` of a captioner that reads captions of other images: [T, V]
    log-probabilities of the words of `batch["other_tokens"]`."""

    def function(variables, images, batch):
        logits = module.apply(variables, images, batch["other_tokens"], train=False)
        return jax.nn.log_softmax(logits, -1)

    return evaluators.Probe(function, variables)


def captioner(module, variables, num_words):
    """The `Probe` of a captioner: greedy "ids" [T], and "log_probs" [T, V] of the
    caption's own words, each after the ones before it.

    A redescription ends at id 0: at the captioner's own end, or, where it has none,
    with as many words as the caption.
    """

    def function(variables, images, batch):
        ids = module.apply(variables, images, num_words, method="redescribe")
        if not module.end_token:
            ids = jnp.where(
                jnp.arange(num_words)[None] < batch["length"][:, None], ids, 0
            )
        logits = module.apply(variables, images, batch["tokens"], train=False)
        return {"ids": ids, "log_probs": jax.nn.log_softmax(logits, -1)}

    return evaluators.Probe(function, variables)
