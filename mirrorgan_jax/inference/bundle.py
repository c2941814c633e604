"""A model as one folder that needs neither the code of training nor Orbax.

```
config.json          format, step, configuration; size and SHA-256 of every other file
vocab.json           the words and the rule that reads them
generator.safetensors, text_encoder.safetensors        (the generator's moving average)
captioner.safetensors, image_encoder.safetensors       optional: STREAM, DAMSM's tower
metrics.json         optional: the evaluation with its protocol
README.md, LICENSE   the model card and its licence
```

Tensors have the names of our trees, "params/stage_0/dense/kernel". Nothing is unpickled
or executed, and nothing is loaded whose digest is another.
"""

import hashlib
import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

import mirrorgan_jax
from mirrorgan_jax import text
from mirrorgan_jax.inference import sources
from mirrorgan_jax.models import build
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import files

FORMAT, VERSION = "mirrorgan_jax model", 1
CONFIG, VOCAB, METRICS = "config.json", "vocab.json", "metrics.json"
CARD, LICENSE = "README.md", "LICENSE"
REQUIRED = ("generator", "text_encoder")
NETWORKS = (*REQUIRED, "captioner", "image_encoder")
_ENDING = ".safetensors"


class Bundle(NamedTuple):
    """What a model's folder holds.

    Attributes:
      config: its configuration.
      vocab: its `text.Vocabulary`.
      step: training step of the generator's moving average.
      networks: {name of `NETWORKS`: {"params", "batch_stats"}}.
      metrics: the text of `METRICS`, or None.
      name: what it was opened as.
    """

    config: Any
    vocab: text.Vocabulary
    step: int
    networks: dict
    metrics: str | None
    name: str


def _flat(tree, path=()):
    if not isinstance(tree, dict):
        return {"/".join(path): tree}
    found = {}
    for key, value in tree.items():
        found |= _flat(value, (*path, key))
    return found


def _nested(tensors):
    tree = {}
    for name, value in tensors.items():
        *folders, leaf = name.split("/")
        node = tree
        for key in folders:
            node = node.setdefault(key, {})
        node[leaf] = value
    return tree


def expected(config, vocab_size, networks=NETWORKS):
    """{name of `NETWORKS`: {tensor: shape}} of a configuration, nothing computed.

    Args:
      config: configuration.
      vocab_size: V.
      networks: the names that are wanted; each takes a quarter of a second.
    """
    c, key = config.gan, jax.eval_shape(lambda: jax.random.key(0))
    words, mask = jnp.zeros((2, 3, config.stem.word_dim)), jnp.ones((2, 3), bool)
    tokens = jnp.zeros((2, 3), jnp.int32)
    noise = (jnp.zeros((2, c.z_dim)), jnp.zeros((2, c.condition_dim)))

    def image(size):
        return jnp.zeros((2, size, size, 3))

    inputs = {
        "generator": (build.generator, (*noise, words[:, 0], words, mask)),
        "text_encoder": (build.text_encoder, (tokens, jnp.array([3, 3]))),
        "captioner": (build.captioner, (image(config.stream.image_size), tokens)),
        "image_encoder": (build.damsm_image_encoder, (image(config.stem.image_size),)),
    }
    found = {}
    for name in networks:
        make, arguments = inputs[name]
        of_words = name in ("text_encoder", "captioner")
        module = make(config, vocab_size) if of_words else make(config)
        tree = jax.eval_shape(
            lambda k, module=module, arguments=arguments: module.init(
                k, *arguments, train=False
            ),
            key,
        )
        found[name] = {leaf: value.shape for leaf, value in _flat(tree).items()}
    return found


def write(folder, config, vocab, networks, *, step, card, licence=None, metrics=None):
    """Writes a model's folder; `config.json`, by which it is opened, comes last.

    Args:
      folder: where; made when absent, a bucket too.
      config: configuration.
      vocab: `text.Vocabulary`.
      networks: {name of `NETWORKS`: {"params", "batch_stats"}}; `REQUIRED` are needed.
      step: training step of the generator's moving average.
      card: text of the model card.
      licence: text of the licence, or None.
      metrics: text of `METRICS`, or None.

    Raises:
      ValueError: a network is missing or unknown, or the folder holds something else.
    """
    missing = [name for name in REQUIRED if name not in networks]
    unknown = [name for name in networks if name not in NETWORKS]
    if missing or unknown:
        raise ValueError(f"networks: missing {missing}, unknown {unknown}")
    from safetensors import numpy as safetensors

    texts = {CARD: card, LICENSE: licence, METRICS: metrics}
    contents = {name: s.encode("utf-8") for name, s in texts.items() if s is not None}
    contents[VOCAB] = json.dumps(vocab.to_json(), indent=1).encode("utf-8")
    for name in NETWORKS:
        if name in networks:
            tensors = {k: np.asarray(v) for k, v in _flat(networks[name]).items()}
            tensors = {k: np.ascontiguousarray(tensors[k]) for k in sorted(tensors)}
            contents[name + _ENDING] = safetensors.save(tensors)
    described = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"mirrorgan_jax {mirrorgan_jax.__version__}",
        "step": int(step),
        "config": configs.portable(config).to_dict(),
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in sorted(contents.items())
        },
    }
    contents[CONFIG] = (json.dumps(described, indent=1) + "\n").encode("utf-8")
    folder = epath.Path(folder).expanduser()
    _need_room_of_its_own(folder)
    files.write_together(folder, contents)
    for name in (LICENSE, METRICS, *(n + _ENDING for n in NETWORKS)):
        if name not in contents and (folder / name).exists():
            (folder / name).unlink()  # of the model that this one replaces


def _need_room_of_its_own(folder):
    """Refuses to write into a folder that holds something else than a model."""
    others = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    if CONFIG in others:
        _described(sources.opened(folder))
    elif others:
        raise ValueError(
            f"{folder} holds {others[0]!r} and no model: give an empty folder, or a new"
            " one"
        )


def _json(data, name):
    """The object of a JSON file of `name`."""
    try:
        value = json.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no JSON object")
    return value


def _described(opened):
    """The checked contents of `config.json`."""
    where = f"{opened.name}/{CONFIG}"
    data = opened.read(CONFIG, sources.LARGEST_TEXT)
    if len(data) > sources.LARGEST_TEXT:
        raise ValueError(f"{where} is larger than {sources.LARGEST_TEXT >> 20} MiB")
    described = _json(data, where)
    if described.get("format") != FORMAT:
        raise ValueError(
            f'{where} describes no model: "format" is {described.get("format")!r},'
            f" {FORMAT!r} is wanted"
        )
    version = described.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ValueError(
            f"{where} has version {version!r}: this mirrorgan_jax"
            f" {mirrorgan_jax.__version__} reads 1 to {VERSION}, a newer one may do"
        )
    kinds = {"step": int, "config": dict, "files": dict}
    for key, kind in kinds.items():
        if not isinstance(described.get(key), kind):
            raise ValueError(f'{where}: "{key}" is missing or no {kind.__name__}')
    return described


def _contents(opened, described, names):
    """{name: bytes} of files, each of the described size and digest."""
    found = {}
    for name in names:
        entry = described["files"].get(name)
        if entry is None:
            continue
        size = entry.get("bytes") if isinstance(entry, dict) else None
        if not isinstance(size, int) or size < 0:
            raise ValueError(f'{opened.name}/{CONFIG}: "files" says no size of {name}')
        data = opened.read(name, size)
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != size or digest != entry.get("sha256"):
            raise ValueError(
                f"{opened.name}/{name} is damaged or another file: {len(data)} bytes"
                f" with SHA-256 {digest[:12]}..., {CONFIG} says {size} with"
                f" {str(entry.get('sha256'))[:12]}...; fetch the model again"
            )
        found[name] = data
    return found


def _configuration(described, where):
    """The configuration that a model was made with, read as that of a checkpoint."""
    try:
        config = configs.portable(configs.restored(described["config"]))
        configs.validate(config, stages=())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{where}: no configuration of ours ({said})") from None
    return config


def contents(opened):
    """`inspection.Contents` of a model's files; of the tensors only headers are read.

    Raises:
      FileNotFoundError, ValueError: as `read`.
    """
    from mirrorgan_jax.workdir import inspection

    described, items = _described(opened), {}
    for name in NETWORKS:
        if name + _ENDING in described["files"]:
            header = _header(opened, name + _ENDING)
            try:
                items[name] = {
                    leaf: inspection.Array(
                        tuple(entry["shape"]), _DTYPES[entry["dtype"]]
                    )
                    for leaf, entry in header.items()
                    if leaf != "__metadata__"
                }
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"{opened.name}/{name}{_ENDING}: a tensor without type or shape,"
                    f" or of another type ({error})"
                ) from None
    words = list(read_words(opened).words)
    metrics = _contents(opened, described, (METRICS,)).get(METRICS)
    return inspection.Contents(
        described["step"], items, described["config"], words, None,
        None if metrics is None else metrics.decode("utf-8"),
    )  # fmt: skip


# Of safetensors' names, those that our trees have.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "I32": "int32"}


def _header(opened, file):
    """The header of a .safetensors file: {tensor: {"dtype", "shape", ...}}."""
    where = f"{opened.name}/{file}"
    size = int.from_bytes(opened.read(file, 7), "little")
    if size > sources.LARGEST_TEXT:
        raise ValueError(f"{where} is no whole .safetensors file")
    return _json(opened.read(file, 7 + size)[8:], where)


def _tensors(data, name):
    import safetensors
    from safetensors import numpy as safetensors_numpy

    try:
        return safetensors_numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{name} is no whole .safetensors file ({error})") from None


def _check(tensors, shapes, name):
    """Refuses tensors that are not exactly those that a network needs."""
    missing = sorted(set(shapes) - set(tensors))
    unknown = sorted(set(tensors) - set(shapes))
    if missing or unknown:
        raise ValueError(
            f"{name} does not fit its configuration: missing are"
            f" {missing[:8] or 'none'} ({len(missing)}), unknown"
            f" {unknown[:8] or 'none'} ({len(unknown)})"
        )
    for leaf, shape in shapes.items():
        if tensors[leaf].shape != shape or tensors[leaf].dtype != np.float32:
            raise ValueError(
                f"{name}: {leaf} is {tensors[leaf].dtype}{list(tensors[leaf].shape)},"
                f" float32{list(shape)} is needed"
            )


def _vocabulary(opened, contents):
    return text.Vocabulary.from_json(_json(contents[VOCAB], f"{opened.name}/{VOCAB}"))


def read_words(opened):
    """The `text.Vocabulary` of a model's files alone; errors are those of `read`."""
    contents = _contents(opened, _described(opened), (VOCAB,))
    if not contents:
        raise ValueError(f"{opened.name}/{CONFIG} lists no {VOCAB}")
    return _vocabulary(opened, contents)


def read(opened, *, networks=NETWORKS):
    """The `Bundle` of a model's files.

    Args:
      opened: `sources.Files` of the folder or archive.
      networks: which to load, where the model has them; `REQUIRED` always.

    Raises:
      FileNotFoundError: a file that the model needs is not there.
      ValueError: a file is damaged, of another model, or of a newer format; the
        sentence names it.
    """
    described = _described(opened)
    wanted = [n for n in NETWORKS if n in networks or n in REQUIRED]
    for name in (VOCAB, *(n + _ENDING for n in REQUIRED)):
        if name not in described["files"]:
            raise ValueError(f"{opened.name}/{CONFIG} lists no {name}")
    names = (VOCAB, METRICS, *(name + _ENDING for name in wanted))
    contents = _contents(opened, described, names)
    config = _configuration(described, f"{opened.name}/{CONFIG}")
    vocab = _vocabulary(opened, contents)
    held = [name for name in wanted if name + _ENDING in contents]
    shapes, trees = expected(config, len(vocab), held), {}
    for name in held:
        where = f"{opened.name}/{name}{_ENDING}"
        tensors = _tensors(contents[name + _ENDING], where)
        _check(tensors, shapes[name], where)
        trees[name] = {"batch_stats": {}, **_nested(tensors)}
    metrics = contents[METRICS].decode("utf-8") if METRICS in contents else None
    return Bundle(config, vocab, described["step"], trees, metrics, opened.name)
