"""One run: data, the stages that are not done yet, evaluation and report."""

import functools
import os
import time

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import data
from mirrorgan_jax.evaluation import protocol, quick
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import loop, stages, stream_step
from mirrorgan_jax.training import state as states
from mirrorgan_jax.weights import pretrained
from mirrorgan_jax.workdir import layout


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

    return datasets.load(config.data, seed=config.seed)


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
    data.check(config.data)

    for stage in wanted:
        absent = layout.missing_stage(config, stage, wanted, workdir)
        if absent:
            raise FileNotFoundError(absent)
        missing = pretrained.missing(config, stage)
        if missing and not layout.finished_steps(workdir, stage):
            raise ValueError(missing)
    hosts.say(f"configuration:\n{config}\nworkdir: {workdir}")

    # 2. Data.
    dataset = load_data(config)
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

            evaluate.run(config, dataset, mesh, workdir)
        else:
            stage = MAKERS[name](config, dataset, mesh, workdir)
            loop.run_stage(
                stage,
                workdir=workdir,
                config=config.to_dict(),
                vocab=list(dataset.vocab.words),
                mesh=mesh,
            )
        hosts.say(f"{name}: done, {(time.time() - begin) / 60:.1f} minutes")


def _batches(config, stage, split):
    from mirrorgan_jax.data import pipeline

    return lambda start, rows: pipeline.train_batches(
        split,
        batch_size=config[stage].batch_size,
        image_size=stages.image_size(config, stage),
        num_words=config.text.num_words,
        seed=config.seed,
        cache_mib=config.data.cache_mib,
        start_step=start,
        rows=rows,
        say=hosts.say,
    )


def stem_stage(config, dataset, mesh, workdir):
    """STEM pretraining with the DAMSM losses."""
    del workdir  # the first stage needs nothing of another
    c = config.stem
    trainer = stages.stem(
        config,
        len(dataset.vocab),
        steps_per_epoch=max(len(dataset.train) // c.batch_size, 1),
    )
    evaluator = quick.make_evaluator(
        config, dataset, mesh, count=config.eval.quick_images
    )

    def evaluate_state(state):
        real = evaluator.real_codes(states.weights(state.image), c.image_size)
        sentences = evaluator.sentence_codes(states.weights(state.text))
        return quick.ranks("real", evaluator.r_precision(real, sentences))

    return loop.Stage(
        name="stem",
        settings=c,
        create=trainer.create,
        pretrained=lambda: pretrained.trunk(config, "stem"),
        seed=config.seed,
        train_step=trainer.train_step,
        frozen={},
        batches=_batches(config, "stem", dataset.train),
        evaluate=evaluate_state,
        metric="real_top1",
    )


def stream_stage(config, dataset, mesh, workdir):
    """STREAM pretraining by captioning real images."""
    c = config.stream
    trainer = stages.stream(config, len(dataset.vocab))
    evaluator = quick.make_evaluator(
        config, dataset, mesh, count=config.eval.quick_images
    )
    gate = stream_step.make_gate(trainer.modules["captioner"])

    def trunk():
        if not c.trunk_from_stem:
            return pretrained.trunk(config, "stream")
        image = layout.load_stem(config, workdir, mesh)["image"]
        return image["params"]["trunk"], image["batch_stats"]["trunk"]

    return loop.Stage(
        name="stream",
        settings=c,
        create=trainer.create,
        pretrained=trunk,
        seed=config.seed + 1,
        train_step=trainer.train_step,
        frozen={},
        batches=_batches(config, "stream", dataset.train),
        evaluate=lambda state: quick.cross_entropies(
            evaluator,
            gate,
            states.weights(state.captioner),
            image_size=c.image_size,
            num_words=config.text.num_words,
        ),
        metric="matched",
        lower_is_better=True,
    )


def gan_stage(config, dataset, mesh, workdir):
    """GLAM against its discriminators, mirrored by the frozen STREAM."""
    c = config.gan
    stem = layout.load_stem(config, workdir, mesh)
    stream = layout.load_stream(config, workdir, mesh) if c.lambda_stream else {}
    if c.lambda_stream and not layout.finished_steps(workdir, "gan"):
        quick.check_gate(config, dataset, mesh, stream)
    trainer = stages.gan(config, len(dataset.vocab))
    evaluator = quick.make_evaluator(
        config,
        dataset,
        mesh,
        count=config.eval.quick_images,
        generator=trainer.modules["generator"],
    )

    @functools.cache
    def sentence_codes():
        return evaluator.sentence_codes(stem["text"])

    def evaluate_state(state):
        codes = evaluator.generated_codes(state.ema, stem["text"], stem["image"])
        return quick.ranks("generated", evaluator.r_precision(codes, sentence_codes()))

    def sample(state, step):
        rows = protocol.sample_rows(len(evaluator.protocol), config.eval.samples)
        grid = quick.sample_grid(evaluator, state.ema, stem["text"], rows)
        quick.write_sample(workdir, f"{step:07d}", grid)

    return loop.Stage(
        name="gan",
        settings=c,
        create=trainer.create,
        pretrained=lambda: None,
        seed=config.seed + 2,
        train_step=trainer.train_step,
        frozen={
            "stem": stem["text"],
            "stream": stream,
            "image": stem["image"] if c.lambda_damsm else {},
        },
        batches=_batches(config, "gan", dataset.train),
        evaluate=evaluate_state,
        metric="generated_top1",
        sample=sample if config.eval.samples else None,
    )


MAKERS = {"stem": stem_stage, "stream": stream_stage, "gan": gan_stage}
