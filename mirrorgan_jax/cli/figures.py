"""Draws the paper's figures with a finished run, each as one PNG.

  mirrorgan figures --workdir=runs/toybirds --figure=stages --from_test=4
  mirrorgan figures --workdir=runs/toybirds --figure=swap \\
      --caption='a small red bird' --swap=red=blue,yellow

  methods        one row a method, ground truth last (Fig. 3); --workdirs, --truth
  stages         every stage and where it looked (Fig. 5)
  swap           one word replaced, noise being the same (Fig. 6); --swap
  interpolation  between two noises and, with --to, between two captions
  redescription  what STREAM says of the images, and how well the captions fit
"""

import sys

import numpy as np
from absl import flags
from etils import epath

from mirrorgan_jax.cli import common

FIGURES = ("methods", "stages", "swap", "interpolation", "redescription")
_TRUTH = (".png", ".jpg", ".jpeg")


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    common.define_captions(values)
    flags.DEFINE_enum("figure", None, FIGURES, "Which one.", flag_values=values)
    flags.DEFINE_list(
        "workdirs", [], "methods: NAME=FOLDER,NAME=FOLDER, top to bottom.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "from_test", 0,
        "Take the captions, and their real images, of so many images of the run's test"
        " split.",
        lower_bound=0, flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "truth", None, "Folder of real PNGs or JPEGs, in the order of the captions.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "swap", [], "swap: OLD=NEW,NEW: a word and what takes its place.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string("to", None, "interpolation: last caption.", flag_values=values)
    flags.DEFINE_integer(
        "steps", 7, "interpolation: images of a row.", lower_bound=2, flag_values=values
    )
    flags.DEFINE_string(
        "out", None, "The file; default <workdir>/samples/figures/<figure>.png.",
        flag_values=values,
    )  # fmt: skip


def parse_swaps(texts):
    """["red=blue,yellow"] as [("red", "blue"), ("red", "yellow")].

    Raises:
      ValueError: a text has another form, or there is none.
    """
    pairs = []
    for text in texts:
        old, equals, new = text.lower().partition("=")
        words = [word.strip() for word in new.split(",")]
        if not (equals and old.strip() and all(words)):
            raise ValueError(f"--swap={text}: allowed is OLD=NEW or OLD=NEW,NEW")
        pairs += [(old.strip(), word) for word in words]
    if not pairs:
        raise ValueError("--swap is missing: try --swap=red=blue,yellow")
    return pairs


def parse_workdirs(texts):
    """["MirrorGAN=runs/a", "AttnGAN=runs/b"] as {"MirrorGAN": "runs/a", ...}.

    Raises:
      ValueError: a text has another form, or two have one name.
    """
    found = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not (name.strip() and folder.strip()) or name.strip() in found:
            raise ValueError(
                f"--workdirs: {text!r} is no NAME=FOLDER with a name of its own"
            )
        found[name.strip()] = folder.strip()
    return found


def read_truth(folder, count, size):
    """Real images of a folder, in the order of their names: centre squares.

    Args:
      folder: of PNG and JPEG files.
      count: how many there must be.
      size: pixels of a side to which they are resized.

    Returns:
      [count, size, size, 3] uint8.

    Raises:
      FileNotFoundError: the folder does not exist.
      ValueError: another number of images, or a file that is none.
    """
    from PIL import Image, ImageOps

    folder = epath.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"--truth={folder} is not a folder")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _TRUTH)
    if len(paths) != count:
        raise ValueError(
            f"--truth={folder} holds {len(paths)} PNG and JPEG files: allowed is one"
            f" for each of {count} captions"
        )
    images = []
    for path in paths:
        try:
            with (
                path.open("rb") as file,
                Image.open(file, formats=("PNG", "JPEG")) as i,
            ):
                square = ImageOps.fit(i.convert("RGB"), (size, size))
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ) as error:
            raise ValueError(f"{path} is no PNG or JPEG image: {error}") from error
        images.append(np.asarray(square))
    return np.stack(images)


def _examples(values, model):
    """(captions, real images or None) that the flags ask for."""
    captions, names = common.captions(values)
    if values.from_test:
        if captions or values.truth:
            raise ValueError("--from_test brings its own captions and real images")
        from mirrorgan_jax import run

        return run.test_examples(model.config, values.from_test, model.sizes[-1])
    if not captions:
        raise ValueError("no caption: give --caption='a small red bird' or --from_test")
    common.remark(model, captions, names)
    if not values.truth:
        return captions, None
    return captions, read_truth(values.truth, len(captions), model.sizes[-1])


def _one(captions, figure):
    if len(captions) != 1:
        raise ValueError(
            f"{len(captions)} captions: allowed is one for --figure={figure}"
        )
    return captions[0]


def draw(values):
    """The picture that the flags ask for, a PIL image."""
    figure = values.figure
    if figure is None:
        raise ValueError(f"--figure is missing: one of {', '.join(FIGURES)}")
    swaps = parse_swaps(values.swap) if figure == "swap" else None
    folders = parse_workdirs(values.workdirs) if figure == "methods" else {}
    if not folders and values.workdir:
        folders = {epath.Path(values.workdir).name: values.workdir}

    from mirrorgan_jax.report import figures

    models = {name: common.open_model(path) for name, path in folders.items()}
    model = next(iter(models.values()), None) or common.open_model(None)
    captions, real = _examples(values, model)
    options = {"seed": values.seed, "truncation": values.truncation}
    if figure == "methods":
        if real is None:
            print("no --truth and no --from_test: the row of real images is left out")
        return figures.methods(models, captions, real=real, **options)
    if figure == "stages":
        return figures.stages(model, captions, **options)
    if figure == "redescription":
        return figures.redescription(model, captions, real=real, **options)
    caption = _one(captions, figure)
    if figure == "swap":
        return figures.swap(model, caption, swaps, **options)
    return figures.interpolation(
        model, caption, to=values.to, steps=values.steps, **options
    )


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    from mirrorgan_jax.report import sheets

    sheet = draw(values)
    folder = values.workdir or next(iter(parse_workdirs(values.workdirs).values()))
    default = epath.Path(folder) / "samples" / "figures" / f"{values.figure}.png"
    path = epath.Path(values.out or default)
    if path.suffix.lower() != ".png":
        raise ValueError(f"--out={path}: allowed is a name that ends in .png")
    sheets.write_png(path, sheet)
    print(f"{values.figure}: {path}")


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv)


if __name__ == "__main__":
    sys.exit(cli())
