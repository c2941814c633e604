"""Command line: `python -m mirrorgan_jax.main --config=configs/toybirds.py`.

Prepares the data set, pretrains STEM and STREAM, trains GLAM and evaluates, each
only as far as it is not done yet; the same command goes on after a kill.
"""

import os
import resource
import sys
import time
import traceback

from absl import app, flags, logging
from ml_collections import config_flags

from mirrorgan_jax.settings import base as configs

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration file, such as configs/cub.py:reference.",
    lock_config=True,
)  # fmt: skip
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run, local or a bucket; default runs/<config>."
)
_STAGE = flags.DEFINE_enum(
    "stage", "all", ["all", *configs.STAGES, "evaluate"],
    "What to do; all does what is not done yet.",
)  # fmt: skip
_DISTRIBUTED = flags.DEFINE_enum(
    "distributed", "auto", ["auto", "on", "off"],
    "Whether this is one process of several; auto: where a cluster is found.",
)  # fmt: skip
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address", None, "HOST:PORT of process 0, where no cluster tells it."
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Processes of the run, with --coordinator_address.",
    lower_bound=1,
)  # fmt: skip
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0.", lower_bound=0
)
_HEARTBEAT = flags.DEFINE_integer(
    "heartbeat_timeout_seconds", 30,
    "Seconds of silence after which a process counts as dead and the others stop.",
    lower_bound=5,
)  # fmt: skip
_COMPILE_ONLY = flags.DEFINE_boolean(
    "compile_only", False,
    "Compile the step of each stage of --stage for the mesh of the configuration,"
    " print what it needs and stop; the devices need not exist.",
)  # fmt: skip
_TOPOLOGY = flags.DEFINE_string(
    "topology", None,
    "With --compile_only: TPU chips to compile for, such as v5e:4x4.",
)  # fmt: skip


def set_up(config):
    """What must be decided before jax starts."""
    import jax

    from mirrorgan_jax import run
    from mirrorgan_jax.parallel import hosts

    run.set_up(config)
    if _COMPILE_ONLY.value:
        wanted = config.mesh.data * config.mesh.spatial
        if not _TOPOLOGY.value and wanted > 0:
            jax.config.update("jax_platforms", "cpu")
            jax.config.update("jax_num_cpu_devices", wanted)
        return
    hosts.initialize(
        _DISTRIBUTED.value,
        coordinator_address=_COORDINATOR.value,
        num_processes=_NUM_PROCESSES.value,
        process_id=_PROCESS_ID.value,
        heartbeat_timeout_seconds=_HEARTBEAT.value,
    )
    hosts.stop_between_stages()


def _workdir():
    if _WORKDIR.value:
        return _WORKDIR.value
    path = config_flags.get_config_filename(flags.FLAGS["config"])
    return os.path.join("runs", os.path.basename(path).partition(".py")[0])


def main(argv):
    """Runs what the flags ask for; returns the exit status."""
    del argv
    if _CONFIG.value is None:
        raise app.UsageError("--config is missing: try --config=configs/toybirds.py")
    logging.set_verbosity(logging.ERROR)
    if _TOPOLOGY.value and not _COMPILE_ONLY.value:
        raise app.UsageError(
            "--topology needs --compile_only: it names chips to compile for"
        )
    config, workdir = _CONFIG.value, _workdir()

    def act():
        from mirrorgan_jax import run

        set_up(config)
        if _COMPILE_ONLY.value:
            _compile(config)
            return
        begin = time.time()
        stage = _STAGE.value
        wanted = run.needed_stages(config) if stage == "all" else [stage]
        run.run(config, workdir, wanted)
        _done(begin, workdir)

    return ended(act)


def ended(act):
    """Does something and returns the exit status; errors are said in a sentence.

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
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
    except Exception as error:
        if jax.process_count() == 1:
            raise
        reason = hosts.lost(error)
        if reason is None:
            traceback.print_exc()
        else:
            print(f"error: {reason}", file=sys.stderr)
    if jax.process_count() > 1:
        hosts.leave(1)
    return 1


def _done(begin, workdir):
    from mirrorgan_jax.parallel import hosts

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    minutes = (time.time() - begin) / 60
    hosts.say(
        f"all done in {minutes:.1f} minutes, peak memory {peak:.1f} GiB: {workdir}"
    )


def _compile(config):
    from mirrorgan_jax.training import aot

    if _STAGE.value == "evaluate":
        raise ValueError("--compile_only: --stage=evaluate has no training step")
    for stage in configs.STAGES if _STAGE.value == "all" else [_STAGE.value]:
        aot.run(config, stage, topology=_TOPOLOGY.value)


def parse(argv):
    """The flags; a wrong one is said in a sentence instead of a traceback."""
    try:
        rest = flags.FLAGS(argv)
        _ = _CONFIG.value  # a missing file is only noticed here
    except Exception as error:  # whatever a configuration file may raise
        # The last line says what is wrong; the library wraps it in a traceback.
        lines = str(error).replace("\\n", "\n").splitlines()
        wrapped = any("Traceback" in line or "Attempted" in line for line in lines)
        text = lines[-1] if wrapped else " ".join(lines)
        sys.exit(f"error in the flags: {text.strip()}")
    return rest


def cli():
    """Entry point of the console script `mirrorgan`."""
    app.run(main, flags_parser=parse)


if __name__ == "__main__":
    cli()
