"""The final evaluation: what is observed, the list of metrics, table and page."""

import types

import jax
import numpy as np
import pytest
from support import evaluations, tiny

from mirrorgan_jax import run as runs
from mirrorgan_jax import text
from mirrorgan_jax.evaluation import evaluate, observing, probes, protocol
from mirrorgan_jax.evaluation import evaluator as evaluators
from mirrorgan_jax.metrics import features
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.result import Refused, Source
from mirrorgan_jax.report import page

_COLORS = np.array([[220, 30, 40], [40, 90, 220], [240, 240, 235]])


class Truth:
    """A large rectangle with a small one above it, each of one of three colours.

    The classifier reads them in another order than the one in which they are written
    down.
    """

    parts = ("large", "small")
    values = {name: ("red", "blue", "white") for name in ("unseen", "small", "large")}

    @staticmethod
    def draw(count, *, size, seed):
        rng = np.random.default_rng(seed)
        images = np.full((count, size, size, 3), 128, np.uint8)
        attributes = rng.integers(0, 3, (count, 3))
        for image, (_, small, large) in zip(images, attributes, strict=True):
            y, x = rng.integers(8, 16), rng.integers(2, 14)
            image[y : y + 12, x : x + 14] = _COLORS[large]
            image[y - 6 : y, x + 2 : x + 8] = _COLORS[small]
        return images, attributes


class Split(types.SimpleNamespace):
    def __len__(self):
        return len(self.class_ids)


class Evaluator:
    """An evaluator of given images, in place of networks that make some."""

    def __init__(self, generated, real, attributes):
        count = len(real)
        split = Split(
            class_ids=np.arange(count), captions=[[[1, 2]]] * count,
            attributes=attributes,
        )  # fmt: skip
        self.split, self._generated, self._real = split, generated, real
        self.protocol = protocol.make(split, count=0, num_words=4, pool_size=5, seed=0)

    def code_probe(self, variables):
        return evaluators.Probe(lambda _, images, batch: images.mean((1, 2)), variables)

    def sentence_codes(self, stem):
        return np.ones((len(self.protocol), 3))

    def probe_generated(self, wanted, ema, stem, progress):
        return self._probed(wanted, self._generated)

    def probe_real(self, wanted, size, progress):
        return self._probed(wanted, self._real)

    def _probed(self, wanted, images):
        return {
            name: jax.tree.map(
                np.asarray, jax.jit(probe.function)(probe.variables, images, {})
            )
            for name, probe in wanted.items()
        }


@pytest.fixture(scope="module")
def drawn():
    """(classifier, `Observed` of rectangles, the generated images)."""
    config = tiny.tiny_config(
        **{"eval.classifier_images": 400, "eval.classifier_steps": 200}
    )
    dataset = types.SimpleNamespace(
        truth=Truth, vocab=text.Vocabulary(["<end>", "a", "b"])
    )
    classifier = runs.trained_classifier(config, dataset.truth)
    images, attributes = Truth.draw(120, size=32, seed=9)
    real = images.astype(np.float32) / 127.5 - 1
    # What a generator makes lies between the 256 values of a file.
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, real.shape) / 127.5
    generated = np.clip(real[:, :, ::-1] + noise, -1, 1).astype(np.float32)
    seen = observing.observe(
        config, dataset, Evaluator(generated, real, attributes), {},
        {"text": {}, "image": {"a": np.ones(2)}}, {}, classifier,
    )  # fmt: skip
    return classifier, seen, generated


def test_attributes_are_those_of_their_names(drawn):
    _, seen, _ = drawn
    found = evaluate.measured(seen)["attributes"]
    assert found.columns == ("large", "small")
    for images in ("generated", "real"):
        assert min(found.rows[Source(images)].values.values()) > 90


def test_quality_is_seen_through_files_of_8_bits(drawn):
    classifier, seen, generated = drawn
    saved = np.rint((generated + 1) * 127.5).astype(np.uint8)
    network = features.from_classifier(classifier, "toybirds classifier")
    look = jax.jit(network.apply)
    expected, heads = look(
        network.variables, saved.astype(np.float32) / np.float32(127.5) - 1
    )
    found = seen.quality["generated"]
    # XLA divides by a constant as it likes: less than a hundredth of what noise does.
    unrounded = np.abs(look(network.variables, generated)[0] - expected).max()
    assert np.abs(found["features"] - expected).max() < 0.01 * unrounded
    for name, head in zip(Truth.parts, heads, strict=True):
        head_found = seen.attributes["generated"][name]
        np.testing.assert_allclose(head_found, head, atol=1e-4)


def test_probe_of_a_network_gets_8_bit_images():
    network = evaluations.network(apply=lambda variables, images: (images, ()))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    for size in (None, 4):
        function = probes.features(network, size).function
        levels = (np.asarray(function({}, images, {})["features"]) + 1) * 127.5
        np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)


def test_generated_and_real_images_are_not_mixed_up(drawn):
    _, seen, generated = drawn
    np.testing.assert_allclose(
        seen.codes["generated"], generated.mean((1, 2)), atol=1e-5
    )
    assert np.abs(seen.codes["generated"] - seen.codes["real"]).max() > 1e-5
    assert seen.network.name == "toybirds classifier"
    assert seen.counts() == {"generated": 120, "real": 120}


def test_every_metric_is_measured_or_says_why_not():
    found = evaluate.measured(evaluations.observed())
    assert list(found) == list(evaluate.METRICS)
    assert not [name for name, x in found.items() if isinstance(x, Refused)]
    seen = evaluations.observed(network="no network", quality=None, class_pools=None)
    found = evaluate.measured(seen)
    for name in ("inception_score", "fid", "kid"):
        assert found[name] == Refused(evaluate.METRICS[name].TITLE, "no network")
    assert "one class" in found["r_precision_classes"].reason
    assert "attributes" not in evaluate.measured(
        evaluations.observed(attributes=None, asked={})
    )


def test_new_metric_is_one_file_and_one_line(tmp_path, monkeypatch):
    def measure(seen):
        rows = {"generated": ([seen.quality["generated"]["features"].std()], 0.5)}
        return evaluations.result("Variety", ["spread"], rows, unit="px")

    metric = types.SimpleNamespace(TITLE="Variety", measure=measure)
    monkeypatch.setitem(evaluate.METRICS, "variety", metric)
    found = evaluate.measured(evaluations.observed())
    saved = results.Evaluation(3, {"seed": 0}, found)
    path = tmp_path / "report" / "evaluation.json"
    path.parent.mkdir()
    path.write_text(results.dumps(saved))
    assert results.read(path).metrics["variety"] == found["variety"]
    shown = page.write(tmp_path).read_text()
    assert "<h3>Variety, px" in shown and "± 0.50" in shown
    assert "Variety, px" in evaluate.table(saved)


def test_table_on_the_terminal():
    saved = evaluations.evaluation()
    saved.metrics["fid"] = Refused("FID", "too few images")
    lines = evaluate.table(saved).splitlines()
    assert lines[0] == "Evaluation at step 30: test images: 8; seed: 0"
    assert "FID: not measured: too few images" in lines
    (row,) = [line for line in lines if line.startswith("  generated, held-out")]
    assert row.split() == ["generated,", "held-out", "captioner", "44.00", "–"]
    (row,) = [line for line in lines if "8.00" in line]
    assert row.split() == ["real", "8.00", "±", "0.20"]
    assert max(map(len, lines)) <= 100
