"""The final evaluation: what is observed, the list of metrics, table and page.

The networks are small and the images given, so that every number is known beforehand.
"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import evaluations, tiny

from mirrorgan_jax import text
from mirrorgan_jax.data.sources import records
from mirrorgan_jax.evaluation import evaluate, judges, observing, probes, protocol
from mirrorgan_jax.evaluation import evaluator as evaluators
from mirrorgan_jax.metrics import features
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import OTHERS
from mirrorgan_jax.metrics.result import Refused, Source
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.report import page
from mirrorgan_jax.workdir import checkpoints

_COLORS = np.array([[220, 30, 40], [40, 90, 220], [240, 240, 235]])


class Truth:
    """A large rectangle with a small one above it, each of one of three colours.

    The classifier reads them in another order than the one in which they are written
    down. A caption is the word of the large one's colour, then the small one's.
    """

    parts = ("large", "small")
    values = {name: ("red", "blue", "white") for name in ("unseen", "small", "large")}
    synonyms = {name: (name,) for name in values["large"]}

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

    @staticmethod
    def find(caption):
        words = caption.split() if isinstance(caption, str) else caption
        return [
            records.Mention(part, word, position)
            for position, (part, word) in enumerate(
                zip(("large", "small"), words, strict=True)
            )
        ]


VOCAB = text.Vocabulary(["<end>", *Truth.values["large"]])


class Split(types.SimpleNamespace):
    def __len__(self):
        return len(self.class_ids)


class Evaluator:
    """An evaluator of given images, in place of networks that make some."""

    def __init__(self, generated, real, attributes):
        split = Split(
            class_ids=np.arange(len(real)) // 10, attributes=attributes,
            captions=[[[1 + large, 1 + small]] for _, small, large in attributes],
        )  # fmt: skip
        self.split, self._generated, self._real = split, generated, real
        self.protocol = protocol.make(split, count=0, num_words=2, pool_size=5, seed=0)

    def code_probe(self, variables):
        return evaluators.Probe(lambda _, images, batch: images.mean((1, 2)), variables)

    def sentence_codes(self, stem):
        # The large rectangle's place in the image code: near its own image's.
        return np.eye(3)[self.protocol.tokens[:, 0] - 1]

    def probe_generated(self, wanted, ema, stem, progress, others):
        assert (self.generator, self.text) == (ema, stem)
        return self._probed(wanted, self._generated, self.protocol.tokens[others])

    def probe_real(self, wanted, size, progress):
        return self._probed(wanted, self._real, None)

    def real_batches(self, image_size, num_words, order):
        tokens, length = self.protocol.tokens, self.protocol.length
        images = np.rint((self._real + 1) * 127.5).astype(np.uint8)
        batch = {"image": images, "tokens": tokens, "length": length}
        yield len(order), {name: values[order] for name, values in batch.items()}

    def _probed(self, wanted, images, others):
        count = len(images)
        batch = {
            "tokens": self.protocol.tokens[:count],
            "length": self.protocol.length[:count],
        }
        if others is not None:
            batch["other_tokens"] = others
        return {
            name: jax.tree.map(
                np.asarray, jax.jit(probe.function)(probe.variables, images, batch)
            )
            for name, probe in wanted.items()
        }


class Captioner:
    """Says and expects the colour of the large rectangle that it sees, twice."""

    end_token = True  # after two words

    def apply(self, variables, images, tokens, method="", train=False):
        del train
        # Some of these pixels are the large one's, none is the small one's.
        pixels = images[:, 15:17, 13:19].reshape(len(images), -1, 1, 3)
        colors = (_COLORS / 127.5 - 1)[None, None]
        far = ((pixels - colors) ** 2).sum(-1).min(1)  # [B, 3]
        if method == "redescribe":
            ids = 1 + far.argmin(1)
            return jnp.stack([ids, ids], 1).astype(jnp.int32)
        logits = jnp.pad(-variables * far, ((0, 0), (1, 0)), constant_values=-1e3)
        # What has been read before counts a little: captions are told apart.
        first = jnp.eye(4)[tokens[:, 0]] / 8
        return jnp.stack([logits, logits + first], 1)


@pytest.fixture(scope="module")
def drawn():
    """(classifier, `Observed` of rectangles, the generated images)."""
    config = tiny.tiny_config(
        **{"eval.classifier_images": 400, "eval.classifier_steps": 200}
    )
    dataset = types.SimpleNamespace(truth=Truth, vocab=VOCAB)
    classifier = judges.classifier(config, dataset.truth)
    images, attributes = Truth.draw(120, size=32, seed=9)
    real = images.astype(np.float32) / 127.5 - 1
    # What a generator makes lies between the 256 values of a file.
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, real.shape) / 127.5
    generated = np.clip(real[:, :, ::-1] + noise, -1, 1).astype(np.float32)
    evaluator = Evaluator(generated, real, attributes)
    evaluator.generator, evaluator.text = {"g": 1}, {"t": 2}
    seen = observing.observe(
        config, dataset, evaluator, evaluator.generator,
        {"text": evaluator.text, "image": {"a": np.ones(2)}},
        {"STREAM": (Captioner(), 9.0)}, classifier,
    )  # fmt: skip
    return classifier, seen, generated


def test_attributes_are_those_of_their_names(drawn):
    _, seen, _ = drawn
    measured = evaluate.measured(seen)
    found, places = measured["attributes"], measured["attribute_places"]
    assert found.columns == ("large", "small")
    for images in ("generated", "real"):
        assert min(found.rows[Source(images)].values.values()) > 90
        assert places.rows[Source(images)].values["right part"] > 90
    # Three colours at random.
    other = places.rows[Source("generated from other captions")].values["right part"]
    assert 20 < other < 47
    # Captions say of both what was drawn.
    for column, part in enumerate(Truth.parts):
        np.testing.assert_array_equal(seen.drawn[part], seen.tokens[:, column] - 1)


def test_quality_is_seen_through_files_of_8_bits(drawn):
    classifier, seen, generated = drawn
    saved = np.rint((generated + 1) * 127.5).astype(np.uint8)
    network = features.from_classifier(classifier, "toybirds classifier")
    look = jax.jit(network.apply)
    expected, heads = look(
        network.variables, saved.astype(np.float32) / np.float32(127.5) - 1
    )
    (seen_by,) = seen.looks.values()
    found = seen_by.seen["generated"]
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
    (look,) = seen.looks.values()
    assert look.network.name == "toybirds classifier" and look.crop == 32
    features = [look.seen[side]["features"] for side in ("generated", "real")]
    assert np.abs(features[0] - features[1]).max() > 1e-3
    assert seen.counts() == {"generated": 120, "real": 120}


def test_codes_and_pools_are_of_the_captions(drawn):
    _, seen, _ = drawn
    np.testing.assert_array_equal(seen.sentences, np.eye(3)[seen.tokens[:, 0] - 1])
    classes = seen.class_ids
    same = [
        (classes[pools[:, 1:]] == classes[:, None]).sum()
        for pools in (seen.pools, seen.class_pools)
    ]
    assert same[0] > 0 and same[1] == 0
    assert not (classes[seen.mismatched] == classes).any()


def test_captioners_see_each_image_with_its_own_and_with_another_caption(drawn):
    _, seen, generated = drawn
    sides, large = seen.redescriptions["STREAM"], seen.tokens[:, 0]
    for side in ("generated", "real"):
        np.testing.assert_array_equal(sides[side]["ids"], np.stack([large, large], 1))
    other = sides[OTHERS]
    np.testing.assert_array_equal(other["ids"][:, 0], large[seen.mismatched])
    # The words of the row's caption on the image of its mismatched row.
    expected = jax.nn.log_softmax(
        Captioner().apply(9.0, generated[seen.mismatched], seen.tokens)
    )
    np.testing.assert_allclose(other["log_probs"], expected, atol=1e-3)
    wrong = np.abs(other["log_probs"] - sides["generated"]["log_probs"])
    assert wrong.max() > 1
    entropies = seen.cross_entropies["STREAM"]
    assert entropies["matched"] < entropies["shuffled"]


def test_every_number_of_known_images_is_as_expected(drawn):
    _, seen, _ = drawn
    found = evaluate.measured(seen)
    large, small = seen.tokens[:, 0], seen.tokens[:, 1]
    # It says the large one's colour of both.
    half = 50 + 50 * np.mean(large == small)
    for name, column in (("mirror", "survived"), ("attribute_words", "words")):
        for side in ("generated", "real"):
            values = found[name].rows[Source(side, "STREAM")].values
            assert values[column] == pytest.approx(half)
        other = large[seen.mismatched]
        chance = 50 * np.mean(other == large) + 50 * np.mean(other == small)
        values = found[name].rows[Source(OTHERS, "STREAM")].values
        assert values[column] == pytest.approx(chance)
    # Mirrored images have the real ones' colours: scores near 3 * 3 heads, a small
    # FID, but not that of a side with itself, which is zero to rounding.
    score = found["inception_score"]
    for side in ("generated", "real"):
        assert 2.5 < score.rows[Source(side)].values["mean"] <= 3
    assert score.title == "Inception Score (toybirds classifier)"
    assert 1e-4 < found["fid"].rows[Source("generated")].values["value"] < 20


def test_every_metric_is_measured_or_says_why_not():
    found = evaluate.measured(evaluations.observed())
    assert list(found) == list(evaluate.METRICS)
    assert not [name for name, x in found.items() if isinstance(x, Refused)]
    seen = evaluations.observed(looks={}, class_pools=None)
    found = evaluate.measured(seen)
    for name in ("inception_score", "fid", "kid"):
        assert found[name].title == evaluate.METRICS[name].TITLE
        assert "no feature network" in found[name].reason
    assert "one class" in found["r_precision_classes"].reason
    found = evaluate.measured(evaluations.observed(attributes=None, drawn={}))
    assert "attributes" not in found and "attribute_places" not in found


def test_several_networks_have_entries_of_their_own():
    networks = [evaluations.network(name=x) for x in ("inception_fid", "inception_cub")]
    seen = evaluations.observed(looks=evaluations.looks(*networks))
    found = evaluate.measured(seen)
    titles = {name: x.title for name, x in found.items() if "inception_" in x.title}
    assert titles == {
        "inception_score": "Inception Score (inception_cub)",
        "inception_score_inception_fid": "Inception Score (inception_fid)",
        "fid": "FID (inception_fid)", "fid_inception_cub": "FID (inception_cub)",
        "kid": "KID (inception_fid)", "kid_inception_cub": "KID (inception_cub)",
    }  # fmt: skip


def test_given_networks_are_loaded_and_what_is_missing_is_said(monkeypatch):
    def load(kind, path):
        if path == "absent":
            raise FileNotFoundError(f"config.eval.{kind}: absent does not exist")
        return evaluations.network(name=kind)

    monkeypatch.setattr(features, "load", load)
    config = tiny.tiny_config(
        **{"eval.inception_fid": "a", "eval.inception_cub": "absent"}
    )
    images = np.zeros((8, 32, 32, 3), np.float32)
    attributes = np.arange(24).reshape(8, 3) % 3
    given = features.load("inception_fid", "a")
    monkeypatch.setattr(
        probes, "features", lambda network, size=None: evaluators.Probe(
            lambda _, images, batch: {"features": images[:, 0, 0], "log_probs": ()}, {}
        ),
    )  # fmt: skip
    evaluator = Evaluator(images + 0.5, images, attributes)
    evaluator.generator, evaluator.text = {}, {}
    seen = observing.observe(
        config, types.SimpleNamespace(truth=None, vocab=VOCAB), evaluator, {},
        {"text": {}, "image": {"a": np.ones(2)}}, {}, None,
    )  # fmt: skip
    assert seen.looks["inception_cub"].endswith("absent does not exist")
    look = seen.looks["inception_fid"]
    assert (look.network, look.crop) == (given, config.stream.image_size)
    assert set(look.seen["generated"]["features"].ravel()) == {0.5}
    assert set(look.seen["real"]["features"].ravel()) == {0}


def test_what_is_evaluated_is_the_average_not_the_raw_generator(tmp_path, monkeypatch):
    config = tiny.tiny_config()
    saved = checkpoints.Checkpoints(tmp_path, "gan")
    average = {"params": {"kernel": jnp.full(3, 2.0)}, "batch_stats": {}}
    raw = {"params": {"kernel": jnp.full(3, 5.0)}, "batch_stats": {}}
    saved.save(6, raw, ema=average, config=config.to_dict(), vocab=["<end>"])
    saved.close()
    seen = []

    class Stop(Exception):
        pass

    def observe(config, dataset, evaluator, ema, *others):
        seen.append(ema["params"]["kernel"])
        raise Stop

    monkeypatch.setattr(observing, "observe", observe)
    monkeypatch.setattr(evaluate.layout, "load_stem", lambda *args: {})
    monkeypatch.setattr(evaluate.quick, "make_evaluator", lambda *args, **more: None)
    with pytest.raises(Stop):
        evaluate.run(
            config,
            types.SimpleNamespace(test=None),
            meshes.create_mesh(),
            tmp_path,
            captioners={},
            classifier=None,
        )
    np.testing.assert_array_equal(seen, [[2, 2, 2]])


def test_new_metric_is_one_file_and_one_line(tmp_path, monkeypatch):
    def measure(seen):
        rows = {"generated": ([seen.codes["generated"].std()], 0.5)}
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
    saved.metrics["mirror"].refused.update(
        {Source("real", "blind"): "below", Source("generated", "blind"): "below"}
    )
    lines = evaluate.table(saved).splitlines()
    assert lines[0] == "Evaluation at step 30: test images: 8; seed: 0"
    assert "FID: not measured: too few images" in lines
    assert "  real, blind; generated, blind: not measured: below" in lines
    at = lines.index("  ± is the deviation over 10 splits")
    assert lines[at - 1].split()[0] == "real" and "± 0.20" in lines[at - 1]
    (row,) = [line for line in lines if line.startswith("  generated, held-out")]
    assert row.split() == ["generated,", "held-out", "captioner", "44.00", "–"]
    (row,) = [line for line in lines if " 8.00" in line]
    assert row.split() == ["real", "8.00", "±", "0.20"]
    assert max(map(len, lines)) <= 100
