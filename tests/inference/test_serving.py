"""The exported function: the model's pixels, for any batch, in jax alone."""

import subprocess
import sys

import numpy as np
import pytest
from jax import export
from PIL import Image
from support import random_runs

from mirrorgan_jax.inference import model as api
from mirrorgan_jax.inference import pictures, serving

CAPTIONS = ["this bird has a red wing", "blue bird", "small yellow beak"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return api.Model.load(random_runs.write(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    serving.write(model, folder)
    return folder


@pytest.mark.parametrize("rows", [1, 3])
def test_any_batch_gives_the_models_images(model, served, rows):
    made = model.generate(CAPTIONS[:rows], seed=2)
    exported = export.deserialize((served / serving.FUNCTION).read_bytes())
    assert exported.platforms == serving.PLATFORMS
    length = np.array([len(words) for words in made.words], np.int32)
    images = exported.call(made.tokens, length, made.z, made.eps)
    for own, theirs in zip(made.images, images, strict=True):
        # The same operations, compiled for another batch.
        np.testing.assert_allclose(theirs, own, atol=1e-5)


def test_the_example_draws_without_this_package(model, served):
    guard = (
        "import sys; sys.modules['mirrorgan_jax'] = sys.modules['flax'] = None;"
        f"sys.argv = ['example.py', {CAPTIONS[0]!r}, '5'];"
        "exec(open('example.py').read())"
    )
    subprocess.run([sys.executable, "-c", guard], cwd=served, check=True, timeout=300)
    noise = np.random.default_rng(5).standard_normal((1, 8)).astype(np.float32)
    made = model.generate([CAPTIONS[0]], z=noise[:, :4], eps=noise[:, 4:])
    drawn = np.asarray(Image.open(served / "image.ppm"), int)
    assert np.abs(drawn - pictures.to_uint8(made.images[-1][0])).max() <= 1
    assert len((served / serving.EXAMPLE).read_text().splitlines()) <= 25
