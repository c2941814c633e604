"""What the stages of a run start from instead of random values: files of weights.

Two keys name backbones that ImageNet taught, the others whole networks of AttnGAN's,
DM-GAN's or MirrorGAN's code. Everything about a file but its vocabulary can be checked
before there are data, and is (`check`); `start` reads it again when its stage begins.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from mirrorgan_jax.models import build
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.weights import backbones, files, fit, names, networks


class File(NamedTuple):
    """A file that a stage starts from.

    Attributes:
      key: of the configuration, such as "weights.generator".
      path: of the file.
      sha256: of its bytes.
      title: what network it holds.
      words: rows of its table of words; None without one.
      notes: sentences on how it was read.
    """

    key: str
    path: str
    sha256: str
    title: str
    words: int | None = None
    notes: tuple[str, ...] = ()


class Start(NamedTuple):
    """What a stage starts from.

    Attributes:
      tree: nested dictionaries of arrays as the stage's `create` takes them; what is
        not in them starts from random values.
      files: those that it came from.
      random: what has no file, in words.
    """

    tree: dict[str, Any]
    files: tuple[File, ...]
    random: tuple[str, ...] = ()


def paths(value: str) -> list[str]:
    """The files of a key, between commas."""
    return [path.strip() for path in value.split(",") if path.strip()]


def _load(config, key, kinds):
    """[(`File`, `networks.Network`, tensors)] of a key's files, all of `kinds`."""
    found = []
    for path in paths(config.weights[key]):
        where = f"config.weights.{key}: {path}"
        try:
            read = files.read(path)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"config.weights.{key}: {error}") from None
        needed = " or ".join(networks.KINDS[kind] for kind in kinds)
        try:
            network = networks.recognise(read.tensors)
        except ValueError as error:
            raise ValueError(f"{where}: {error}; needed is {needed}") from None
        if network.kind not in kinds:
            raise ValueError(f"{where}: {network.title}, but needed is {needed}")
        unlike = networks.unlike(network, config)
        if unlike:
            raise ValueError(
                f"{where}: {network.title}, does not fit the configuration:"
                f" {'; '.join(unlike)}"
            )
        file = File(
            f"weights.{key}",
            path,
            read.sha256,
            network.title,
            network.words,
            read.notes,
        )
        found.append((file, network, read.tensors))
    return found


def _fitted(file, tensors, modules, init, inside=None):
    """The tree of a file's network; `inside`: the part of what `init` makes that it
    is."""

    def part(key):
        tree = init(key)
        if inside is None:
            return tree
        return {name: held[inside] for name, held in tree.items() if inside in held}

    try:
        return fit.fit(tensors, modules, fit.expected(part, modules), file.title)
    except ValueError as error:
        raise ValueError(f"config.{file.key}: {file.path}: {error}") from None


def _within(name, tree):
    """A tree of collections, one level deeper."""
    return {collection: {name: held} for collection, held in tree.items()}


def _joined(trees):
    """Trees of collections whose parts are different ones, as one."""
    joined = {}
    for tree in trees:
        for collection, held in tree.items():
            joined.setdefault(collection, {}).update(held)
    return joined


def _trunk(config, stage):
    """The pretrained trunk of a stage as a `Start`, or None: it learns from nothing."""
    wrong = backbones.missing(config, stage)
    if wrong:
        raise ValueError(wrong)
    name, title, load = backbones.TRUNKS[stage]
    path = config.weights[name]
    if config[stage].encoder != name or not path:
        return None
    try:
        tree = load(path)
    except ValueError as error:
        raise ValueError(f"config.weights.{name}: {error}") from None
    file = File(f"weights.{name}", path, files.sha256(path), title)
    return Start(_within("trunk", tree), (file,))


def _images(size):
    return jnp.zeros((1, size, size, 3))


def _stem(config):
    tree, found, tokens = {}, [], jnp.ones((1, config.text.num_words), jnp.int32)
    for file, network, tensors in _single(config, "text_encoder"):
        module = build.text_encoder(config, network.words)

        def init(key, module=module):
            return module.init(key, tokens, jnp.ones(1, jnp.int32), train=False)

        tree["text"] = _fitted(file, tensors, names.text_encoder(), init)
        found.append(file)
    for file, _, tensors in _single(config, "image_encoder"):
        module = build.damsm_image_encoder(config)

        def init(key, module=module):
            return module.init(key, _images(config.stem.image_size), train=False)

        tree["image"] = _fitted(file, tensors, names.image_encoder(), init)
        found.append(file)
    random = [] if "text" in tree else ["the text encoder"]
    if "image" not in tree:
        trunk = _trunk(config, "stem")
        tree |= {"image": trunk.tree} if trunk else {}
        found += trunk.files if trunk else ()
        random.append("the image encoder's heads" if trunk else "the image encoder")
    return Start(tree, tuple(found), tuple(random))


def _single(config, key):
    """`_load` of a key of one file, named as its network."""
    found = _load(config, key, (key,))
    if len(found) > 1:
        raise ValueError(f"config.weights.{key}: {len(found)} files; it takes one")
    return found


# Of a captioner's files: where it lies in the captioner, and its map.
_CAPTIONER: dict[str, tuple[str, Callable[[], dict]]] = {
    "caption_cnn": ("encoder", names.caption_encoder),
    "caption_rnn": ("decoder", names.caption_decoder),
}


def _stream(config):
    parts, found = {}, []
    loaded = _load(config, "captioner", tuple(_CAPTIONER))
    words = max((network.words or 2 for _, network, _ in loaded), default=2)
    tokens = jnp.ones((1, config.text.num_words), jnp.int32)
    module = build.captioner(config, words)

    def init(key):
        return module.init(key, _images(config.stream.image_size), tokens, train=False)

    for file, network, tensors in loaded:
        inside, modules = _CAPTIONER[network.kind]
        if inside in parts:
            raise ValueError(
                f"config.weights.captioner: {file.path} is a second"
                f" {network.title.partition(',')[0]}; it takes one CNN and one RNN"
            )
        parts[inside] = _fitted(file, tensors, modules(), init, inside)
        found.append(file)
    random = [] if "decoder" in parts else ["the decoder"]
    if "encoder" not in parts:
        trunk = _trunk(config, "stream")
        parts |= {"encoder": trunk.tree} if trunk else {}
        found += trunk.files if trunk else ()
        begun = trunk or config.stream.trunk_from_stem
        random.append("the encoder's head" if begun else "the encoder")
    tree = _joined(_within(name, part) for name, part in parts.items())
    return Start(tree, tuple(found), tuple(random))


def _gan(config):
    c, text = config.gan, jnp.zeros((2, 3, config.stem.word_dim))
    tree, found = {}, []
    for file, _, tensors in _single(config, "generator"):
        module = build.generator(config)
        noise = jnp.zeros((2, c.z_dim)), jnp.zeros((2, c.condition_dim))

        def init(key, module=module, noise=noise):
            mask = jnp.ones((2, 3), bool)
            return module.init(key, *noise, text[:, 0], text, mask, train=False)

        tree["generator"] = _fitted(file, tensors, generator_names(config), init)
        found.append(file)
    modules, held = build.discriminators(config), {}
    for file, _, tensors in _load(config, "discriminators", ("discriminator",)):
        size = networks.size_of_discriminator(tensors)
        name = f"D{size}"
        if name in held or name not in modules:
            raise ValueError(
                f"config.weights.discriminators: {file.path} is for images of {size}"
                f" pixels; it takes one each for {_sizes(config)}"
            )

        def init(key, module=modules[name], size=size):
            return module.init(key, _images(size), text[:1, 0], train=False)

        held[name] = _fitted(file, tensors, names.discriminator(size), init)
        found.append(file)
    if held and len(held) < len(modules):
        raise ValueError(
            f"config.weights.discriminators: {len(held)} files; it takes one each for"
            f" {_sizes(config)}, or none"
        )
    if held:
        tree["discriminators"] = held
    random = [f"the {name}" for name in ("generator", "discriminators")]
    kept = [name for name in random if name.split()[1] not in tree]
    return Start(tree, tuple(found), tuple(kept))


def _sizes(config):
    sizes = configs.stage_sizes(config.gan)
    return f"{', '.join(map(str, sizes))} pixels"


def generator_names(config) -> dict[str, tuple[str, ...]]:
    """The map of PyTorch's names (`names.generator`) of a configuration's generator."""
    c = config.gan
    return names.generator(
        c.stages,
        up_blocks=(c.base_size // 4).bit_length() - 1,
        num_residual=c.num_residual,
        sentence=c.sentence_attention,
        sentence_conv=c.sentence_conv,
        reduction=c.context_reduction,
    )


_STARTS = {"stem": _stem, "stream": _stream, "gan": _gan}


def check(config, stage) -> tuple[File, ...]:
    """Reads the files that a stage starts from and checks all but the vocabulary.

    Args:
      config: the stage's resolved configuration.
      stage: group of the configuration: "stem", "stream" or "gan".

    Raises:
      FileNotFoundError, ValueError: one sentence with key and file: it is missing,
        damaged, another network, or does not fit the configuration; or a stage has
        neither file nor `weights.random`.
    """
    return _STARTS[stage](config).files


def check_words(found, size: int) -> None:
    """Refuses files whose table of words is not that of the data.

    Args:
      found: what `check` returned.
      size: V of the data.

    Raises:
      ValueError: one sentence with both sizes and where the vocabulary is had from.
    """
    for file in found:
        if file.words not in (None, size):
            raise ValueError(
                f"config.{file.key}: {file.path} was trained with a vocabulary of"
                f" {file.words:,} words, that of the data has {size:,}: give the data"
                " with the vocabulary of the file; for birds it is AttnGAN's"
                " captions.pickle, put into config.data.source (docs/weights.md)"
            )


def start(config, stage, size: int) -> Start:
    """What a stage starts from.

    Args:
      config, stage: as `check` takes them.
      size: V of the data.

    Raises:
      FileNotFoundError, ValueError: as `check` and `check_words`.
    """
    found = _STARTS[stage](config)
    check_words(found.files, size)
    return found
