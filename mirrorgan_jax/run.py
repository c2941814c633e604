"""One run: data, the stages that are not done yet, evaluation and report."""

import dataclasses
import os
import time
import types

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import progress
from mirrorgan_jax.evaluation import protocol
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import layout

# The held-out captioner's random numbers are no other stage's.
_HELD_OUT_SEED = 1000


def set_up(config):
    """What must be decided before jax computes: compile cache and precision."""
    # TensorFlow only reads data here and has nothing to say.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    cache = config.compilation_cache or "~/.cache/mirrorgan_jax/xla"
    jax.config.update("jax_compilation_cache_dir", str(epath.Path(cache).expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if config.matmul_precision != "default":
        jax.config.update("jax_default_matmul_precision", config.matmul_precision)


def needed_stages(config):
    """The stages of a whole run, in order, evaluation included."""
    own = [
        stage
        for stage in configs.STAGES
        if (stage != "stream" or config.gan.lambda_stream)
        and (stage == "gan" or not config.weights.pretrained)
    ]
    return [*own, "evaluate"]


def load_data(config):
    """The configuration's data set, prepared where it is not there yet."""
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


def test_examples(config, count, size):
    """Captions and real images of the test split of a run's data set.

    Args:
      config: the run's configuration.
      count: images, spread over the split; the first caption of each is taken.
      size: pixels of a side.

    Returns:
      (captions, [n, size, size, 3] uint8).
    """
    from mirrorgan_jax.data import pipeline

    split = load_data(config).test
    indices = protocol.sample_rows(len(split), count)
    batches = pipeline.eval_batches(
        split,
        indices=indices,
        captions=np.zeros(len(indices), int),
        batch_size=len(indices),
        image_size=size,
        num_words=config.text.eval_words,
    )
    images = np.concatenate([batch["image"][batch["valid"]] for batch in batches])
    return [split.texts[index][0] for index in indices], images


def _truth(config):
    """What is known of the data set's images: what was drawn, and how it is said."""
    if config.data.name != "toybirds":
        return None
    from mirrorgan_jax.data.toybirds import birds, mentions

    return types.SimpleNamespace(
        parts=birds.PARTS,
        values=birds.ATTRIBUTES,
        synonyms=birds.SYNONYMS,
        draw=birds.random_birds,
        find=mentions.find,
    )


def trained_classifier(config, dataset):
    """The `metrics.classifier.Classifier` of a run, None where no truth is known.

    It is trained on images drawn for it alone, with attributes drawn independently.

    Args:
      config: the configuration.
      dataset: with `truth`.
    """
    truth = dataset.truth
    if truth is None:
        return None
    from mirrorgan_jax.metrics import classifier as classifiers

    images, attributes = truth.draw(
        config.eval.classifier_images, size=config.data.image_size, seed=config.seed + 1
    )
    columns = [list(truth.values).index(name) for name in truth.parts]
    steps = config.eval.classifier_steps
    # Every process trains its own on its own devices: they come out the same.
    with progress.Progress(
        "attribute classifier", steps, enabled=hosts.is_first()
    ) as bar:
        return classifiers.train_classifier(
            images,
            attributes[:, columns],
            {name: len(truth.values[name]) for name in truth.parts},
            steps=steps,
            batch_size=32,
            seed=config.seed,
            progress=lambda _, loss: bar.update(1, loss=loss),
        )


def held_out_settings(config):
    """Configuration of the captioner that no generator has seen.

    It differs from STREAM in its trunk, which is wider and starts from random weights
    instead of STEM's, and in its seed.
    """
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.stream.encoder_width = config.eval.heldout_width
        config.stream.trunk_from_stem = False
        config.stream.num_steps = config.eval.heldout_steps
        config.weights.pretrained = ""
    return config


def held_out(config, dataset, mesh, workdir):
    """(module, variables) of the held-out captioner, trained where it is not yet."""
    from mirrorgan_jax.models import build
    from mirrorgan_jax.training import loop, stages

    folder = layout.home(config, workdir, "stream") / "heldout"
    config = held_out_settings(config)
    if layout.finished_steps(folder, "stream") < config.stream.num_steps:
        stage = stages.stream_stage(config, dataset, mesh, folder)
        loop.run_stage(
            dataclasses.replace(stage, seed=stage.seed + _HELD_OUT_SEED),
            workdir=folder,
            config=config.to_dict(),
            vocab=list(dataset.vocab.words),
            mesh=mesh,
        )
    variables = layout.load_stream(config, folder, mesh)
    return build.captioner(config, len(dataset.vocab)), variables


def captioners(config, dataset, mesh, workdir):
    """{name: (module, variables)} of the captioners that can judge a run.

    None where no truth is known: nothing says then which words are right.
    """
    from mirrorgan_jax.models import build

    found = {}
    if dataset.truth is None:
        return found
    folder = layout.home(config, workdir, "stream")
    if layout.finished_steps(folder, "stream"):
        variables = layout.load_stream(config, epath.Path(workdir), mesh)
        found["STREAM"] = build.captioner(config, len(dataset.vocab)), variables
    if config.eval.heldout_steps:
        found["held-out captioner"] = held_out(config, dataset, mesh, workdir)
    return found


def run(config, workdir, wanted):
    """Does what is not done yet of some stages.

    Args:
      config: the configuration.
      workdir: the run's folder, local or a bucket.
      wanted: stages in order, of `needed_stages`.

    Raises:
      ValueError: the configuration is wrong, or does not fit what is saved.
      FileNotFoundError: a stage that others build on is not there.
      FloatingPointError: training diverged.
      hosts.Terminated: SIGTERM arrived; everything is saved.
    """
    # 1. What is wrong is said before anything slow starts, TensorFlow included.
    trained = [stage for stage in wanted if stage in configs.STAGES]
    configs.validate(config, num_devices=jax.device_count(), stages=trained)

    from mirrorgan_jax.training import loop, stages

    for stage in wanted:
        absent = layout.missing_stage(config, stage, wanted, workdir)
        if absent:
            raise FileNotFoundError(absent)
        missing = stages.missing_backbone(config, stage)
        if missing and not layout.finished_steps(workdir, stage):
            raise ValueError(missing)
    hosts.say(f"configuration:\n{config}\nworkdir: {workdir}")

    # 2. Data.
    dataset = load_data(config)
    # The data room does not give the truth of its drawn birds yet.
    dataset = types.SimpleNamespace(**vars(dataset), truth=_truth(config))
    mesh = meshes.create_mesh(config.mesh.data, config.mesh.spatial)
    hosts.say(
        f"data: {config.data.name}, {len(dataset.train)} train and"
        f" {len(dataset.test)} test images, {len(dataset.vocab)} words;"
        f" devices: {mesh.size} {jax.devices()[0].platform}"
        f" of {jax.process_count()} processes, {dict(mesh.shape)}"
    )

    # 3. Stages, each from where it stopped.
    for name in wanted:
        begin = time.time()
        if name == "evaluate":
            from mirrorgan_jax.evaluation import evaluate

            evaluate.run(
                config,
                dataset,
                mesh,
                workdir,
                captioners=captioners(config, dataset, mesh, workdir),
                classifier=trained_classifier(config, dataset),
            )
        else:
            stage = stages.MAKERS[name](config, dataset, mesh, workdir)
            loop.run_stage(
                stage,
                workdir=workdir,
                config=config.to_dict(),
                vocab=list(dataset.vocab.words),
                mesh=mesh,
            )
        hosts.say(f"{name}: done, {(time.time() - begin) / 60:.1f} minutes")
