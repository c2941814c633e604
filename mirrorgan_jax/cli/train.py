"""Trains: data, STEM, STREAM, GLAM, evaluation and report, each only as far as
it is not done yet. Killed at any point, the same command goes on.

  mirrorgan train --config=toybirds
  mirrorgan train --config=cub:reference --workdir=gs://bucket/run \\
      --config.data.source=DIR --config.gan.batch_size=16
  mirrorgan train --config=toybirds --stage=gan

On several machines the same command starts on each; where no cluster tells them
of one another, with --coordinator_address, --num_processes and --process_id.
"""

import os
import resource
import sys
import time

from absl import flags

from mirrorgan_jax.cli import common
from mirrorgan_jax.cli import compile as compiling
from mirrorgan_jax.settings import base as configs


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_string(
        "workdir", None, "Folder of the run, local or a bucket; default runs/<config>.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "stage", "all", ["all", *configs.STAGES, "evaluate"],
        "What to do; all does what is not done yet.", flag_values=values,
    )  # fmt: skip
    common.define_processes(values)
    flags.DEFINE_boolean(
        "compile_only", False,
        "Train nothing: what `mirrorgan compile` does for --stage.", flag_values=values,
    )  # fmt: skip
    compiling.define_topology(values)


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    config = common.configuration(values, "toybirds")
    if values.compile_only:
        compiling.main(values)
        return
    if values.topology:
        raise ValueError(
            "--topology needs --compile_only: it names chips to compile for"
        )
    workdir = values.workdir or os.path.join("runs", common.config_name(values))
    train(config, workdir, values.stage, values)


def train(config, workdir, stage, values):
    """Does stages of a run and says how long it took.

    Args:
      config: the configuration.
      workdir: the run's folder.
      stage: "all" that is not done yet, a stage, or "evaluate".
      values: with the flags of `common.define_processes`.
    """
    begin = time.time()
    common.join(config, values)

    from mirrorgan_jax import run as runs
    from mirrorgan_jax.parallel import hosts

    wanted = runs.needed_stages(config) if stage == "all" else [stage]
    runs.run(config, str(workdir), wanted)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    minutes = (time.time() - begin) / 60
    hosts.say(
        f"all done in {minutes:.1f} minutes, peak memory {peak:.1f} GiB: {workdir}"
    )


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, configured=True)


if __name__ == "__main__":
    sys.exit(cli())
