"""Writes the report of a run: one HTML file that needs no network.

  mirrorgan report --workdir=runs/toybirds
  mirrorgan report --workdir=gs://bucket/run

The page, <workdir>/report/index.html, shows what the folder holds (results beside
the paper's, learning curves, samples, the machine, the configuration); what is not
there is said in a sentence. A run that is evaluated has one already; while a run
trains the command may be given again and again.
"""

import sys

from absl import flags

from mirrorgan_jax.cli import common


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_string(
        "workdir", None, "Folder of a run, local or a bucket.", flag_values=values
    )


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    from mirrorgan_jax.report import page

    print(page.write(common.finished(values.workdir)))


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv)


if __name__ == "__main__":
    sys.exit(cli())
