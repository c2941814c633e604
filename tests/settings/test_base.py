"""Configuration: presets, the files in configs/, and what validate refuses."""

import re

import pytest
from support import CONFIGS, settings, tiny, tiny_config

from mirrorgan_jax import data
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.settings import rules


def test_presets_differ_exactly_where_the_paper_and_its_code_do():
    paper, reference = (
        settings.flat(configs.base_config(preset)) for preset in configs.PRESETS
    )
    assert paper.keys() == reference.keys()
    different = {k: (paper[k], reference[k]) for k in paper if paper[k] != reference[k]}
    assert different == {
        "preset": ("paper", "reference"),
        "gan.sentence_conv": (False, True),
        "gan.adversarial_scale": (0.5, 1.0),
        "gan.discriminator_weighting": ("half", "mean"),
        "gan.wrong_pairs": (False, True),
        "gan.lambda_stream": (20.0, 10.0),
        "gan.ema_batch_stats": (True, False),
        "stem.reset_adam_every_epoch": (False, True),
        "stem.align_corners": (False, True),
        "stream.input_norm": ("imagenet", "raw"),
        "stream.align_corners": (False, True),
    }
    assert paper["gan.sentence_softmax_axis"] == "channel"
    assert paper["gan.caption_reduction"] == "mean"
    assert paper["gan.kl_weight"] == 1.0


@pytest.mark.parametrize("preset", configs.PRESETS)
def test_switches_of_other_papers_are_off_in_both_presets(preset):
    gan = configs.base_config(preset).gan
    assert (gan.adversarial_loss, gan.gradient_penalty) == ("bce", "none")
    assert (gan.diff_augment, gan.schedule, gan.lambda_warmup) == ("", "constant", 0)


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="'papr'.*paper, reference"):
        configs.base_config("papr")


@pytest.mark.parametrize("preset", configs.PRESETS)
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda p: p.stem)
def test_configuration_files_are_valid_in_both_presets(path, preset):
    config = settings.load(path).get_config(preset)
    assert config.preset == preset
    assert settings.flat(config).keys() == settings.flat(configs.base_config()).keys()
    if data.source(config.data.name).NEEDS:  # a folder of the user's own
        with pytest.raises(ValueError, match="config.data.source is empty"):
            data.check(config.data)
        config.data.source = "somewhere"
    data.check(config.data)
    configs.validate(config)


def test_cub_is_the_base_at_the_papers_sizes():
    config = settings.load(CONFIGS / "cub.py").get_config()
    assert configs.stage_sizes(config.gan) == (64, 128, 256)
    assert (config.gan.ngf, config.gan.ndf) == (32, 64)
    assert (config.stem.encoder, config.stream.encoder) == ("inception_v3", "resnet152")


def test_coco_differs_from_the_base_in_batch_and_steps_alone():
    config, base = (
        settings.flat(c)
        for c in (
            settings.load(CONFIGS / "coco.py").get_config(),
            settings.load(CONFIGS / "cub.py").get_config(),
        )
    )
    assert {key for key in base if base[key] != config[key]} == {
        "data.name", "stem.num_steps", "gan.batch_size", "gan.lr_rule_batch",
        "gan.num_steps", "gan.ema_half_life",
    }  # fmt: skip
    assert round(120 * 82_783 / 14) == config["gan.num_steps"]
    assert round(100 * 82_783 / 48) == config["stem.num_steps"]
    # A step at batch 14 keeps 0.999 of the average.
    assert abs(0.5 ** (14 / config["gan.ema_half_life"]) - 0.999) < 1e-6


def test_coco_by_the_reference_has_attngans_sizes():
    config = settings.load(CONFIGS / "coco.py").get_config("reference,attngan")
    gan = config.gan
    assert (gan.ngf, gan.ndf, gan.num_residual, gan.batch_size) == (48, 96, 3, 14)
    assert (config.text.num_words, config.text.eval_words) == (12, 20)
    assert gan.lambda_damsm == 50 and config.stem.learning_rate == 2e-3


def test_toybirds_at_32_pixels_differs_in_sizes_and_steps_alone():
    small, usual = (
        settings.flat(settings.load(CONFIGS / f"{name}.py").get_config())
        for name in ("toybirds32", "toybirds")
    )
    assert {key for key in usual if usual[key] != small[key]} == {
        "data.image_size", "stem.image_size", "stream.image_size", "gan.base_size",
        "gan.num_steps", "gan.eval_every_steps", "gan.checkpoint_every_steps",
        "gan.sample_every_steps",
    }  # fmt: skip
    assert small["gan.base_size"] == 8 and small["data.image_size"] == 32


@pytest.mark.parametrize("preset", configs.PRESETS)
def test_tiny_configuration_is_valid(preset):
    assert configs.validate(tiny.tiny_config(preset)) is None


def test_stage_sizes_double():
    config = tiny.tiny_config(**{"gan.stages": 3, "gan.base_size": 32})
    assert configs.stage_sizes(config.gan) == (32, 64, 128)


# One of every kind: changes, the value as it must be shown, what is allowed.
WRONG = {
    "choice": ({"gan.d_norm": "layer"}, "gan.d_norm = 'layer'", "batch, spectral"),
    "choice of numbers": ({"gan.base_size": 48}, "gan.base_size = 48", "8, 16, 32, 64"),
    "top-level choice": ({"dtype": "float16"}, "dtype = 'float16'", "bfloat16"),
    "negative": ({"stem.clip_norm": -1.0}, "stem.clip_norm = -1.0", "above zero"),
    "zero": ({"gan.ngf": 0}, "gan.ngf = 0", "above zero"),
    "negative where zero is fine": (
        {"gan.lambda_stream": -2.0},
        "gan.lambda_stream = -2.0",
        "zero or more",
    ),
    "not below one": ({"gan.adam_b2": 1.0}, "gan.adam_b2 = 1.0", "below 1"),
    "dropout": ({"stem.dropout": 1.5}, "stem.dropout = 1.5", "below 1"),
    "Adam": ({"stream.adam_b2": 1.0}, "stream.adam_b2 = 1.0", "below 1"),
    "no pair": ({"gan.batch_size": 1}, "gan.batch_size = 1", "2 or more"),
    "cadence": (
        {"stem.log_every_steps": 4, "stem.checkpoint_every_steps": 6},
        "stem.checkpoint_every_steps = 6",
        "multiples of log_every_steps = 4",
    ),
    "untrained small tower": (
        {"stem.train_trunk": False},
        "stem.train_trunk = False",
        "must be True",
    ),
    "untrained small trunk": (
        {"stream.train_trunk": False},
        "stream.train_trunk = False",
        "must be True",
    ),
    "trunk from another kind": (
        {"stem.encoder": "inception_v3"},
        "stream.trunk_from_stem = True",
        "small",
    ),
    "trunk of another width": (
        {"stream.encoder_width": 8},
        "stream.encoder_width = 8",
        "stem.encoder_width = 4",
    ),
    "trunk of another size": (
        {"stream.image_size": 64},
        "stream.image_size = 64",
        "stem.image_size = 32",
    ),
    "small tower below generated images": (
        {"stem.image_size": 16, "stream.trunk_from_stem": False},
        "stem.image_size = 16",
        "32 or more",
    ),
    "small trunk below its least": (
        {"gan.stages": 1, "gan.base_size": 8, "stream.image_size": 8},
        "stream.image_size = 8",
        "16 or more",
    ),
    "small trunk of an odd size": (
        {"stream.image_size": 48, "stream.trunk_from_stem": False},
        "stream.image_size = 48",
        "powers of two",
    ),
    "regions": ({"stem.region_size": 12}, "stem.region_size = 12", "4, 8, 16"),
    "regions of STREAM": (
        {"stream.region_size": 32},
        "stream.region_size = 32",
        "4, 8, 16",
    ),
    "decoder": ({"stream.decoder": "gru"}, "stream.decoder = 'gru'", "lstm, attention"),
    "heads": (
        {"stream.feature_dim": 18},
        "stream.feature_dim = 18",
        "multiples of 4",
    ),
    "images of two sizes where regions are counted": (
        {
            "stream.encoder": "resnet152",
            "stream.trunk_from_stem": False,
            "stream.decoder": "attention",
            "gan.base_size": 8,
        },
        "stream.input_size = 0",
        "16 pixels, those of stream.image_size 32",
    ),
    "evaluation words": (
        {"text.eval_words": 7},
        "text.eval_words = 7",
        "text.num_words = 8",
    ),
    "pool": ({"eval.pool_size": 1}, "eval.pool_size = 1", "2 or more"),
    "subsets": ({"eval.kid_subset_size": 1}, "eval.kid_subset_size = 1", "2 or more"),
    "repeats": ({"eval.repeats": 0}, "eval.repeats = 0", "above zero"),
    "floor": ({"eval.mirror_floor": 1.0}, "eval.mirror_floor = 1.0", "below 1"),
    "penalty through batch norm": (
        {"gan.gradient_penalty": "r1"},
        "gan.d_norm = 'batch'",
        "'spectral' or 'none'",
    ),
    "augmentation": (
        {"gan.diff_augment": "color,flip"},
        "gan.diff_augment = 'color,flip'",
        "color, translation, cutout",
    ),
    "blind stages": (
        {"gan.word_attention": False, "gan.sentence_attention": False},
        "gan.word_attention = False",
        "one must be True",
    ),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"gan.stages": 1},  # images smaller than those that the towers learn from
        {"stem.image_size": 64, "stream.image_size": 64},
        {"gan.stages": 3, "gan.base_size": 8},
        {
            "gan.word_attention": False,
            "gan.sentence_attention": False,
            "gan.condition_context": True,
        },
        {"gan.lambda_damsm": 5.0, "eval.heldout_steps": 0},
        {"stream.decoder": "transformer", "eval.heldout_steps": 0},
        {"stream.decoder": "attention", "eval.heldout_decoder": "lstm"},
        {
            "stream.feature_dim": 18,
            "eval.heldout_decoder": "lstm",
            "stream.decoder": "attention",
        },
        tiny.SWITCHES,
    ],
)
def test_unusual_settings_are_allowed(changes):
    assert configs.validate(tiny.tiny_config(**changes)) is None


def keys(group=configs.KEYS, prefix=""):
    """(name, what stands at it) of every key."""
    for key, value in group.items():
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def test_every_key_has_a_rule_that_its_default_keeps():
    assert {key for key, _ in keys()} == settings.flat(configs.base_config()).keys()
    for key, value in keys():
        rule = rules.of(value)
        assert rule.holds(rule.default), key


WRONG_VALUES = {str: "no such thing", int: -7, float: -7.0}


@pytest.mark.parametrize(
    "key", [key for key, value in keys() if rules.of(value).allowed != "any"]
)
def test_every_key_refuses_what_it_may_not_be(key):
    config = configs.base_config()
    value = WRONG_VALUES[type(settings.flat(config)[key])]
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError) as error:
        configs.validate(config)
    (line,) = str(error.value).splitlines()[1:]
    rule = rules.of(dict(keys())[key])
    assert line == f"  config.{key} = {value!r}: allowed are {rule.allowed}"


@pytest.mark.parametrize(
    ("value", "allowed", "refused"),
    [
        (3, (1, 1e-9), (0, -1, float("nan"))),
        (rules.zero_or_more(3), (0, 7), (-1, float("nan"))),
        (rules.below_one(0.5), (0.999,), (0, 1, -0.1)),
        (rules.below_one(0.5, zero=True), (0, 0.999), (1, -0.1)),
        (rules.devices(-1), (-1, 1, 8), (0, -2)),
        (rules.one_of("a", "b"), ("a", "b"), ("c", "")),
        (rules.some_of("a", "b"), ("", "a", "b,a"), ("c", "a,c", "a,a", "a,", "a b")),
        (True, (True, False), ()),
        ("", ("anything",), ()),
    ],
    ids=lambda value: getattr(value, "allowed", None) or str(value),
)
def test_rules_hold_what_they_say(value, allowed, refused):
    rule = rules.of(value)
    assert all(map(rule.holds, allowed)) and not any(map(rule.holds, refused))


def test_first_choice_is_the_default_unless_another_is_named():
    assert rules.one_of("a", "b").default == "a"
    assert rules.one_of(1, 2, 3, default=3).default == 3


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_key_is_named_with_its_value_and_what_is_allowed(kind):
    changes, shown, allowed = WRONG[kind]
    with pytest.raises(ValueError) as error:
        configs.validate(tiny.tiny_config(**changes))
    lines = str(error.value).splitlines()[1:]
    assert any(f"config.{shown}" in line and allowed in line for line in lines), lines


def test_every_wrong_key_is_told_at_once():
    changes = {"gan.ngf": 0, "stem.cell": "rnn", "gan.adam_b2": 2.0}
    with pytest.raises(ValueError) as error:
        configs.validate(tiny.tiny_config(**changes))
    assert {re.search(r"config\.(\S+)", line)[1] for line in str(error.value).split(
        "\n")[1:]} == changes.keys()  # fmt: skip


@pytest.mark.parametrize(
    ("data", "spatial", "devices"), [(3, 1, 4), (-1, 3, 4), (2, 1, 1), (-1, 8, 4)]
)
def test_mesh_must_have_as_many_devices_as_there_are(data, spatial, devices):
    config = tiny.tiny_config(**{"mesh.data": data, "mesh.spatial": spatial})
    with pytest.raises(ValueError, match=f"mesh.data = {data}.*devices, {devices}"):
        configs.validate(config, num_devices=devices)


def test_batch_must_divide_over_the_mesh():
    config = tiny.tiny_config()
    configs.validate(config, num_devices=4)
    with pytest.raises(ValueError, match="gan.batch_size = 4: .*data axis, 8"):
        configs.validate(config, num_devices=8)
    config.mesh.spatial = 2
    configs.validate(config, num_devices=8)


def test_batch_must_divide_into_its_parts_on_the_mesh():
    config = tiny.tiny_config(**{"gan.batch_size": 12, "gan.accumulate": 4})
    configs.validate(config)
    # Two devices have six rows each, which are no four parts.
    with pytest.raises(ValueError, match="gan.batch_size = 12: .*, 2, times .*, 4"):
        configs.validate(config, num_devices=2)


@pytest.mark.parametrize("key", ["inception", "inception_kind"])
def test_key_that_has_another_name_now_is_refused(key):
    config = tiny_config.get_config()
    config.eval[key] = "a.safetensors"  # as a configuration file of 0.1.0 does
    with pytest.raises(ValueError, match=f"eval.{key} = 'a.*': .* eval.inception_fid"):
        configs.validate(config)


def test_unknown_key_is_refused():
    with pytest.raises((AttributeError, KeyError), match="nfg"):
        tiny.tiny_config(**{"gan.nfg": 8})
