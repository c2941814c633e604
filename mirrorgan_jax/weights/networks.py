"""Which network a file's tensors are, by their names, and what of it they tell."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Network(NamedTuple):
    """What tensors are.

    Attributes:
      kind: one of `KINDS`.
      title: what it is called, with its sizes.
      settings: {configuration key: the value that fits the tensors}.
      words: rows of its table of words; None without one.
    """

    kind: str
    title: str
    settings: dict[str, Any]
    words: int | None = None


# The networks that are read: what stands in a sentence for each.
KINDS = {
    "text_encoder": "a text encoder of AttnGAN, DM-GAN or MirrorGAN",
    "image_encoder": "a DAMSM image encoder of AttnGAN, DM-GAN or MirrorGAN",
    "caption_cnn": "MirrorGAN's caption CNN",
    "caption_rnn": "MirrorGAN's caption RNN",
    "generator": "a generator of AttnGAN or MirrorGAN",
    "discriminator": "a discriminator of AttnGAN or MirrorGAN",
    "resnet152": "torchvision's or timm's resnet152",
    "inception": "an Inception-v3 classifier with torchvision's names",
}


def recognise(tensors: Mapping[str, np.ndarray]) -> Network:
    """The network whose tensors these are.

    Args:
      tensors: {PyTorch's name: array}.

    Raises:
      ValueError: none that is read.
    """
    for mark, describe in _MARKS.items():
        if mark in tensors:
            try:
                return describe(tensors)
            except (KeyError, IndexError, ZeroDivisionError) as error:
                raise ValueError(
                    f"it has {mark}, but not all of its network: {error} is missing"
                ) from None
    shown = ", ".join(list(tensors)[:4])
    raise ValueError(f"none of the networks that are read: its tensors begin {shown}")


def _count(tensors, pattern):
    """Different values of a pattern's first group among the names."""
    found = (re.match(pattern, name) for name in tensors)
    return len({match[1] for match in found if match})


def _text_encoder(tensors):
    words, embed_dim = tensors["encoder.weight"].shape
    rows, hidden = tensors["rnn.weight_hh_l0"].shape
    cell = {4: "lstm", 3: "gru"}.get(rows // hidden, "rnn")
    return Network(
        "text_encoder",
        f"text encoder, {cell.upper()}, {words:,} words, word_dim {2 * hidden},"
        f" embed_dim {embed_dim}",
        {"stem.embed_dim": embed_dim, "stem.word_dim": 2 * hidden, "stem.cell": cell},
        words,
    )


def _image_encoder(tensors):
    word_dim = len(tensors["emb_features.weight"])
    return Network(
        "image_encoder",
        f"DAMSM image encoder, Inception-v3, word_dim {word_dim}",
        {"stem.encoder": "inception_v3", "stem.word_dim": word_dim},
    )


def _caption_cnn(tensors):
    feature_dim = len(tensors["linear.weight"])
    blocks = _count(tensors, r"resnet\.(\d+\.\d+)\.conv1")
    return Network(
        "caption_cnn",
        f"caption CNN, ResNet of {blocks} blocks, feature_dim {feature_dim}",
        {"stream.encoder": "resnet152", "stream.feature_dim": feature_dim},
    )


def _caption_rnn(tensors):
    words, feature_dim = tensors["embed.weight"].shape
    hidden = tensors["lstm.weight_hh_l0"].shape[1]
    layers = _count(tensors, r"lstm\.weight_hh_l(\d+)$")
    return Network(
        "caption_rnn",
        f"caption RNN, {words:,} words, feature_dim {feature_dim}, hidden_dim {hidden},"
        f" {layers} {'layer' if layers == 1 else 'layers'}",
        {
            "stream.decoder": "lstm",
            "stream.feature_dim": feature_dim,
            "stream.hidden_dim": hidden,
            "stream.num_layers": layers,
        },
        words,
    )


def _generator(tensors):
    if any(name.startswith(("h_net2.A.", "h_net2.M_w.")) for name in tensors):
        raise ValueError(
            "DM-GAN's generator, whose memory GLAM has not; of DM-GAN the text and"
            " image encoders are read"
        )
    ngf = tensors["img_net1.img.0.weight"].shape[1]
    four_times, word_dim = tensors["ca_net.fc.weight"].shape
    condition_dim = four_times // 4
    stages = _count(tensors, r"img_net(\d)\.")
    up_blocks = _count(tensors, r"h_net1\.upsample(\d)\.")
    settings = {
        "gan.stages": stages,
        "gan.base_size": 4 * 2**up_blocks,
        "gan.ngf": ngf,
        "gan.z_dim": tensors["h_net1.fc.0.weight"].shape[1] - condition_dim,
        "gan.condition_dim": condition_dim,
        "stem.word_dim": word_dim,
        "gan.condition_context": False,
    }
    sentence = "h_net2.att.linear.weight" in tensors
    if stages > 1:
        settings |= {
            "gan.num_residual": _count(tensors, r"h_net2\.residual\.(\d+)\."),
            "gan.word_attention": True,
            "gan.sentence_attention": sentence,
            "gan.context_reduction": "h_net2.conv.weight" in tensors,
        }
        if sentence:
            convolved = "h_net2.att.conv_sentence_vis.weight" in tensors
            settings["gan.sentence_conv"] = convolved
    whose = "MirrorGAN's" if sentence or stages == 1 else "AttnGAN's"
    return Network(
        "generator",
        f"{whose} generator, {stages} stages from {settings['gan.base_size']} pixels,"
        f" ngf {ngf}, word_dim {word_dim}, z_dim {settings['gan.z_dim']}",
        settings,
    )


def size_of_discriminator(tensors: Mapping[str, np.ndarray]) -> int:
    """Pixels of the images that a discriminator's tensors are for."""
    return 64 * 2 ** _count(tensors, r"img_code_s(32|64)\.0\.weight")


def _discriminator(tensors):
    ndf = len(tensors["img_code_s16.0.weight"])
    joint = tensors["COND_DNET.jointConv.0.weight"].shape
    size = size_of_discriminator(tensors)
    word_dim = joint[1] - joint[0]
    return Network(
        "discriminator",
        f"discriminator of {size} pixels, ndf {ndf}, word_dim {word_dim}",
        {
            "gan.ndf": ndf,
            "gan.d_norm": "batch",
            "gan.d_sentence_dim": 0,
            "stem.word_dim": word_dim,
        },
    )


def _resnet(tensors):
    blocks = [_count(tensors, rf"layer{i}\.(\d+)\.") for i in (1, 2, 3, 4)]
    depth = 2 + 3 * sum(blocks)
    if blocks != [3, 8, 36, 3] or "layer1.0.conv3.weight" not in tensors:
        raise ValueError(
            f"a ResNet of {'-'.join(map(str, blocks))} blocks, not resnet152, which has"
            " 3-8-36-3"
        )
    return Network("resnet152", f"ResNet-{depth}", {})


def _inception(tensors):
    if "emb_features.weight" in tensors:
        return _image_encoder(tensors)
    classes = len(tensors["fc.weight"]) if "fc.weight" in tensors else 0
    whose = {
        0: "without a classifier",
        1000: "torchvision's or timm's",
        1008: "the ImageNet graph of 2015 that FID is defined by",
    }.get(classes, f"a classifier of {classes} classes")
    return Network("inception", f"Inception-v3, {whose}", {})


_MARKS: dict[str, Callable[[Mapping[str, np.ndarray]], Network]] = {
    "h_net1.fc.0.weight": _generator,
    "img_code_s16.0.weight": _discriminator,
    "encoder.weight": _text_encoder,
    "resnet.0.weight": _caption_cnn,
    "lstm.weight_hh_l0": _caption_rnn,
    "Conv2d_1a_3x3.conv.weight": _inception,
    "layer1.0.conv1.weight": _resnet,
}


def named(tensors: Mapping[str, np.ndarray]) -> str:
    """What tensors are, as the beginning of a sentence; "" where they are unknown."""
    try:
        return f"{recognise(tensors).title}: "
    except ValueError:
        return ""


def unlike(network: Network, config: Any) -> list[str]:
    """["config.gan.ngf = 32, but 48 fits"] of keys that deny a network.

    Args:
      network: of a file.
      config: the resolved configuration.
    """
    found = []
    for key, value in network.settings.items():
        group, _, name = key.partition(".")
        if config[group][name] != value:
            found.append(f"config.{key} = {config[group][name]!r}, but {value!r} fits")
    return found


def parameters(tensors: Mapping[str, np.ndarray]) -> int:
    """Numbers in all tensors but the counters of batches."""
    return sum(
        math.prod(value.shape)
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    )
