"""Small data sets are told what to expect, and what to do."""

import re

import pytest
from support import CONFIGS, settings

from mirrorgan_jax.settings import advice
from mirrorgan_jax.settings import base as configs


@pytest.mark.parametrize(
    ("name", "preset", "changed"),
    [
        ("cub", "paper", None),
        ("cub", "reference", None),
        ("cub", "paper,mirrorgan", None),
        ("cub", "reference,mirrorgan", "gan.lambda_stream = 20.0 (10.0)"),
        ("cub", "reference,lambda_10", None),
        (
            "cub",
            "stackgan_pp",
            "gan.adversarial_scale = 1.0 (0.5), gan.lambda_stream = 0.0 (20.0)",
        ),
        (
            "toybirds",
            "paper",
            "gan.wrong_pairs = True (False), stream.input_norm = raw (imagenet)",
        ),
    ],
)
def test_what_is_decided_after_the_preset_is_said(name, preset, changed):
    config = settings.load(CONFIGS / f"{name}.py").get_config(preset)
    said = advice.preset_departures(config)
    begin = "but the file, variant or flags that come after it decide "
    assert said == (changed and f"preset {config.preset}, {begin}{changed}")


def advised(name, train, test):
    config = settings.load(CONFIGS / f"{name}.py").get_config()
    return config, [*advice.small_set(config, train=train, test=test)]


@pytest.mark.parametrize(("train", "test"), [(7, 2), (25, 2), (180, 20)])
def test_small_sets_are_told_what_to_expect_and_what_to_do(train, test):
    config, said = advised("folder", train, test)
    whole = "\n".join(said)
    assert f"{train} training pictures are few" in whole
    assert "--config.stream.gate_margin=0" in whole
    assert f"among {test} test pictures, not eval.pool_size = 100" in whole
    wanted = re.findall(r"--config\.(\w+)\.batch_size=(\d+)", whole)
    large = [s for s in configs.STAGES if config[s].batch_size > train]
    assert [stage for stage, _ in wanted] == large
    # Whoever does what was said hears no more of it.
    for stage, size in wanted:
        config[stage].batch_size = int(size)
    config.stream.gate_margin, config.eval.pool_size = 0.0, test
    (left,) = advice.small_set(config, train=train, test=test)
    assert left == said[0]
    configs.validate(config)


def test_a_few_hundred_pictures_fit_their_configuration():
    config, said = advised("small", 270, 30)
    assert config.data.name == "folder" and not config.stream.gate_margin
    assert not any("batch_size" in sentence or "gate" in sentence for sentence in said)


def test_few_validation_pictures_are_said_to_choose_roughly():
    config, _ = advised("folder", 4000, 1000)
    for held, said in ((99, 1), (100, 0), (0, 0)):
        found = [*advice.small_set(config, train=4000, test=1000, validation=held)]
        assert len(found) == said
    assert "data.validation = 0.1" in next(
        iter(advice.small_set(config, train=4000, test=1000, validation=99))
    )


def test_large_sets_are_told_nothing():
    assert advised("folder", 4544, 1358)[1] == []
