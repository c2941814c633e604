"""Compiles training steps for machines that need not be there, and prints what
a device needs: operations, memory, communication.

  mirrorgan compile --config=toybirds
  mirrorgan compile --config=cub --stage=gan --config.mesh.data=8
  mirrorgan compile --config=cub --topology=v5e:4x4 --config.mesh.spatial=2

The mesh of the configuration is made of virtual CPU devices, or with --topology
of TPU chips (extra [tpu]). Nothing is trained, no data is read.
"""

import sys

from absl import flags

from mirrorgan_jax.cli import common
from mirrorgan_jax.settings import base as configs


def define_topology(values: flags.FlagValues) -> None:
    """Defines the flag of the chips."""
    flags.DEFINE_string(
        "topology", None, "TPU chips to compile for, such as v5e:4x4.",
        flag_values=values,
    )  # fmt: skip


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_enum(
        "stage", "all", ["all", *configs.STAGES], "Whose step.", flag_values=values
    )
    define_topology(values)


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    config = common.configuration(values, "toybirds")
    if values.stage == "evaluate":
        raise ValueError("--compile_only: --stage=evaluate has no training step")

    import jax

    from mirrorgan_jax.settings import process
    from mirrorgan_jax.training import aot

    process.set_up(config)
    wanted = config.mesh.data * config.mesh.spatial
    if not values.topology and wanted > 0:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", wanted)
    for stage in configs.STAGES if values.stage == "all" else [values.stage]:
        aot.run(config, stage, topology=values.topology)


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, configured=True)


if __name__ == "__main__":
    sys.exit(cli())
