"""Files that stages start from: what does not fit is said before anything runs."""

import re

import numpy as np
import pytest
from support import parity, tiny, torch_file, weight_rule

from mirrorgan_jax import run as runs
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.weights import networks, pretrained


def shrunk(network, words=9):
    """Tensors of a network of 09a, its table of words with fewer rows."""
    tensors = {}
    for name, shape in weight_rule.table(network).items():
        rows = words if shape[0] == 5450 else shape[0]
        tensors[name] = np.zeros((rows, *shape[1:]), np.float16)
    return tensors


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with a small file of every network."""
    folder = tmp_path_factory.mktemp("files")
    for file, network in {
        "text": "RNN_ENCODER_LSTM_5450_256",
        "rnn": "CAPTION_RNN_256_512_5450",
    }.items():
        torch_file.write(folder / f"{file}.pth", shrunk(network))
    torch_file.write(folder / "netG.pth", parity.load("04c_g_net").state())
    torch_file.write(folder / "netD.pth", parity.load("05a_d_net64").state())
    return folder


def refusal(stage, error=ValueError, **changes):
    config = configs.base_config("reference")
    config.weights.random = True
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    with pytest.raises(error) as found:
        pretrained.check(config, stage)
    said = str(found.value)
    assert said.startswith("config.weights.") and "\n" not in said
    return said


def test_another_network_is_named(made):
    said = refusal("gan", weights__generator=str(made / "netD.pth"))
    assert "netD.pth: discriminator of 64 pixels, ndf 4, word_dim 16, but" in said
    assert said.endswith("needed is a generator of AttnGAN or MirrorGAN")
    said = refusal("stem", weights__text_encoder=str(made / "rnn.pth"))
    assert "rnn.pth: caption RNN, 9 words, feature_dim 256" in said
    said = refusal("stream", weights__captioner=str(made / "text.pth"))
    assert "text encoder, LSTM, 9 words" in said and "caption CNN or Mirror" in said


def test_keys_that_would_fit_are_named(made):
    said = refusal("gan", weights__generator=str(made / "netG.pth"))
    for part in (
        "config.gan.ngf = 32, but 4 fits",
        "config.gan.z_dim = 100, but 8 fits",
        "config.stem.word_dim = 256, but 16 fits",
    ):
        assert part in said
    assert "condition_dim" not in said  # which fits
    said = refusal(
        "stem", stem__cell="gru", weights__text_encoder=str(made / "text.pth")
    )
    assert said.endswith("config.stem.cell = 'gru', but 'lstm' fits")
    said = refusal("gan", weights__discriminators=str(made / "netD.pth"))
    assert "config.gan.ndf = 64, but 4 fits" in said
    said = refusal(
        "stream", stream__decoder="attention", weights__captioner=str(made / "rnn.pth")
    )
    assert "config.stream.decoder = 'attention', but 'lstm' fits" in said


def test_tensors_that_are_missing_or_too_many_are_listed(tmp_path):
    state = shrunk("RNN_ENCODER_LSTM_5450_256")
    del state["rnn.bias_hh_l0_reverse"]
    state["rnn.weight_ih_l1"] = np.zeros((2, 2), np.float16)
    state["rnn.bias_ih_l0"] = np.zeros(3, np.float16)
    path = torch_file.write(tmp_path / "a.pth", state)
    said = refusal("stem", weights__text_encoder=str(path))
    assert "a.pth: these tensors are not those of text encoder, LSTM" in said
    assert "missing are rnn.bias_hh_l0_reverse;" in said
    assert "no place has rnn.weight_ih_l1;" in said
    assert said.endswith("of another shape are rnn.bias_ih_l0 (3,), not (512,)")


def test_several_files_must_be_different_ones(made):
    file, fits = str(made / "netD.pth"), {"gan__ndf": 4, "stem__word_dim": 16}
    said = refusal("gan", weights__discriminators=file, **fits)
    assert "1 files; it takes one each for 64, 128, 256 pixels, or none" in said
    said = refusal("gan", weights__discriminators=f"{file},{file}", **fits)
    assert "netD.pth is for images of 64 pixels; it takes one each" in said
    said = refusal("gan", gan__base_size=32, weights__discriminators=file, **fits)
    assert "1 files; it takes one each for 32, 64, 128 pixels" in said
    file = str(made / "rnn.pth")
    said = refusal("stream", weights__captioner=f"{file}, {file}")
    assert "rnn.pth is a second caption RNN; it takes one CNN and one RNN" in said
    file = str(made / "text.pth")
    said = refusal("stem", weights__text_encoder=f"{file},{file}")
    assert said == "config.weights.text_encoder: 2 files; it takes one"


def test_files_that_are_none_are_named_with_their_key(tmp_path):
    said = refusal("gan", FileNotFoundError, weights__generator="none.pth")
    assert said == "config.weights.generator: none.pth does not exist"
    (tmp_path / "a.pth").write_bytes(b"<html></html>")
    said = refusal("gan", weights__generator=str(tmp_path / "a.pth"))
    assert said.startswith(f"config.weights.generator: {tmp_path}/a.pth: no weights")
    torch_file.write(tmp_path / "b.pth", {"x": np.zeros(2, "f4")})
    said = refusal("gan", weights__generator=str(tmp_path / "b.pth"))
    assert "none of the networks that are read: its tensors begin x; needed" in said


def test_dm_gans_generator_is_named(made, tmp_path):
    state = parity.load("04c_g_net").state()
    state["h_net2.A.weight"] = np.zeros((1, 16), "f4")
    path = torch_file.write(tmp_path / "netG.pth", state)
    said = refusal("gan", weights__generator=str(path))
    assert "DM-GAN's generator, whose memory GLAM has not" in said


def test_another_vocabulary_is_refused_with_both_sizes(made):
    config = configs.base_config("reference")
    config.weights.random = True
    config.weights.text_encoder = str(made / "text.pth")
    found = pretrained.check(config, "stem")
    pretrained.check_words(found, 9)
    with pytest.raises(ValueError, match="of 9 words, that of the data has 7: give"):
        pretrained.check_words(found, 7)
    with pytest.raises(ValueError, match="captions.pickle, put into config.data"):
        pretrained.start(config, "stem", 7)


def test_a_captioner_without_a_cnn_needs_a_backbone(made):
    said = refusal(
        "stream", weights__random=False, weights__captioner=str(made / "rnn.pth")
    )
    assert said.startswith("config.weights.resnet152 is empty: stage stream needs")


def test_stages_of_another_run_start_from_no_file():
    config = configs.base_config()
    config.weights.pretrained, config.weights.captioner = "runs/a", "a.pth"
    with pytest.raises(ValueError, match="weights.captioner = 'a.pth': weights.pre"):
        configs.validate(config)


@pytest.mark.parametrize(
    ("key", "stages"),
    [
        ("weights.generator", ["stem", "stream", "gan"]),
        ("eval.inception_fid", ["stem", "stream", "gan", "evaluate"]),
    ],
)
def test_a_wrong_file_of_a_late_stage_is_said_before_the_first(tmp_path, key, stages):
    path = tmp_path / "weights" / "a.pth"
    path.parent.mkdir()
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    changes = {key: str(path), "data.root": str(tmp_path / "data")}
    with pytest.raises(ValueError, match=f"config.{key}: .*a pointer of Git LFS"):
        runs.run(tiny.tiny_config(**changes), tmp_path / "run", stages)
    assert [x.name for x in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"fc.weight": (1008, 2)}, "the ImageNet graph of 2015"),
        ({"fc.weight": (1000, 2)}, "torchvision's or timm's"),
        ({"fc.weight": (51, 2)}, "a classifier of 51 classes"),
        ({}, "without a classifier"),
        ({"emb_features.weight": (7, 2, 1, 1)}, "DAMSM image encoder, .* word_dim 7"),
    ],
)
def test_inceptions_are_told_apart(names, said):
    tensors = {k: np.zeros(s) for k, s in names.items()}
    found = networks.recognise({"Conv2d_1a_3x3.conv.weight": np.zeros(2), **tensors})
    assert re.search(said, found.title)


def test_half_a_network_and_other_resnets_are_named():
    with pytest.raises(ValueError, match="it has h_net1.fc.0.weight, but not all"):
        networks.recognise({"h_net1.fc.0.weight": np.zeros(2)})
    small = {f"layer{i}.{j}.conv1.weight": 0 for i in (1, 2, 3, 4) for j in (0, 1)}
    with pytest.raises(ValueError, match="a ResNet of 2-2-2-2 blocks, not resnet152"):
        networks.recognise(small)
