"""A run whose STREAM looks at regions and knows where captions end."""

import jax
import numpy as np
import pytest
from support import random_runs

from mirrorgan_jax.inference import model as api
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.report import figures
from mirrorgan_jax.training import stages
from mirrorgan_jax.workdir import layout

CHANGES = {"stream.decoder": "attention", "stream.end_token": True}
CAPTIONS = ["a red bird", "this bird has a blue wing"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return api.Model.load(random_runs.write(tmp_path_factory.mktemp("ends"), **CHANGES))


def ending(model, *, likely):
    """The model with another bias of its end token."""
    config, mesh = model.config, meshes.create_mesh()
    found = layout.load_stream(config, model.name, mesh)
    bias = found["params"]["decoder"]["linear"]["bias"]
    found["params"]["decoder"]["linear"]["bias"] = bias.at[0].set(likely)
    networks = {**model.networks, "captioner": found}
    return api.Model(
        config, model.vocab, networks, model.name, step=model.step, mesh=mesh
    )


def test_redescriptions_end_by_themselves(model):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    never = ending(model, likely=-1e3)
    texts = never.redescribe(images, 10)
    assert [len(text.split()) for text in texts] == [10, 10]
    assert never.redescribe(images, [3, 10]) == [
        " ".join(texts[0].split()[:3]),
        texts[1],
    ]
    # What is shown beside a caption is not cut at the caption's length.
    shown = [words for words, _ in figures.redescribed(never, images, CAPTIONS)]
    assert [len(words) for words in shown] == [10, 10]
    at_once = ending(model, likely=1e3)
    assert at_once.redescribe(images, 10) == ["", ""]
    ((words, score), _) = figures.redescribed(at_once, images, CAPTIONS)
    assert words == [] and "nats a word" in score


def test_weights_come_back_and_other_decoders_are_refused(model):
    config, mesh = model.config, meshes.create_mesh()
    found = layout.load_stream(config, model.name, mesh)
    create = jax.jit(stages.stream(config, len(random_runs.WORDS)).create)
    written = create(jax.random.key(1)).captioner
    for key, value in {
        "params": written.params,
        "batch_stats": written.batch_stats,
    }.items():
        assert jax.tree.structure(found[key]) == jax.tree.structure(value)
        jax.tree.map(np.testing.assert_array_equal, found[key], value)
    assert "key" in found["params"]["decoder"]
    other = config.copy_and_resolve_references()
    other.stream.decoder, other.stream.end_token = "lstm", False
    with pytest.raises(ValueError, match="stream.decoder = 'lstm', was 'attention'"):
        layout.load_stream(other, model.name, mesh)
