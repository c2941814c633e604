"""MirrorGAN: images from captions, and captions from the images again."""

import difflib
import importlib
import sys

VERBS = {
    "train": "trains and evaluates; the same command goes on after a kill",
    "sample": "draws captions with the shipped model, another, or a finished run",
    "figures": "draws the paper's figures with a finished run",
    "evaluate": "measures a trained run again",
    "export": "writes a finished run as a model for others, or for serving",
    "inspect": "says what a run, a checkpoint or a model holds",
    "report": "writes the HTML page of a run",
    "reproduce": "trains the rows of a table of the paper and writes it",
    "show-data": "draws what training or evaluation sees of a data set",
    "compile": "says what a step needs on machines that need not be there",
    "convert": "weights of PyTorch to .safetensors, and a run's back to PyTorch",
}


_HELP = """{doc}

  mirrorgan VERB --flag=value ...
  python -m mirrorgan_jax VERB --flag=value ...

verbs:
{verbs}

examples:
  mirrorgan sample 'a small red bird with blue wings and a yellow belly'
  mirrorgan train --config=toybirds
  mirrorgan figures --workdir=runs/toybirds --figure=stages --from_test=4
  mirrorgan report --workdir=runs/toybirds

mirrorgan VERB --help tells the flags of a verb."""


def module(verb):
    """The module of a verb of `VERBS`: `show-data` is `cli/show_data.py`."""
    return importlib.import_module(f"mirrorgan_jax.cli.{verb.replace('-', '_')}")


def cli(argv=None):
    """Entry point of the console script; returns the exit status.

    Args:
      argv: arguments, the command's name first; None takes those of the process.
    """
    argv = sys.argv if argv is None else argv
    verb, rest = (argv[1:2] or ["--help"])[0], argv[2:]
    if verb in ("--help", "-h"):
        verbs = "\n".join(f"  {name:10} {line}" for name, line in VERBS.items())
        print(_HELP.format(doc=__doc__, verbs=verbs))
        return 0
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f": is it {near[0]}?" if near else f": there are {', '.join(VERBS)}"
        print(f"error: mirrorgan has no verb {verb!r}{hint}", file=sys.stderr)
        return 1
    return module(verb).cli([f"mirrorgan {verb}", *rest])


if __name__ == "__main__":
    sys.exit(cli())
