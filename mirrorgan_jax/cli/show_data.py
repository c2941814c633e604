"""Draws what training, or evaluation, sees of a data set: a contact sheet.

  mirrorgan show-data --config=toybirds
  mirrorgan show-data --config=cub --config.data.source=DIR --split=test --n=8
  mirrorgan show-data --config=folder --config.data.source=DIR --out=FILE.png

Of train, pictures spread over the first epoch, with the random crop, flip, caption
and words that training takes; of validation and test, over those that are evaluated:
centre crops, the caption that evaluation takes, its first words. Each stands there at
the sizes of STEM, STREAM and the stages of the GAN, with name, class, box and caption;
words in [brackets] are cut off, words in (parentheses) are not in the vocabulary. The
same stands on the terminal, a line each.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from etils import epath

from mirrorgan_jax.cli import common
from mirrorgan_jax.settings import base as configs

_SIGNED = "mirrorgan show-data"  # in the PNG: such a file may be replaced


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_enum(
        "split", "train", ["train", "validation", "test"], "Which one.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "n", 16, "Pictures.", lower_bound=1, upper_bound=256, flag_values=values
    )
    flags.DEFINE_string(
        "out", None, "The file; default data-<config>-<split>.png in this folder.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "seed", None, "Of order, crops and captions; default the configuration's.",
        lower_bound=0, upper_bound=2**31 - 1, flag_values=values,
    )  # fmt: skip


class Seen(NamedTuple):
    """Some pictures of a split, as the networks see them.

    Attributes:
      indices: [n] which pictures.
      numbers: [n] which caption of each.
      kept: for each the positions of the caption's known words that are kept.
      batch: `batch(size)` is the pipeline's batch of them with crops of that size.
    """

    indices: Sequence[int]
    numbers: Sequence[int]
    kept: Sequence[Sequence[int]]
    batch: Callable[[int], dict[str, Any]]


def _trained(split, config, n, seed):
    """`Seen` of `n` elements spread over the first epoch of a run."""
    from mirrorgan_jax.data import pipeline
    from mirrorgan_jax.evaluation import protocol

    words, elements = config.text.num_words, protocol.sample_rows(len(split), n)

    @functools.cache
    def batch(size):
        # A batch as large as the split is the epoch, of which these rows are made.
        # Nothing is kept in memory for so few: pixels agree within one grey level.
        batches = pipeline.train_batches(
            split, batch_size=len(split), rows=elements, image_size=size,
            num_words=words, seed=seed, cache_mib=0,
            bad_pictures=config.data.bad_pictures, say=lambda line: None,
        )  # fmt: skip
        return next(batches)

    indices = batch(config.stem.image_size)["index"].tolist()
    numbers, kept = [], []
    for element, index in zip(elements.tolist(), indices, strict=True):
        # Captions are chosen, and cut, by their number and lengths alone: numbers in
        # the place of words tell which, and where.
        lengths = [len(ids) for ids in split.captions[index]]
        named = [[number] for number in range(len(lengths))]
        numbers += pipeline.element_choices(seed, element, named, 1)[0]
        places = [range(length) for length in lengths]
        kept.append(pipeline.element_choices(seed, element, places, words)[0])
    return Seen(indices, numbers, kept, batch)


def _evaluated(split, config, n, seed):
    """`Seen` of `n` pictures spread over those of the final evaluation."""
    from mirrorgan_jax.data import pipeline
    from mirrorgan_jax.evaluation import protocol

    words = config.text.eval_words
    key = "num_images" if split.name == "test" else "quick_images"
    chosen = protocol.make(
        split, count=config.eval[key], num_words=words, pool_size=2, seed=seed
    )  # Pools are not looked at: small ones cost least.
    rows = protocol.sample_rows(chosen.num_images, n)
    indices, numbers = chosen.indices[rows], chosen.captions[rows]

    def batch(size):
        (batch,) = pipeline.eval_batches(
            split, indices=indices, captions=numbers, batch_size=len(rows),
            image_size=size, num_words=words,
        )  # fmt: skip
        return batch

    kept = [range(length) for length in chosen.length[rows].tolist()]
    return Seen(indices.tolist(), numbers.tolist(), kept, batch)


def columns(config, batch):
    """What each stage sees.

    Args:
      config: the configuration.
      batch: `batch(size)` is a batch with crops of that size.

    Returns:
      (heading, [n, q, q, 3] images) of each size, coarse to fine: the real images of
      the GAN's coarse stages are made of the finest one's, as in training.
    """
    from mirrorgan_jax.models import resize

    *coarse, finest = configs.stage_sizes(config.gan)
    users = {"STEM": config.stem.image_size, "STREAM": config.stream.image_size}
    users["GAN"] = finest
    images = {size: batch(size)["image"] for size in sorted({*users.values()})}
    copies = resize.pyramid(resize.from_uint8(images[finest]), tuple(coarse))
    found = [
        (f"GAN {size} px", np.asarray(copy))
        for size, copy in zip(coarse, copies, strict=True)
    ]
    for size, crops in images.items():
        names = ", ".join(name for name, own in users.items() if own == size)
        found.append((f"{names} {size} px", crops))
    return found


def marked(caption, vocab, kept):
    """The words of a caption as (word, whether it is kept); the others in brackets.

    Args:
      caption: as it is written.
      vocab: `text.Vocabulary`.
      kept: positions among its known words.
    """
    found, position = [], 0
    for word in vocab.tokenize(caption):
        if word not in vocab:
            found.append((f"({word})", False))
            continue
        known = position in kept
        found.append((word if known else f"[{word}]", known))
        position += 1
    return found


def _about(split, index):
    """A picture's name, class and box, printable."""
    from mirrorgan_jax.data.sources import records

    name = split.class_names[index]
    box = ", ".join(map(str, split.boxes[index].tolist()))
    return records.printable(
        f"{split.names[index]}: class {split.class_ids[index]}"
        + (f" {name}" if name else "")
        + (f", box {box}" if split.boxes[index, 2] else ", no box")
    )


def _title(config, dataset, split, seen, seed):
    """What is shown, in a sentence or two."""
    from mirrorgan_jax.data.sources import records

    source = f" {config.data.source}" if config.data.source else ""
    counts = ", ".join(
        f"{own.name} {len(own):,} pictures, {sum(map(len, own.texts)):,} captions"
        for own in dataset.splits
    )
    key = "num_words" if split.name == "train" else "eval_words"
    boxed = split.crop_to_box and split.boxes[:, 2].any()
    crops = "the squares around boxes" if boxed else "whole pictures"
    return records.printable(
        f"{dataset.name}{source}: {counts}; vocabulary {len(dataset.vocab):,} words,"
        f" data.words = {dataset.vocab.rule}. {len(seen.indices)} pictures of"
        f" {split.name}, seed {seed}, crops of {crops}; text.{key} ="
        f" {config.text[key]}: [cut off], (unknown)"
    )


def show(config, name, n, seed):
    """The contact sheet of a configuration's data.

    Args:
      config: the configuration.
      name: "train", "validation" or "test".
      n: pictures; fewer where the split has fewer.
      seed: of order, crops and captions.

    Returns:
      (PIL image, lines: the title, one a picture, one a damaged picture).

    Raises:
      ValueError: there is no validation split.
    """
    from mirrorgan_jax import run as runs
    from mirrorgan_jax.report import sheets

    dataset = runs.load_data(config)
    split = getattr(dataset, name)
    if split is None:
        raise ValueError(
            "--split=validation: data.validation = 0 holds no pictures out; give a"
            " share"
        )
    see = _trained if name == "train" else _evaluated
    seen = see(split, config, min(n, len(split)), seed)
    title = _title(config, dataset, split, seen, seed)
    texts, lines = [], [title]
    for index, number, kept in zip(seen.indices, seen.numbers, seen.kept, strict=True):
        about = _about(split, index)
        words = marked(split.texts[index][number], dataset.vocab, kept)
        lines.append(f"{about}: {' '.join(word for word, _ in words)}")
        paragraph = [(w, sheets.INK if k else sheets.FAINT) for w, k in words]
        texts.append([paragraph, sheets.coloured(about, sheets.FAINT)])
    sheet = sheets.contact_sheet(columns(config, seen.batch), texts, title=title)
    # Only training, which takes the next one, gets here with any.
    damaged = [
        f"{error.what}: the next good picture takes its place"
        for error in split.pictures.damaged.values()
    ]
    return sheet, lines + damaged


def _replaceable(path):
    """Whether a file is a sheet of this command."""
    from PIL import Image

    try:
        with path.open("rb") as file, Image.open(file, formats=("PNG",)) as image:
            return getattr(image, "text", {}).get("Software") == _SIGNED
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _checked(path, source):
    """The path of the sheet.

    Raises:
      ValueError: it is no PNG, would be part of the data, or is a file of another kind.
    """
    path = epath.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"--out={path}: allowed is a name that ends in .png")
    if source and epath.Path(source).resolve() in path.resolve().parents:
        raise ValueError(
            f"--out={path} lies in config.data.source and would be one of its pictures:"
            " give another folder"
        )
    if path.exists() and not _replaceable(path):
        raise ValueError(
            f"--out={path} exists and is no sheet of this command: give another name"
        )
    return path


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    config = common.configuration(values, "toybirds")
    spatial = config.mesh.spatial
    configs.validate(config, num_devices=abs(config.mesh.data) * spatial, stages=())

    from mirrorgan_jax import data
    from mirrorgan_jax.report import sheets
    from mirrorgan_jax.settings import process

    data.check(config.data)
    default = f"data-{common.config_name(values)}-{values.split}.png"
    path = _checked(values.out or default, config.data.source)
    seed = config.seed if values.seed is None else values.seed
    process.set_up(config)
    sheet, lines = show(config, values.split, values.n, seed)
    print("\n".join(lines))
    sheets.write_png(path, sheet, {"Software": _SIGNED})
    print(f"sheet: {path}")


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, configured=True)


if __name__ == "__main__":
    sys.exit(cli())
