"""A run's networks with the names of PyTorch's code: the way back (`pretrained`).

What the authors' code, or AttnGAN's, has no place for is told, not bent: other decoders
and trunks, other sizes, a generator with attentions that neither of them has.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.weights import names, pretrained
from mirrorgan_jax.workdir import layout

_SIZES = (64, 128, 256)


class Network(NamedTuple):
    """A network as PyTorch's code has it, or why it has none.

    Attributes:
      name: of its file, without ending: "netG".
      tensors: {PyTorch's name: float32 array}; None where there is no such network.
      reason: then why; "" otherwise.
    """

    name: str
    tensors: dict[str, np.ndarray] | None
    reason: str = ""


def networks(config: Any, workdir: Any, mesh: Any) -> Iterator[Network]:
    """The networks of a run's finished stages.

    Args:
      config: the run's configuration.
      workdir: its folder.
      mesh: device mesh.

    Yields:
      `Network`s: netG, which is the moving average, netD0 and on, coarse to fine,
      text_encoder, image_encoder, caption_cnn, caption_rnn.
    """
    yield from _gan(config, workdir, mesh)
    yield from _stem(config, workdir, mesh)
    yield from _stream(config, workdir, mesh)


def _network(name, tree, modules, problems):
    problems = [problem for problem in problems if problem]
    if problems:
        why = "; ".join(problems)
        return Network(name, None, f"PyTorch's code has none such: {why}")
    tensors = names.to_state_dict(tree, modules())
    return Network(
        name, {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    )


def _must(config, key, *allowed):
    """A sentence where a key is none of the values that PyTorch's code has, or ""."""
    group, _, name = key.partition(".")
    value = config[group][name]
    if value in allowed:
        return ""
    return f"{key} = {value!r}, where it has {' or '.join(map(repr, allowed))}"


def _absent(config, workdir, stage):
    """Why a stage has no weights to give, or ""."""
    folder = layout.home(config, workdir, stage)
    return "" if layout.is_saved(folder, stage) else f"no {stage} checkpoint"


def _generator_problems(config):
    yield _must(config, "gan.base_size", 64)
    yield _must(config, "gan.condition_context", False)
    if config.gan.stages == 1:
        return
    yield _must(config, "gan.word_attention", True)
    if config.gan.sentence_attention:
        # MirrorGAN's code, which has the sentence's size as a number.
        for key in ("gan.sentence_conv", "gan.context_reduction"):
            yield _must(config, key, True)
        yield _must(config, "gan.sentence_softmax_axis", "channel")
        yield _must(config, "gan.condition_dim", 100)
    else:
        yield _must(config, "gan.context_reduction", False)  # AttnGAN's code


def _gan(config, workdir, mesh):
    count = config.gan.stages
    labels = ["netG", *(f"netD{i}" for i in range(count))]
    absent = _absent(config, workdir, "gan")
    if absent:
        yield from (Network(label, None, absent) for label in labels)
        return
    _, average = layout.load_generator(config, workdir, mesh)
    yield _network(
        "netG",
        average,
        lambda: pretrained.generator_names(config),
        _generator_problems(config),
    )
    held = layout.load_discriminators(config, workdir, mesh)
    for i, size in enumerate(configs.stage_sizes(config.gan)):
        problems = [
            _must(config, "gan.d_norm", "batch"),
            _must(config, "gan.d_sentence_dim", 0),
            "" if size in _SIZES else f"images of {size} pixels",
        ]
        tree = held[f"D{size}"]
        modules = functools.partial(names.discriminator, size)
        yield _network(f"netD{i}", tree, modules, problems)


def _stem(config, workdir, mesh):
    absent = _absent(config, workdir, "stem")
    if absent:
        yield from (
            Network(label, None, absent) for label in ("text_encoder", "image_encoder")
        )
        return
    towers = layout.load_stem(config, workdir, mesh)
    yield _network("text_encoder", towers["text"], names.text_encoder, ())
    encoder = _must(config, "stem.encoder", "inception_v3")
    yield _network("image_encoder", towers["image"], names.image_encoder, [encoder])


def _stream(config, workdir, mesh):
    absent = _absent(config, workdir, "stream")
    tree = {} if absent else layout.load_stream(config, workdir, mesh)
    for name, inside, modules, problem in (
        (
            "caption_cnn",
            "encoder",
            names.caption_encoder,
            _must(config, "stream.encoder", "resnet152"),
        ),
        (
            "caption_rnn",
            "decoder",
            names.caption_decoder,
            _must(config, "stream.decoder", "lstm"),
        ),
    ):
        part = {key: held[inside] for key, held in tree.items() if inside in held}
        if absent:
            yield Network(name, None, absent)
        else:
            yield _network(name, part, modules, [problem])
