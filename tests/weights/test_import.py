"""Networks of PyTorch's code come in through files, as a stage takes them.

The weights of the authors' fixtures are written as `torch.save` would, read by the
stages' own reader into the networks that the configuration names, and give the
fixtures' results.
"""

import jax
import numpy as np
import pytest
from support import parity, parity_networks, torch_file, weight_rule

from mirrorgan_jax.losses import captioning
from mirrorgan_jax.models import build, stream
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.settings import variants
from mirrorgan_jax.weights import files, fit, names, pretrained

SIZES = (64, 128, 256)
DISCRIMINATORS = {64: "05a_d_net64", 128: "05b_d_net128", 256: "05c_d_net256"}
# The configuration of the fixtures.
FIXTURES = {
    "stem.word_dim": 16, "gan.ngf": 4, "gan.ndf": 4, "gan.z_dim": 8,
    "stream.feature_dim": 16, "stream.hidden_dim": 32, "weights.random": True,
}  # fmt: skip


def config_of(changes=FIXTURES, **more):
    config = configs.base_config("reference")
    config.update_from_flattened_dict({**changes, **more})
    return config


def started(config, stage, size=23):
    """The tree that a stage starts from."""
    checked = pretrained.check(config, stage)
    start = pretrained.start(config, stage, size)
    assert checked == start.files
    return start.tree


@pytest.mark.parametrize("kind", ["zip", "legacy", "old"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_text_encoder_gives_the_references_features(tmp_path, cell, kind):
    fixture = parity.load({"lstm": "01a_rnn_encoder_", "gru": "01b_rnn_encoder_"}[cell]
                          + cell)  # fmt: skip
    path = torch_file.write(tmp_path / "text_encoder200.pth", fixture.state(), kind)
    config = config_of(**{"stem.cell": cell, "weights.text_encoder": str(path)})
    tree = started(config, "stem")["text"]
    words, sentence = parity_networks.run(
        build.text_encoder(config, 23),
        tree,
        fixture["in/captions"].astype(np.int32),
        fixture["in/cap_lens"].astype(np.int32),
        train=False,
    )
    fixture.assert_close(np.asarray(words).swapaxes(1, 2), "out/words_emb")
    fixture.assert_close(sentence, "out/sent_emb")


def test_generator_gives_the_references_pictures(tmp_path):
    fixture = parity.load("04c_g_net")
    # As a network on several devices was saved.
    state = {f"module.{name}": value for name, value in fixture.state().items()}
    path = torch_file.write(tmp_path / "netG_epoch_600.pth", state)
    config = config_of(**{"weights.generator": str(path)})
    tree = started(config, "gan")["generator"]
    inputs = (
        fixture["in/z"],
        fixture["in/eps"],
        fixture["in/sent_emb"],
        fixture["in/words_emb"].swapaxes(1, 2),
        ~fixture["in/mask"],
    )
    out = parity_networks.run(build.generator(config), tree, *inputs, train=False)
    views = parity_networks.generator_views(
        {
            "img0": ("images", 0, 1),
            "img1": ("images", 1, 1),
            "img2": ("images", 2, 1),
            "img0_stride1": ("images", 0, 1),
            "img2_stride2": ("images", 2, 2),
            "att0": ("word_attention", 0, 4),
            "att1": ("word_attention", 1, 4),
        }
    )
    compared = [key for key in views if f"out/eval_{key}" in fixture.arrays]
    assert len(compared) >= 4
    for key in compared:
        fixture.assert_close(views[key](out), f"out/eval_{key}")


@pytest.mark.full
def test_discriminators_give_the_references_logits(tmp_path):
    fixtures = {size: parity.load(name) for size, name in DISCRIMINATORS.items()}
    paths = [
        str(torch_file.write(tmp_path / f"netD{size}.pth", fixture.state(), "legacy"))
        for size, fixture in fixtures.items()
    ]
    config = config_of(**{"weights.discriminators": ", ".join(paths)})
    trees = started(config, "gan")["discriminators"]
    for name, module in build.discriminators(config).items():
        fixture = fixtures[int(name[1:])]
        image = parity.nhwc(fixture["in/img"])
        logits = parity_networks.run(
            module, trees[name], image, fixture["in/sent_emb"], train=False
        )
        for key, value in zip(("uncond", "cond"), logits, strict=True):
            fixture.assert_close(value, f"out/eval_{key}_logit")


def test_caption_rnn_gives_the_references_loss_and_words(tmp_path):
    fixture = parity.load("06a_caption_rnn")
    path = torch_file.write(tmp_path / "cap_rnn.pth", fixture.state())
    config = config_of(**{"weights.captioner": str(path)})
    tree = started(config, "stream")["params"]["decoder"]
    decoder = build.captioner(config, 23).decoder
    seen = stream.Seen(fixture["in/features"])
    tokens, lengths = fixture["in/captions"], fixture["in/cap_lens"]
    variables = {"params": tree}
    logits = decoder.apply(variables, seen, tokens).logits
    loss = captioning.caption_loss(logits, tokens, lengths, reduction="mean")
    fixture.assert_close(loss, "out/caption_loss")
    ids = decoder.apply(variables, seen, 20, method="greedy")
    np.testing.assert_array_equal(ids, fixture["out/sample"])


def test_caption_cnn_gives_the_references_features(tmp_path):
    """A reduced one, which no configuration names: through the reader alone."""
    fixture = parity.load("06b_caption_cnn_reduced")
    path = torch_file.write(tmp_path / "cap_cnn.pth", fixture.state())
    modules = names.caption_encoder((2, 2, 2, 2))
    encoder = stream.CaptionEncoder(
        feature_dim=16, input_norm="raw", align_corners=True, stem_width=8,
        stage_sizes=(2, 2, 2, 2), stage_widths=(8, 16, 32, 64),
    )  # fmt: skip
    images = parity.nhwc(fixture["in/img"])
    shapes = fit.expected(lambda key: encoder.init(key, images, train=False), modules)
    tree = fit.fit(files.read(path).tensors, modules, shapes, "the CNN")
    run = jax.jit(lambda x: encoder.apply(tree, x, train=False).feature)
    fixture.assert_close(run(images), "out/eval_features_ac1")


def zeros(network):
    """Tensors of a network of 09a, counters of batches too, of next to no size."""
    tensors = {}
    for name, shape in weight_rule.table(network).items():
        tensors[name] = np.zeros(shape, np.float16)
        if name.endswith("running_mean"):
            counter = name.removesuffix("running_mean") + "num_batches_tracked"
            tensors[counter] = np.array(3)
    return tensors


NETWORKS = {
    "RNN_ENCODER_LSTM_5450_256": ("stem", "text_encoder"),
    "CAPTION_RNN_256_512_5450": ("stream", "captioner"),
    "G_NET": ("gan", "generator"),
    "CNN_ENCODER_256": ("stem", "image_encoder"),
    "CAPTION_CNN_256": ("stream", "captioner"),
    "torchvision_inception_v3": ("stem", "inception_v3"),
    "torchvision_resnet152": ("stream", "resnet152"),
}
LARGE = {*list(NETWORKS)[3:]}


@pytest.mark.parametrize(
    "network",
    [pytest.param(x, marks=pytest.mark.full if x in LARGE else ()) for x in NETWORKS],
)
def test_full_size_files_have_a_place_for_every_name(tmp_path, network):
    stage, key = NETWORKS[network]
    path = torch_file.write(tmp_path / "a.pth", zeros(network))
    more = {f"weights.{key}": str(path), "weights.random": not key.endswith("2")}
    config = config_of({}, **more)
    if key == "inception_v3":
        config.weights.random = False
    found = pretrained.start(config, stage, 5450)
    assert [file.key for file in found.files] == [f"weights.{key}"]
    kept = [
        name
        for name in weight_rule.table(network)
        if not (network.startswith("torchvision") and name.startswith(("fc.", "Aux")))
    ]
    assert len(jax.tree.leaves(found.tree)) == len(kept)


@pytest.mark.full
def test_full_size_discriminators_have_a_place_for_every_name(tmp_path):
    paths = [
        str(torch_file.write(tmp_path / f"{i}.pth", zeros(f"D_NET{size}")))
        for i, size in enumerate(SIZES)
    ]
    config = config_of({}, **{"weights.discriminators": ",".join(paths)})
    found = pretrained.start(config, "gan", 5450)
    count = sum(len(weight_rule.table(f"D_NET{size}")) for size in SIZES)
    assert len(jax.tree.leaves(found.tree)) == count


def attngan_names():
    """Names and shapes of AttnGAN's generator of birds: the reference's without the
    sentence's attention and the 1x1 convolutions."""
    gone = (".att.linear.", ".att.conv_sentence_vis.", "h_net2.conv.", "h_net3.conv.")
    return {
        name: shape
        for name, shape in weight_rule.table("G_NET").items()
        if not any(part in name for part in gone)
    }


def test_attngans_generator_has_a_place_for_every_name(tmp_path):
    state = {n: np.zeros(s, np.float16) for n, s in attngan_names().items()}
    path = torch_file.write(tmp_path / "netG_epoch_600.pth", state, "old")
    config = variants.apply(config_of({}), "attngan")
    config.weights.generator = str(path)
    with pytest.raises(ValueError, match="context_reduction = True, but False fits$"):
        pretrained.check(config, "gan")
    config.gan.context_reduction = False
    (file,) = pretrained.check(config, "gan")
    assert file.title.startswith("AttnGAN's generator, 3 stages from 64 pixels")
    assert len(jax.tree.leaves(started(config, "gan"))) == len(attngan_names())


def test_attngans_later_stage_is_attention_blocks_and_upsampling():
    """Without the 1x1 convolution the blocks see features and word contexts."""
    from mirrorgan_jax.models import attention, glam, layers

    module = glam.NextStage(
        2, "channel", False, True, False, context_reduction=False, remat="none"
    )
    keys = iter(jax.random.split(jax.random.key(0), 4))
    features = jax.random.normal(next(keys), (2, 8, 8, 4))
    words = jax.random.normal(next(keys), (2, 5, 6))
    mask = np.arange(5) < np.array([[5], [3]])
    variables = module.init(next(keys), features, None, words, mask, train=False)
    out, _, sentence_map = module.apply(
        variables, features, None, words, mask, train=False
    )
    part = {
        name: {c: variables[c][name] for c in variables if name in variables[c]}
        for name in {*variables["params"]}
    }
    assert {*part} == {"attention", "residual_0", "residual_1", "up"}
    values = layers.Pointwise(features=4).apply(
        {"params": part["attention"]["params"]["word_projection"]}, words
    )
    context, _ = attention.word_attention(features, values, mask)
    x = np.concatenate([features, context], -1)
    for name in ("residual_0", "residual_1"):
        x = layers.ResidualBlock().apply(part[name], x, train=False)
    x = layers.UpBlock(4).apply(part["up"], x, train=False)
    np.testing.assert_allclose(out, x, rtol=1e-5, atol=1e-6)
    assert sentence_map is None


def test_there_and_back_is_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    attngan = variants.apply(config_of({"gan.context_reduction": False}), "attngan")
    encoder = parity.load("01a_rnn_encoder_lstm").state()
    cases = [
        (config_of(), "gan", "generator", parity.load("04c_g_net").state()),
        (config_of(), "stream", "captioner", parity.load("06a_caption_rnn").state()),
        (config_of(), "stem", "text_encoder", encoder),
        (attngan, "gan", "generator", {
            name: rng.normal(size=shape).astype(np.float32)
            for name, shape in attngan_names().items()
        }),
    ]  # fmt: skip
    for config, stage, key, state in cases:
        config.weights[key] = str(torch_file.write(tmp_path / "a.pth", state))
        tree = started(config, stage)
        tree, modules = {
            "generator": lambda t, c=config: (
                t["generator"], pretrained.generator_names(c)
            ),
            "captioner": lambda t: (
                {"params": t["params"]["decoder"]}, names.caption_decoder()
            ),
            "text_encoder": lambda t: (t["text"], names.text_encoder()),
        }[key](tree)  # fmt: skip
        back = names.to_state_dict(tree, modules)
        assert back.keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize("new", [True, False])
def test_files_of_torch_itself(tmp_path, new):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.normal(size=(3, 4)).astype(np.float32),
        "b": np.array(5),
        "c": rng.normal(size=7).astype(np.float16),
    }
    state = {name: torch.tensor(value) for name, value in arrays.items()}
    state["view"] = state["a"].T[1:]
    state["bf16"] = state["a"].bfloat16()
    state["parameter"] = torch.nn.Parameter(state["a"] + 1)
    path = tmp_path / "a.pth"
    torch.save(state, path, _use_new_zipfile_serialization=new)
    found = files.read(path).tensors
    assert found.keys() == state.keys()
    for name, value in state.items():
        wanted = value.detach()
        wanted = wanted.float() if wanted.is_floating_point() else wanted
        np.testing.assert_array_equal(found[name], wanted.numpy())
