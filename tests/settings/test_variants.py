"""Rows of the paper's tables: their settings, names and networks."""

import jax
import numpy as np
import optax
import pytest
from support import CONFIGS, settings, tiny

from mirrorgan_jax.losses import damsm
from mirrorgan_jax.models import build, glam, stem
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.settings import variants

# word, sentence, condition, lambda of STREAM, of DAMSM, stages, adversarial scale
SETTINGS = {
    "mirrorgan": (True, True, False, 20, 0, 3, 0.5),
    "lambda_5": (True, True, False, 5, 0, 3, 0.5),
    "lambda_10": (True, True, False, 10, 0, 3, 0.5),
    "lambda_20": (True, True, False, 20, 0, 3, 0.5),
    "no_global_lambda_0": (True, False, False, 0, 0, 3, 0.5),
    "no_global_lambda_20": (True, False, False, 20, 0, 3, 0.5),
    "attngan": (True, False, False, 0, 5, 3, 0.5),
    "stackgan_pp": (False, False, True, 0, 0, 3, 1),
    "one_stage": (True, True, False, 20, 0, 1, 0.5),
    "two_stages": (True, True, False, 20, 0, 2, 0.5),
}
KEYS = (
    "gan.word_attention", "gan.sentence_attention", "gan.condition_context",
    "gan.lambda_stream", "gan.lambda_damsm", "gan.stages", "gan.adversarial_scale",
)  # fmt: skip


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_variant_is_its_row_and_changes_nothing_else(name):
    plain = settings.flat(configs.base_config())
    config = settings.flat(variants.apply(configs.base_config(), name))
    assert tuple(config.pop(key) for key in KEYS) == SETTINGS[name]
    assert config.items() <= plain.items()


def test_every_row_is_named_and_sourced():
    assert variants.VARIANTS.keys() == SETTINGS.keys()
    titles = [variant.title for variant in variants.VARIANTS.values()]
    assert len(set(titles)) == len(titles)
    assert all(variant.source for variant in variants.VARIANTS.values())


def test_rows_of_one_model_have_one_run():
    rows = variants.VARIANTS
    assert rows["mirrorgan"].changes == rows["lambda_20"].changes


@pytest.mark.parametrize("name", variants.VARIANTS)
@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem
)
def test_every_file_takes_every_variant(path, name):
    config = settings.load(path).get_config(name)
    changed = settings.flat(config)
    changes = variants.VARIANTS[name].changes_on(config.data.name)
    assert changes.items() <= changed.items()
    plain = settings.load(path).get_config()
    assert config.gan.base_size == plain.gan.base_size
    config.data.source = "somewhere"
    configs.validate(config)


@pytest.mark.parametrize(("data", "weight"), [("cub", 5), ("coco", 50), ("folder", 5)])
@pytest.mark.parametrize("preset", ["", "reference,"])
def test_attngan_weighs_damsm_as_on_its_data(data, weight, preset):
    config = settings.load(CONFIGS / f"{data}.py").get_config(f"{preset}attngan")
    assert config.gan.lambda_damsm == weight


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("paper", ("paper", None)),
        ("reference", ("reference", None)),
        ("attngan", ("paper", "attngan")),
        ("reference,attngan", ("reference", "attngan")),
        ("one_stage, reference", ("reference", "one_stage")),
    ],
)
def test_text_names_a_preset_and_a_variant(text, expected):
    assert variants.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["papr", "", "paper,reference", "attngan,one_stage", "attngan,", "a,b"]
)
def test_unknown_names_are_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match=r"allowed .*paper.*stackgan_pp") as error:
        variants.configured(text, lambda config: None)
    assert repr(text) in str(error.value)
    # The command line shows the last line alone.
    assert "\n" not in str(error.value)


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="'dfgan'.*mirrorgan.*two_stages"):
        variants.apply(configs.base_config(), "dfgan")


def test_variant_comes_after_the_files_own_settings():
    def settings(config):
        config.gan.lambda_stream = 3.0
        config.gan.ngf = 7

    config = variants.configured("reference,lambda_10", settings)
    assert (config.preset, config.gan.lambda_stream, config.gan.ngf) == (
        "reference", 10.0, 7,
    )  # fmt: skip
    assert variants.configured("paper", settings).gan.lambda_stream == 3.0


def test_rates_were_found_at_the_batch_sizes_of_the_file():
    def settings(config):
        config.stem.batch_size = 7
        config.gan.batch_size, config.gan.lr_rule_batch = 9, 5

    config = variants.configured("attngan", settings)
    assert (config.stem.lr_rule_batch, config.gan.lr_rule_batch) == (7, 5)
    # The command line changes the batch size afterwards.
    config.stem.batch_size = 14
    assert configs.rule_batch(config.stem) == 7
    # Without a file it is the batch size itself.
    assert configs.rule_batch(configs.base_config().stream) == 128


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(set(variants.VARIANTS) - {"lambda_20"}))
def test_step_of_a_variant_has_its_losses_and_stages(name):
    config = variants.apply(tiny.tiny_config(), name)
    if name == "one_stage":
        # Both towers enlarge what they see.
        assert config.stem.image_size > configs.stage_sizes(config.gan)[-1]
        config.gan.lambda_damsm = 1.0
    state, metrics = tiny.shapes_of_a_step(config, "gan")
    c = config.gan
    assert len(state.discriminators) == c.stages
    assert ("G/caption" in metrics) == (c.lambda_stream > 0)
    assert ("G/damsm" in metrics) == (c.lambda_damsm > 0)
    if c.stages > 1:
        contexts = c.word_attention + c.sentence_attention
        stage = state.generator.params["stage_1"]
        assert stage["reduce"]["kernel"].shape[2] == c.ngf * (1 + contexts)
        assert ("reduce_condition" in stage) == c.condition_context
    assert all(leaf.shape == () for leaf in jax.tree.leaves(metrics))


def direct_damsm(config, frozen, state, batch, class_id):
    """DAMSM loss of the first step's images as a function of G's parameters."""
    modules, c = build.gan(config, tiny.VOCAB), config.gan
    captions = stem.encode_captions(
        modules.text_encoder, frozen["stem"], batch["tokens"], batch["length"]
    )
    key = jax.random.fold_in(jax.random.key(0), 0)
    noise = glam.noise(key, c.batch_size, c.z_dim, c.condition_dim)

    def loss(params):
        out, _ = modules.generator.apply(
            state.generator.variables(params), *noise, captions.sentence,
            captions.words, captions.mask, train=True, mutable=["batch_stats"],
        )  # fmt: skip
        regions, code = modules.image_encoder.apply(
            frozen["image"], out.images[-1], train=False
        )
        return damsm.damsm_loss(
            regions, captions.words, captions.mask, code, captions.sentence, class_id,
            gamma1=config.stem.gamma1, gamma2=config.stem.gamma2,
            gamma3=config.stem.gamma3,
        )[0]  # fmt: skip

    return jax.jit(jax.value_and_grad(loss))


@pytest.mark.full
def test_damsm_loss_reaches_the_generator_and_nothing_else():
    weight, found = 3.0, {}
    optimizers = {"G": optax.sgd(1.0), "D": optax.sgd(0.1)}
    for value in (0.0, weight):
        changes = {"gan.lambda_damsm": value, "gan.lambda_stream": 0.0}
        config = tiny.tiny_config(**changes)
        trainer, batch = tiny.gan(config, optimizers), tiny.batch(config, "gan")
        batch["class_id"] = np.array([1, 2, 1, 3], np.int32)
        before = jax.jit(trainer.create)(jax.random.key(1))
        after, metrics = jax.jit(trainer.train_step)(
            before, trainer.frozen, batch, jax.random.key(0)
        )
        found[value] = after, metrics
    (plain, plain_metrics), (matched, metrics) = found[0.0], found[weight]
    params = before.generator.params
    loss, grads = direct_damsm(
        config, trainer.frozen, before, batch, batch["class_id"]
    )(params)
    np.testing.assert_allclose(metrics["G/damsm"], loss, rtol=1e-5)
    np.testing.assert_allclose(
        metrics["G/loss"] - plain_metrics["G/loss"], weight * loss, rtol=1e-4
    )
    assert "G/damsm" not in plain_metrics
    # What one step of descent adds is the gradient, up to rounding of the sum.
    grads, ours = tiny.leaves(grads), tiny.leaves(matched.generator.params)
    for path, other in tiny.leaves(plain.generator.params).items():
        bound = 1e-3 * weight * np.abs(grads[path]).max() + 1e-5
        off = np.abs(other - weight * grads[path] - ours[path])
        assert off.max() <= bound, path
    # All of it but the heads of the earlier stages' images.
    still = {path.split("/")[0] for path in grads if not grads[path].any()}
    assert still == {"image_0"}
    assert not tiny.changed(plain.discriminators, matched.discriminators)
    assert jax.tree.structure(plain) == jax.tree.structure(matched)
    # Two captions of one class are no negatives of each other.
    all_pairs = direct_damsm(config, trainer.frozen, before, batch, None)(params)[0]
    assert abs(all_pairs - loss) > 1e-2


def test_step_without_damsm_reads_no_image_tower():
    assert tiny.gan(tiny.tiny_config()).frozen["image"] == {}
