"""Draws captions.

  mirrorgan sample 'a small red bird with blue wings and a yellow belly'
  mirrorgan sample --workdir=runs/toybirds --captions_file=FILE --n=4 --seed=7
  mirrorgan sample --captions_file=FILE --n=1 --no_sheet --out=DIR
  mirrorgan sample --words

Writes a PNG of the last stage for every image, with caption and seed in its text
chunks, and for every caption a sheet: all stages and, where the model has STREAM, what
it says of each image and how well the caption fits (nats a word, lower is better).
--no_sheet writes the images alone, as tools that measure FID want them, with a list of
captions and seeds; the same command goes on where it was stopped.
"""

import re
import sys

from absl import flags
from etils import epath

import mirrorgan_jax
from mirrorgan_jax import text
from mirrorgan_jax.cli import common

_SLUG = 40  # letters of a caption in a file's name


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    common.define_captions(values)
    flags.DEFINE_integer("n", 8, "Images a caption.", lower_bound=1, flag_values=values)
    flags.DEFINE_string(
        "out", None,
        "Folder of the pictures; default samples, in a run <workdir>/samples/captions.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "no_sheet", False, "Images alone, any number of them, and manifest.jsonl.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "batch_size", 8, "Images that are made at a time.", lower_bound=1,
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "words", False, "Lists the words that the model knows, a line each, and ends.",
        flag_values=values,
    )  # fmt: skip


def _slug(caption):
    """The caption as a part of a file's name."""
    words = re.findall(r"[a-z0-9]+", caption.lower())
    return "-".join(words)[:_SLUG].strip("-") or "caption"


def _stem(number, count, caption, seed):
    """Name of a caption's files without their number; they sort as the captions do."""
    return f"{number:0{max(3, len(str(count - 1)))}d}-{_slug(caption)}-seed{seed}"


def _sheet(model, caption, images):
    """Sheet of one caption's images: stages, redescription, score."""
    from mirrorgan_jax.report import figures, sheets

    count = len(images[-1])
    texts = [f"image {index}" for index in range(count)]
    if model.has_stream:
        texts = [
            [*said, *sheets.coloured(f"({score})", sheets.FAINT)]
            for said, score in figures.redescribed(model, images[-1], [caption] * count)
        ]
    return sheets.sample_grid(images, texts, title=caption)


def _described(model, caption, seed, truncation):
    """Text chunks of an image."""
    return {
        "caption": caption,
        "seed": str(seed),
        "truncation": str(truncation),
        "step": str(model.step),
        "model": model.name,
        "Software": f"mirrorgan_jax {mirrorgan_jax.__version__}",
    }


def _write_image(path, image, described, index):
    from mirrorgan_jax.inference import pictures
    from mirrorgan_jax.report import sheets

    sheets.write_png(path, pictures.picture(image), described | {"index": str(index)})


def write(model, captions, folder, *, n, seed, truncation):
    """Generates images of captions and writes them.

    Args:
      model: `inference.model.Model`.
      captions: strings.
      folder: where the pictures go; those of the same names are replaced.
      n, seed, truncation: as `Model.generate` takes them.

    Yields:
      For each caption the paths of its images and, last, of its sheet.
    """
    from mirrorgan_jax.report import sheets

    # As many captions at once as fill what is computed anyway.
    group, folder = max(1, model.chunk // n), epath.Path(folder)
    for start in range(0, len(captions), group):
        some = captions[start : start + group]
        made = model.generate(some, seed=seed, n=n, truncation=truncation)
        for number, caption in enumerate(some):
            rows = slice(number * n, (number + 1) * n)
            stages = tuple(stage[rows] for stage in made.images)
            stem = _stem(start + number, len(captions), caption, seed)
            described = _described(model, caption, seed, truncation)
            paths = [folder / f"{stem}-{index:03d}.png" for index in range(n)]
            for index, path in enumerate(paths):
                _write_image(path, stages[-1][index], described, index)
            paths.append(folder / f"{stem}-sheet.png")
            sheets.write_png(paths[-1], _sheet(model, caption, stages))
            yield paths


def write_images(model, captions, folder, *, n, seed, truncation):
    """Images of captions alone, any number of them; returns how many were new.

    They are listed in `manifest.jsonl` as they are written, and those that an earlier
    call has listed are not made again.

    Args:
      model, captions, n, seed, truncation: as `write` takes them.
      folder: where they go, a local one.

    Raises:
      ValueError: the folder holds images of another model or other settings.
    """
    from mirrorgan_jax import progress
    from mirrorgan_jax.inference import manifest

    settings = {
        "model": model.digest(), "step": model.step, "seed": seed, "n": n,
        "truncation": truncation,
    }  # fmt: skip
    count, width = len(captions), max(3, len(str(n - 1)))
    with manifest.Manifest(folder, settings) as listed:
        rows = [
            (number, index)
            for number, caption in enumerate(captions)
            for index in range(n)
            if not listed.has(number, index, caption)
        ]
        bar = progress.Progress(
            "images", count * n, initial=count * n - len(rows), unit="image"
        )
        with bar:
            for start in range(0, len(rows), model.chunk):
                some = rows[start : start + model.chunk]
                images = model.images(
                    [captions[number] for number, _ in some],
                    [index for _, index in some],
                    seed=seed, truncation=truncation,
                )  # fmt: skip
                for (number, index), image in zip(some, images, strict=True):
                    caption = captions[number]
                    stem = _stem(number, count, caption, seed)
                    path = epath.Path(folder) / f"{stem}-{index:0{width}d}.png"
                    described = _described(model, caption, seed, truncation)
                    _write_image(path, image, described, index)
                    listed.add(path.name, number, index, caption)
                    bar.update()
    return len(rows)


def _list_words(values):
    """Prints the words that a model knows."""
    from mirrorgan_jax.inference import bundle, sources
    from mirrorgan_jax.workdir import layout

    if values.workdir:
        _, words = layout.read_settings(common.finished(values.workdir))
    else:
        name = values.model or sources.SHIPPED[0]
        words = bundle.read_words(sources.opened(name)).words
    print("\n".join(sorted(words[1:])))  # Word 0 is the padding.


def main(values: flags.FlagValues, *given: str) -> None:
    """Does what the flags ask for."""
    captions, names = common.captions(values, given)
    if values.words:
        if captions:
            raise ValueError("--words draws nothing: give it without captions")
        _list_words(values)
        return
    if not captions:
        raise ValueError("no caption: try mirrorgan sample 'a small red bird'")
    model = common.open_model(values.workdir, values.model, values.batch_size)
    common.remark(model, captions, names)
    default = "samples"
    if values.workdir:
        default = epath.Path(values.workdir) / "samples" / "captions"
    folder = values.out or default
    how = {"n": values.n, "seed": values.seed, "truncation": values.truncation}
    if values.no_sheet:
        new = write_images(model, captions, folder, **how)
        total = len(captions) * values.n
        kept = f", {total - new} were there" if new < total else ""
        print(f"{total} images{kept}: {folder}/manifest.jsonl")
        return
    if not model.has_stream:
        print("there is no finished STREAM: images are not redescribed")
    written = write(model, captions, folder, **how)
    for caption, paths in zip(captions, written, strict=True):
        said = f"{len(paths) - 1} images, sheet {paths[-1]}"
        print(f"{text.shown(caption)}: {said}", flush=True)


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, arguments=("CAPTION",), more=True)


if __name__ == "__main__":
    sys.exit(cli())
