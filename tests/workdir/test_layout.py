"""Which settings count when a run goes on."""

import pytest
from support import settings, tiny

from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import stages
from mirrorgan_jax.workdir import layout


def different(now, **then):
    """Sentences on STEM's settings; those of `then` were saved."""
    saved = tiny.tiny_config(**then).to_dict()
    return layout.different_settings("stem", saved, tiny.tiny_config(**now).to_dict())


def test_cache_is_no_setting_and_may_be_missing():
    assert different({"data.cache_mib": 0}) == []
    assert different({"data.bad_pictures": 0.5}) == []
    saved = tiny.tiny_config().to_dict()
    del saved["data"]["cache_mib"]
    now = tiny.tiny_config()
    assert layout.different_settings("stem", saved, now.to_dict()) == []
    assert settings.flat(configs.restored(saved)) == settings.flat(now)


def test_runs_of_before_keep_the_captioners_that_they_have():
    saved = tiny.tiny_config().to_dict()
    for key in ("decoder", "region_size", "end_token", "attention_regularisation"):
        del saved["stream"][key]
    del saved["eval"]["heldout_decoder"]
    config = configs.restored(saved)
    assert (config.stream.decoder, config.eval.heldout_decoder) == ("lstm", "lstm")
    assert layout.different_settings("stream", saved, config.to_dict()) == []
    # A run of today trains another family.
    assert stages.held_out(tiny.tiny_config()).stream.decoder == "transformer"
    assert stages.held_out(config).stream.decoder == "lstm"


@pytest.mark.parametrize(
    ("rule", "then", "said"),
    [
        ("none", 48, []),  # saved when every file had a number there
        ("sqrt", 4, []),  # the batch size, which 0 means
        ("sqrt", 48, ["stem.lr_rule_batch = 4, was 48"]),
    ],
)
def test_batch_of_the_rates_counts_where_they_follow_it(rule, then, said):
    now = {"stem.lr_rule": rule}
    assert different(now, **now, **{"stem.lr_rule_batch": then}) == said


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ({"inception": "", "inception_kind": "inception_fid"}, {}),
        ({"inception": "a"}, {"inception_fid": "a"}),
        (
            {"inception": "a", "inception_kind": "inception_cub"},
            {"inception_cub": "a"},
        ),
    ],
)
def test_feature_network_of_old_checkpoints_is_kept(old, expected):
    now = tiny.tiny_config().to_dict()
    names = ("inception_fid", "inception_v3", "inception_cub")
    group = {k: v for k, v in now["eval"].items() if k not in names}
    found = configs.restored({**now, "eval": {**group, **old}})
    assert found.eval.to_dict() == {**now["eval"], **expected}
    configs.validate(found)


def test_contents_of_the_data_are_compared_part_by_part():
    then = {"data.contents": "train captions 1, train pictures 2, test pictures 3"}
    now = {"data.contents": "train captions 1, train pictures 9, test boxes 4"}
    assert different(now, **then) == ["the data's train pictures are others"]
    assert different(then, **then) == []
    # One of them was made before there were hashes.
    assert different({}, **then) == different(now) == []
