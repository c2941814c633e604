"""What Inception Score, FID and KID see of an image: features and class probabilities.

Values of two networks, or of one network behind two resizings, cannot be compared, so
a `FeatureNetwork` carries all of that with it.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mirrorgan_jax.metrics import classifier as classifiers
from mirrorgan_jax.models import resize
from mirrorgan_jax.weights import backbones

# The key `eval.<kind>` gives the file of each.
KINDS = ("inception_fid", "inception_v3", "inception_cub")
_SIDE = 299


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A network that a metric looks through.

    Attributes:
      name: of the network.
      weights: SHA-256 of its variables, hexadecimal.
      resize: how images are brought to its size.
      num_classes: of its largest classifier, the background included.
      dim: D, of its features.
      background: whether class 0 is none (StackGAN's network).
      standardised: whether FID and KID bring its features to mean 0 and deviation 1
        on the real images. Those of published networks have a scale that numbers are
        compared at; that of a network trained on the spot is an accident of its
        training, and FID would grow with its square, KID with up to its sixth power.
      variables: its parameters.
      apply: pure `apply(variables, images [B, S, S, 3] in [-1, 1]) -> (features
        [B, D], tuple of log-probabilities [B, C] of every classifier)`.
    """

    name: str
    weights: str
    resize: str
    num_classes: int
    dim: int
    background: bool
    standardised: bool
    variables: Any
    apply: Callable[..., Any]

    def protocol(self) -> dict[str, str]:
        """What a measure that looks through it has to say."""
        return {
            "network": self.name,
            "weights": self.weights[:12],
            "resize": self.resize,
            "images seen": "8 bits a channel",
        }


def digest(tree):
    """SHA-256 of the leaves of a tree with their paths, hexadecimal."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.ascontiguousarray(leaf)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found.update(f"{name} {leaf.dtype} {leaf.shape}\n".encode())
        found.update(leaf.tobytes())
    return found.hexdigest()


def like_tensorflow_1(images):
    """Bilinear to 299 pixels as TensorFlow 1 did it: output i reads input i * scale.

    Args:
      images: [B, H, W, 3].

    Returns:
      [B, 299, 299, 3].
    """

    def weights(source):
        at = np.minimum(np.arange(_SIDE) * (source / _SIDE), source - 1)
        return np.maximum(1 - np.abs(at[:, None] - np.arange(source)), 0)

    return resize.apply_weights(
        images, weights(images.shape[1]), weights(images.shape[2])
    )


def _half_pixel(images):
    return resize.resize(images, _SIDE, align_corners=False, antialias=False)


def load(kind, path):
    """A network out of a file.

    Args:
      kind: "inception_fid" (the ImageNet graph of 2015 that FID is defined by, 1008
        classes), "inception_v3" (torchvision's ImageNet network) or "inception_cub"
        (StackGAN's for CUB, 50 classes and a background).
      path: file of weights with torchvision's names (`weights.files`).

    Raises:
      FileNotFoundError: no such file; the message says what it must hold.
      ValueError: the file does not fit.
    """
    try:
        module, variables = backbones.inception_classifier(path, kind)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"config.eval.{kind}: {error}") from None
    except ValueError as error:
        raise ValueError(f"config.eval.{kind}: {error}") from None
    fid = kind == "inception_fid"

    def apply(variables, images):
        # The others take [-1, 1]: torchvision's network brings ImageNet's mean and
        # deviation back to it (transform_input), StackGAN's was trained on it.
        images = like_tensorflow_1(images) if fid else _half_pixel(images)
        if fid:
            # The graph takes (x - 128) / 128 of bytes x.
            images = ((images + 1) * 127.5 - 128) / 128
        features, logits = module.apply(variables, images)
        if fid:
            # Published Inception Scores leave out the bias of this graph's classifier.
            logits -= variables["params"]["fc"]["bias"][None]
        return features, (jax.nn.log_softmax(logits, -1),)

    return FeatureNetwork(
        name=kind,
        weights=digest(variables),
        resize="bilinear to 299 pixels "
        + ("as TensorFlow 1" if fid else "with half-pixel centres, no antialiasing"),
        num_classes=module.num_classes,
        dim=2048,
        background=kind == "inception_cub",
        standardised=False,
        variables=variables,
        apply=apply,
    )


def from_classifier(classifier, name):
    """A trained attribute classifier as a network, a head an attribute.

    Args:
      classifier: `metrics.classifier.Classifier`.
      name: of the network.
    """
    net = classifiers.AttributeNet(classifier.heads)

    def apply(variables, images):
        features, logits = net.apply(variables, images, with_features=True)
        return features, tuple(jax.nn.log_softmax(head, -1) for head in logits)

    variables = {"params": classifier.params}
    return FeatureNetwork(
        name=name,
        weights=digest(variables),
        resize="at the size it was trained at",
        num_classes=max(values for _, values in classifier.heads),
        dim=net.widths[-1],
        background=False,
        standardised=True,
        variables=variables,
        apply=apply,
    )
