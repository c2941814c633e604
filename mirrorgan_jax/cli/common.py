"""Command lines that show a finished run: flags, captions, errors in a sentence."""

import sys

from absl import flags, logging
from etils import epath


def define(values):
    """Defines the flags that all of these commands have."""
    flags.DEFINE_string(
        "workdir", None, "Folder of a finished run, local or a bucket.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "caption", [], "A caption; may stand several times.", flag_values=values
    )
    flags.DEFINE_string(
        "captions_file", None, "Text file with a caption a line.", flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "Of the noise.", lower_bound=0, flag_values=values)
    flags.DEFINE_float(
        "truncation", 1.0,
        "Factor of the noise: 1 is what was trained, 0 always the same image.",
        lower_bound=0.0, flag_values=values,
    )  # fmt: skip


def run(main, values, described, argv=None):
    """Parses flags and does what they ask for.

    Args:
      main: `main(values)`.
      values: `flags.FlagValues`, not yet parsed.
      described: text that --help shows above the flags.
      argv: arguments, the command's name first; None takes those of the process.

    Returns:
      The exit status: 0, or 1 after an error of the flags or of `main` was said in a
      sentence.
    """
    argv = sys.argv if argv is None else argv
    if "--help" in argv or "-h" in argv:
        print(f"{described}\n{values.get_help(include_special_flags=False)}")
        return 0
    # Orbax and jax have much to say that tells a reader of pictures nothing.
    logging.set_verbosity(logging.ERROR)
    try:
        rest = values(argv)[1:]
        if rest:
            raise ValueError(f"{rest[0]!r} is no flag: captions are --caption=...")
        main(values)
    except flags.Error as error:
        print(f"error in the flags: {_sentence(error)}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 1
    return 0


def _sentence(error):
    return " ".join(str(error).split())


def captions(values):
    """The captions of --caption and --captions_file, and what each is called.

    Returns:
      (strings, names); both are empty where no flag was given.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it is not UTF-8 text, or holds no caption.
    """
    found = list(values.caption)
    names = [f"--caption number {i}" for i in range(1, len(found) + 1)]
    if values.captions_file:
        path = epath.Path(values.captions_file)
        if not path.is_file():
            raise FileNotFoundError(f"--captions_file={path} is not a file")
        try:
            content = path.read_bytes().decode("utf-8-sig").rstrip()
        except UnicodeDecodeError as error:
            raise ValueError(f"--captions_file={path} is not UTF-8 text") from error
        if not content:
            raise ValueError(f"--captions_file={path} holds no caption")
        for number, line in enumerate(content.splitlines(), 1):
            found.append(line.strip())
            names.append(f"{path} line {number}")
    return found, names


def open_model(workdir):
    """The `api.Model` of a run, with the compile cache and precision of its training.

    Raises:
      ValueError: no workdir was given, or a stage is not finished.
      FileNotFoundError: it does not exist, or has no generator.
    """
    from mirrorgan_jax import run as runs
    from mirrorgan_jax.inference import model as api
    from mirrorgan_jax.workdir import layout

    if not workdir:
        raise ValueError("--workdir is missing: try --workdir=runs/toybirds")
    if not epath.Path(workdir).exists():
        raise FileNotFoundError(f"workdir {workdir} does not exist")
    runs.set_up(layout.read_settings(workdir)[0])
    model = api.Model.load(workdir)
    print(f"{workdir}: generator of step {model.step} of {model.config.gan.num_steps}")
    return model


def remark(model, captions, names):
    """Prints what the model does not see of captions.

    Raises:
      ValueError: a caption has no word that the model knows.
    """
    from mirrorgan_jax import text

    for name, caption in zip(names, model.read(captions, names), strict=True):
        for line in text.remarks(caption, model.vocab):
            print(f"{name}: {line}")
