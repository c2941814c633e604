"""Command line: `python -m mirrorgan_jax.main --config=configs/toybirds.py`.

Prepares the data set, pretrains STEM and STREAM, trains GLAM and evaluates, each
only as far as it is not done yet; the same command goes on after a kill.
"""

import os
import resource
import signal
import sys
import time

from absl import app, flags, logging
from ml_collections import config_flags

from mirrorgan_jax import config as configs

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


def _setup(config):
    # TensorFlow only reads data here and has nothing to say.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

    import jax
    from etils import epath

    cache = config.compilation_cache or "~/.cache/mirrorgan_jax/xla"
    jax.config.update("jax_compilation_cache_dir", str(epath.Path(cache).expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if config.matmul_precision != "default":
        jax.config.update("jax_default_matmul_precision", config.matmul_precision)


def _wanted(config, stage):
    """The stages to run, in order."""
    if stage != "all":
        return [stage]
    needed = [s for s in configs.STAGES if s != "stream" or config.gan.lambda_stream]
    return [*needed, "evaluate"]


def _load_data(config):
    from mirrorgan_jax.data import datasets

    c = config.data
    options = {}
    if c.name == "toybirds":
        options = {
            key: c[key]
            for key in (
                "image_size",
                "train_images_per_species",
                "test_images_per_species",
            )
        }
    return datasets.load(
        c.name,
        data_root=os.path.expanduser(c.root or "~/.cache/mirrorgan_jax/data"),
        source=c.source or None,
        seed=config.seed,
        **options,
    )


def _run(config, workdir, wanted):
    import jax

    # 1. What is wrong is said before anything slow starts, TensorFlow included.
    configs.validate(config, num_devices=jax.device_count())

    from mirrorgan_jax import evaluate, sharding, stages
    from mirrorgan_jax.training import loop

    for stage in wanted:
        missing = stages.missing_backbone(config, stage)
        if missing and not stages.finished_steps(workdir, stage):
            raise ValueError(missing)
    print(f"configuration:\n{config}\nworkdir: {workdir}", flush=True)

    # 2. Data.
    dataset = _load_data(config)
    mesh = sharding.create_mesh(config.mesh.data, config.mesh.spatial)
    print(
        f"data: {config.data.name}, {len(dataset.train)} train and"
        f" {len(dataset.test)} test images, {len(dataset.vocab)} words;"
        f" devices: {mesh.size} {jax.devices()[0].platform}",
        flush=True,
    )

    # 3. Stages, each from where it stopped.
    for name in wanted:
        begin = time.time()
        if name == "evaluate":
            evaluate.run(config, dataset, mesh, workdir)
        else:
            stage = stages.MAKERS[name](config, dataset, mesh, workdir)
            loop.run_stage(
                stage,
                workdir=workdir,
                config=config.to_dict(),
                vocab=list(dataset.vocab.words),
                mesh=mesh,
            )
        print(f"{name}: done, {(time.time() - begin) / 60:.1f} minutes", flush=True)


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
    begin = time.time()
    config, workdir = _CONFIG.value, _workdir()
    _setup(config)

    from mirrorgan_jax.training import loop

    def terminate(*unused):
        raise loop.Terminated("stopped between two stages")

    signal.signal(signal.SIGTERM, terminate)
    try:
        _run(config, workdir, _wanted(config, _STAGE.value))
    except loop.Terminated as reason:
        print(f"SIGTERM: {reason}; the same command goes on", flush=True)
        return 0
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    minutes = (time.time() - begin) / 60
    print(f"all done in {minutes:.1f} minutes, peak memory {peak:.1f} GiB: {workdir}")
    return 0


def _parse(argv):
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
    app.run(main, flags_parser=_parse)


if __name__ == "__main__":
    cli()
