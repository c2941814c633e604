"""Measures a trained run, again or with other settings, and writes its report.

  mirrorgan evaluate --workdir=runs/toybirds
  mirrorgan evaluate --workdir=runs/cub --config=cub --config.eval.repeats=10 \\
      --config.data.source=DIR

Without --config the configuration is the one beside the run's checkpoint. Every
metric is printed with its protocol; what cannot be measured says why. Numbers are
also in <workdir>/report/evaluation.json.
"""

import sys

from absl import flags

from mirrorgan_jax.cli import common, train


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_string(
        "workdir", None, "Folder of a trained run, local or a bucket.",
        flag_values=values,
    )  # fmt: skip
    common.define_processes(values)


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    from mirrorgan_jax.workdir import layout

    workdir = common.finished(values.workdir)
    config = values.config or layout.read_settings(workdir)[0]
    train.train(config, workdir, "evaluate", values)


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, configured=True)


if __name__ == "__main__":
    sys.exit(cli())
