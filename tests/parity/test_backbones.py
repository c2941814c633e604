"""Full-size Inception-v3 and ResNet-152 encoders against the reference's results.

Weights are made by the fixtures' rule from the tensors' names, and come through files.
"""

import jax
import numpy as np
import pytest
from support import parity, parity_networks, weight_rule

from mirrorgan_jax.models import image_encoder, stream
from mirrorgan_jax.weights import names

SALT = "shared-1"


def image():
    """The fixtures' image: blocks of 32 pixels plus noise."""
    coarse = weight_rule.uniform(f"{SALT}/input/image_lo", (1, 3, 8, 8))
    coarse = coarse.repeat(32, axis=2).repeat(32, axis=3)
    fine = weight_rule.uniform(f"{SALT}/input/image", (1, 3, 256, 256))
    return parity.nhwc((0.6 * coarse + 0.4 * fine).astype(np.float32))


@pytest.mark.slow
def test_inception_encoder_equals_reference(tmp_path):
    fixture = parity.load("09b_full_inception")
    shapes = weight_rule.table("CNN_ENCODER_256")
    state = weight_rule.weights(SALT, shapes, np.sqrt(2))
    tree = parity_networks.imported(tmp_path, state, names.image_encoder())
    for suffix, corners in (("_ac1", True), ("_ac0", False)):
        encoder = image_encoder.ImageEncoder(align_corners=corners)
        apply = jax.jit(lambda x, model=encoder: model.apply(tree, x, train=False))
        regions, code = apply(image())
        maps = np.asarray(regions).reshape(1, 17, 17, 256).transpose(0, 3, 1, 2)
        fixture.assert_close(maps, f"out/features{suffix}")
        fixture.assert_close(code, f"out/cnn_code{suffix}")


@pytest.mark.slow
def test_resnet152_encoder_equals_reference(tmp_path):
    fixture = parity.load("09c_full_resnet152")
    shapes = weight_rule.table("CAPTION_CNN_256")
    state = weight_rule.weights(SALT, shapes, np.sqrt(2), small_norms=("bn3.weight",))
    tree = parity_networks.imported(tmp_path, state, names.caption_encoder())

    def run(tree, images):
        encoder = stream.CaptionEncoder(input_norm="raw", input_size=0)
        return (
            encoder.apply(tree, images, train=False).feature,
            encoder.apply(tree, images, train=False, method="look")[1],
        )

    run = jax.jit(run)
    for suffix, corners in (("_ac1", True), ("_ac0", False)):
        images = stream.resize.resize(
            image(), 224, align_corners=corners, antialias=False
        )
        features, pooled = run(tree, images)
        fixture.assert_close(features, f"out/features{suffix}")
        fixture.assert_close(pooled, f"out/pooled{suffix}")
