"""The shipped model, as somebody who has just installed the package meets it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import mirrorgan_jax
from mirrorgan_jax.inference import bundle, sources
from mirrorgan_jax.metrics import result

CAPTION = "a small red bird with blue wings and a yellow belly"
# How far red, green and blue of a pixel may lie from a colour's own.
_NEAR = 90
_COLOURS = {"red": (200, 40, 40), "blue": (40, 80, 200), "yellow": (240, 210, 50)}


def _share(image, colour):
    """Share of an image's pixels that are near a colour."""
    distance = np.abs(np.asarray(image, int) - _COLOURS[colour]).max(-1)
    return (distance < _NEAR).mean()


def test_one_command_in_an_empty_folder_draws(tmp_path):
    absent = "tensorflow", "torch", "orbax", "tensorstore", "clu"
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}, None));"
        "from mirrorgan_jax.cli import verbs;"
        f"sys.exit(verbs.cli(['mirrorgan', 'sample', {CAPTION!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pictures = sorted((tmp_path / "samples").glob("*.png"))
    assert len(pictures) == 9 and "sheet" in pictures[-1].name
    with Image.open(pictures[0]) as image:
        assert image.size == (64, 64) and image.text["caption"] == CAPTION


@pytest.mark.parametrize("colour", _COLOURS)
def test_birds_have_the_colours_that_are_asked_for(colour):
    model = mirrorgan_jax.from_pretrained("toybirds")
    asked = model(f"this {colour} bird has {colour} wings", n=8, seed=1)
    others = [name for name in _COLOURS if name != colour]
    with_it = np.mean([_share(image, colour) for image in asked.images])
    without = np.mean(
        [
            _share(image, colour)
            for other in others
            for image in model(f"this {other} bird has {other} wings", n=4).images
        ]
    )
    assert with_it > 3 * without and with_it > 0.02


def test_it_says_where_it_comes_from_and_how_good_it_is():
    opened = sources.opened("toybirds")
    card = opened.read(bundle.CARD, sources.LARGEST_TEXT).decode()
    assert "mirrorgan train --config=toybirds_hour" in card and "seed 0" in card
    assert 'license: "apache-2.0"' in card
    assert opened.read(bundle.LICENSE, sources.LARGEST_TEXT)
    contents = bundle.contents(opened)
    found = result.loads(contents.evaluation, "toybirds", "")
    (measure,) = [m for n, m in found.metrics.items() if n == "r_precision"]
    assert measure.rows and "validation" in found.protocol["chosen on"]
    assert json.loads(opened.read(bundle.CONFIG, sources.LARGEST_TEXT))["step"] == 10000
    assert {"captioner"} <= set(contents.items)


def test_it_is_small():
    folder = sources.shipped("toybirds")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4 * 2**20
