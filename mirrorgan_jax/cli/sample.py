"""Draws captions with a finished run.

  mirrorgan sample --workdir=runs/toybirds --caption='a small red bird'
  mirrorgan sample --workdir=runs/toybirds --captions_file=FILE --n=4 --seed=7
  mirrorgan sample --workdir=runs/toybirds --words

Writes a PNG of the last stage for every image, with caption and seed in its
text chunks, and for every caption a sheet: all stages and, where the run has
STREAM, what it says of each image and how well the caption fits (nats a word,
lower is better).
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
        "out", None, "Folder of the pictures; default <workdir>/samples/captions.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "words", False, "Lists the words that the run knows, a line each, and ends.",
        flag_values=values,
    )  # fmt: skip


def _slug(caption):
    """The caption as a part of a file's name."""
    words = re.findall(r"[a-z0-9]+", caption.lower())
    return "-".join(words)[:_SLUG].strip("-") or "caption"


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


def _write_one(model, caption, images, folder, stem, settings):
    """Writes one caption's images and its sheet; returns their paths."""
    from mirrorgan_jax.report import sheets

    described = {
        "caption": caption,
        **settings,
        "step": str(model.step),
        "workdir": str(model.workdir),
        "Software": f"mirrorgan_jax {mirrorgan_jax.__version__}",
    }
    paths = []
    for index, image in enumerate(images[-1]):
        paths.append(folder / f"{stem}-{index:03d}.png")
        sheets.write_png(
            paths[-1], sheets.tile(image, len(image)), described | {"index": str(index)}
        )
    paths.append(folder / f"{stem}-sheet.png")
    sheets.write_png(paths[-1], _sheet(model, caption, images))
    return paths


def write(model, captions, folder, *, n, seed, truncation):
    """Generates images of captions and writes them.

    Args:
      model: `api.Model`.
      captions: strings.
      folder: where the pictures go; those of the same names are replaced.
      n, seed, truncation: as `Model.generate` takes them.

    Yields:
      For each caption the paths of its images and, last, of its sheet.
    """
    # As many captions at once as fill what is computed anyway.
    group = max(1, model.chunk // n)
    settings = {"seed": str(seed), "truncation": str(truncation)}
    for start in range(0, len(captions), group):
        some = captions[start : start + group]
        made = model.generate(some, seed=seed, n=n, truncation=truncation)
        for number, caption in enumerate(some):
            rows = slice(number * n, (number + 1) * n)
            yield _write_one(
                model,
                caption,
                tuple(stage[rows] for stage in made.images),
                epath.Path(folder),
                f"{start + number:03d}-{_slug(caption)}-seed{seed}",
                settings,
            )


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    from mirrorgan_jax.workdir import layout

    captions, names = common.captions(values)
    if values.words:
        if captions:
            raise ValueError("--words draws nothing: give it without captions")
        _, words = layout.read_settings(common.finished(values.workdir))
        print("\n".join(sorted(words[1:])))  # Word 0 is the padding.
        return
    if not captions:
        raise ValueError("no caption: give --caption='a small red bird'")
    model = common.open_model(values.workdir)
    common.remark(model, captions, names)
    if not model.has_stream:
        print("this run has no finished STREAM: images are not redescribed")
    folder = values.out or epath.Path(values.workdir) / "samples" / "captions"
    written = write(
        model, captions, folder,
        n=values.n, seed=values.seed, truncation=values.truncation,
    )  # fmt: skip
    for caption, paths in zip(captions, written, strict=True):
        said = f"{len(paths) - 1} images, sheet {paths[-1]}"
        print(f"{text.shown(caption)}: {said}", flush=True)


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv)


if __name__ == "__main__":
    sys.exit(cli())
