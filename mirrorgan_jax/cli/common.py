"""The one way to make a command: flags, --help, errors in a sentence, the end.

A verb has `define(values)`, `main(values)` and `cli(argv)`, which calls `run`.
"""

import importlib.util
import io
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence

import ml_collections
from absl import flags, logging
from etils import epath
from ml_collections import config_flags

from mirrorgan_jax.settings import moved, named, process

# What the extra [data] brings, as far as it is imported by name.
_DATA_PACKAGES = (
    "tensorflow", "tensorflow_datasets", "array_record", "clu", "tensorboard",
)  # fmt: skip


def run(
    main: Callable[..., None],
    described: str,
    define: Callable[[flags.FlagValues], None],
    argv: Sequence[str] | None = None,
    *,
    configured: bool = False,
    arguments: Sequence[str] = (),
    more: bool = False,
) -> int:
    """Parses flags and does what they ask for.

    Args:
      main: `main(values, *arguments)`; it raises what went wrong.
      described: text that --help shows above the flags, examples first.
      define: `define(values)` defines the flags.
      argv: arguments, the command's name first; None takes those of the process.
      configured: whether there are --config and --config.KEY flags.
      arguments: names of what stands beside the flags, all of it needed.
      more: whether the last of them may stand any number of times, or never.

    Returns:
      The exit status: 0, also after SIGTERM; 1 after an error was said in a sentence.

    Raises:
      Exception: an error of another kind than those that a user makes.
    """
    argv = list(sys.argv if argv is None else argv)
    values = flags.FlagValues()
    # Orbax and jax have much to say that tells a user nothing.
    logging.set_verbosity(logging.ERROR)
    # A terminal that lacks a letter of a word is no reason to stop.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if configured:
            argv = _with_paths(argv)
            config_flags.DEFINE_config_file(
                "config", None, "Configuration: a name, such as cub:reference, or a"
                " file. --config.KEY=VALUE changes a key.",
                flag_values=values, sys_argv=argv,
            )  # fmt: skip
        define(values)
        if "--help" in argv or "-h" in argv:
            print(_help(values, described))
            return 0
        given = values(argv)[1:]
        wanted = len(arguments) - more
        if len(given) < wanted or (len(given) > wanted and not more):
            raise ValueError(_miscounted(given, arguments))
    except Exception as error:  # whatever a configuration file may raise
        print(f"error in the flags: {_flag_problem(error, argv)}", file=sys.stderr)
        return 1
    return _ended(lambda: main(values, *given))


def _ended(act):
    """Does something; the exit status. Errors are said in a sentence.

    One process of several leaves at once: the usual end would wait for the others, who
    wait for this one.
    """
    import jax

    from mirrorgan_jax.parallel import hosts

    try:
        act()
        return 0
    except hosts.Terminated as reason:
        hosts.say(f"SIGTERM: {reason}; the same command goes on")
        return 0
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"error: {_extra(error)}", file=sys.stderr)
    except Exception as error:
        if jax.process_count() == 1:
            raise
        reason = hosts.lost(error)
        if reason is None:
            traceback.print_exc()
        else:
            print(f"error: {reason}", file=sys.stderr)
    if jax.distributed.is_initialized() and jax.process_count() > 1:
        hosts.leave(1)
    return 1


def _extra(error):
    """The sentence on a package that an extra brings; others are no user's fault."""
    if "pip install" in str(error):
        return error
    if not error.name or error.name.partition(".")[0] not in _DATA_PACKAGES:
        raise error
    return (
        f"{error.name} is not installed, which reads the data: pip install"
        ' "mirrorgan_jax[data]"'
    )


def _with_paths(argv):
    """The arguments with files in place of the names of configurations."""
    found = list(argv)
    for place, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag not in ("--config", "-config"):
            continue
        if equals:
            found[place] = f"{flag}={named.resolve(value)}"
        elif place + 1 < len(argv):
            found[place + 1] = named.resolve(argv[place + 1])
    return found


def _miscounted(given, wanted):
    if wanted:
        return f"{len(given)} arguments: allowed are {len(wanted)}, {' '.join(wanted)}"
    return f"{given[0]!r} is no flag: flags are --name=value"


# What Python says of a value that it cannot convert, and what it wanted.
_CONVERSIONS = {
    r"invalid literal for int\(\)": "is no whole number",
    "could not convert string to float": "is no number",
    "Non-boolean argument": "is neither True nor False",
}


def _flag_problem(error, argv):
    """A sentence on what the library of flags, or a configuration file, raised."""
    text = str(error.args[0] if error.args else error).replace("\\n", "\n")
    # All that the library says of an unknown --config.KEY is its last name.
    name = re.match(r"""['"\\]*([\w.]+)['"\\]*(\n|$)""", text)
    if isinstance(error, AttributeError | KeyError) and name:
        given = (re.match(rf"--?config\.((?:\w+\.)*{name[1]})\b", a) for a in argv)
        key = next((match[1] for match in given if match), name[1])
        hint = re.search(r'Did you mean "(\w+)"', text)
        meant = f": did you mean {hint[1]!r}?" if hint else ""
        if key in moved.KEYS:
            meant = f": {moved.KEYS[key]}"
        return f"the configuration has no key {key!r}{meant}"
    for said, wanted in _CONVERSIONS.items():
        illegal = re.match(rf"flag (--[\w.]+)=(.*?): .*{said}", text, re.DOTALL)
        if illegal:
            return f"flag {illegal[1]}: {illegal[2]!r} {wanted}"
    # An error of the file comes wrapped in its traceback, whose last line says it.
    lines = text.strip().splitlines()
    wrapped = any("Traceback" in line or "Attempted" in line for line in lines)
    return " ".join((lines[-1] if wrapped else " ".join(lines)).split())


def _help(values, described):
    """The text of --help: what the command does, then a flag a line or two."""
    names = list(values)
    lines = [described.strip(), *(["", "flags:"] if names else [])]
    for name in names:
        flag = values[name]
        # The library adds a remark of its own to flags that may be repeated.
        text = f"--{name}  " + flag.help.partition(";\n")[0]
        if flag.default not in (None, "", []) and flag.default is not False:
            text += f" Default {flag.default}."
        lines += textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent=" " * 6)
    return "\n".join(lines)


def define_processes(values: flags.FlagValues) -> None:
    """Defines the flags that tell the processes of a run of one another."""
    flags.DEFINE_enum(
        "distributed", "auto", ["auto", "on", "off"],
        "Whether this is one process of several; auto: where a cluster is found.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "coordinator_address", None,
        "HOST:PORT of process 0, where no cluster tells it.", flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "num_processes", None, "Processes of the run, with --coordinator_address.",
        lower_bound=1, flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "process_id", None, "Number of this process, from 0.", lower_bound=0,
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "heartbeat_timeout_seconds", 30,
        "Seconds of silence after which a process is dead and the others stop.",
        lower_bound=5, flag_values=values,
    )  # fmt: skip


def define_model(values: flags.FlagValues) -> None:
    """Defines the flags that name a model."""
    flags.DEFINE_string(
        "workdir", None, "Folder of a finished run, local or a bucket.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "model", None,
        "A model in place of a run: toybirds, which is shipped and taken where neither"
        " is given; a folder or a zip that `mirrorgan export` wrote; OWNER/NAME of the"
        " Hugging Face hub.",
        flag_values=values,
    )  # fmt: skip


def define_captions(values: flags.FlagValues) -> None:
    """Defines the flags of commands that draw captions."""
    define_model(values)
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


def configuration(values: flags.FlagValues, example: str) -> ml_collections.ConfigDict:
    """The configuration of --config.

    Raises:
      ValueError: there is none; `example` is a name that could stand there.
    """
    if values.config is None:
        raise ValueError(f"--config is missing: try --config={example}")
    return values.config


def config_name(values: flags.FlagValues) -> str:
    """The name of --config's file: "toybirds"."""
    path = config_flags.get_config_filename(values["config"])
    return epath.Path(path.partition(":")[0]).stem


def join(config: ml_collections.ConfigDict, values: flags.FlagValues) -> None:
    """Prepares a command that trains or evaluates, before jax computes.

    Args:
      config: decides the compile cache and the precision.
      values: with the flags of `define_processes`.

    Raises:
      ModuleNotFoundError: what reads data is not installed.
    """
    for name in _DATA_PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    from mirrorgan_jax.parallel import hosts

    process.set_up(config)
    hosts.initialize(
        values.distributed,
        coordinator_address=values.coordinator_address,
        num_processes=values.num_processes,
        process_id=values.process_id,
        heartbeat_timeout_seconds=values.heartbeat_timeout_seconds,
    )
    hosts.stop_between_stages()


def finished(workdir: str | None) -> epath.Path:
    """The folder of --workdir, which must be there.

    Raises:
      ValueError: none was given.
      FileNotFoundError: it does not exist.
    """
    if not workdir:
        raise ValueError("--workdir is missing: try --workdir=runs/toybirds")
    path = epath.Path(workdir)
    if not path.exists():
        raise FileNotFoundError(f"workdir {workdir} does not exist")
    return path


def captions(
    values: flags.FlagValues, given: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """The captions of a command, of --caption and --captions_file, and their names.

    Args:
      values: with the flags of `define_captions`.
      given: captions that stand beside the flags.

    Returns:
      (strings, names); both are empty where no flag was given.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it is not UTF-8 text, or holds no caption.
    """
    found = [*given, *values.caption]
    names = [f"caption {i}" for i in range(1, len(given) + 1)]
    names += [f"--caption number {i}" for i in range(1, len(values.caption) + 1)]
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


def open_model(workdir: str | None, name: str | None = None, chunk: int = 8):
    """The `inference.model.Model` of a run or of a model's folder.

    It has the compile cache and the precision of its training.

    Args:
      workdir: a run's folder, or None.
      name: what `Model.from_pretrained` takes; where both are None the shipped model.
      chunk: images that are made at a time.

    Raises:
      ValueError: both were given, or a stage is not finished.
      FileNotFoundError: there is no such run or model.
    """
    from mirrorgan_jax.inference import model as api
    from mirrorgan_jax.inference import sources

    if workdir and name:
        raise ValueError("--workdir and --model: give one of them")
    if workdir:
        from mirrorgan_jax.workdir import layout

        process.set_up(layout.read_settings(finished(workdir))[0])
        model = api.Model.load(workdir, chunk=chunk)
        total = model.config.gan.num_steps
        print(f"{workdir}: generator of step {model.step} of {total}")
        return model
    model = api.Model.from_pretrained(name or sources.SHIPPED[0], chunk=chunk)
    process.set_up(model.config)
    print(model)
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
