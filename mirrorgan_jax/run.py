"""One run as a story: data, stages, gate, held-out captioner, evaluation, report.

The only place where training, data and evaluation meet.
"""

import functools
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import data
from mirrorgan_jax.data import doubts
from mirrorgan_jax.evaluation import evaluate, judges, protocol, quick
from mirrorgan_jax.metrics import features
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.settings import advice
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import loop, stages, stream_step
from mirrorgan_jax.training import state as states
from mirrorgan_jax.weights import pretrained
from mirrorgan_jax.workdir import layout, provenance


class Parts(NamedTuple):
    """What the stages of a run have in common.

    Attributes:
      config: resolved configuration.
      dataset: the prepared data set.
      mesh: device mesh.
      workdir: the run's folder.
    """

    config: Any
    dataset: Any
    mesh: Any
    workdir: Any


def needed_stages(config):
    """The stages of a whole run, in order, evaluation included."""
    taken = ("stem", "stream") if config.weights.pretrained else ()
    needed = {
        "stream": bool(config.gan.lambda_stream),
        # Only where captions can be parsed is there something to ask it.
        "heldout": bool(
            config.eval.heldout_steps and data.source(config.data.name).TRUTH
        ),
    }
    own = [
        name for name in stages.STAGES if name not in taken and needed.get(name, True)
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

    Raises:
      ValueError: the data are not those that the run was trained with.
    """
    from mirrorgan_jax.data import pipeline

    dataset = load_data(config)
    different = layout.different_contents(
        config.data.to_dict(), {"contents": dataset.contents}
    )
    if different:
        raise ValueError(
            f"{'; '.join(different)}: the run was trained with data that has changed"
        )
    split = dataset.test
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
    groups = dict.fromkeys(
        stages.STAGES[name].group for name in wanted if name != "evaluate"
    )
    configs.validate(config, num_devices=jax.device_count(), stages=[*groups])
    data.check(config.data)
    started = _check_prerequisites(config, workdir, wanted)
    hosts.say(f"configuration:\n{config}\nworkdir: {workdir}")
    changed = advice.preset_departures(config)
    if changed:
        hosts.say(changed)

    # 2. Data.
    dataset = load_data(config)
    mesh = meshes.create_mesh(config.mesh.data, config.mesh.spatial)
    counts = ", ".join(f"{len(split)} {split.name}" for split in dataset.splits)
    hosts.say(
        f"data: {config.data.name}, {counts} images, {len(dataset.vocab)} words;"
        f" chosen on {dataset.choice};"
        f" devices: {mesh.size} {jax.devices()[0].platform}"
        f" of {jax.process_count()} processes, {dict(mesh.shape)}"
    )
    pretrained.check_words(started, len(dataset.vocab))
    config = config.copy_and_resolve_references()
    config.data.contents = dataset.contents
    doubts.look_at(dataset, config, training=bool(groups))

    # 3. Stages, each from where it stopped; the evaluation is the last.
    parts = Parts(config, dataset, mesh, epath.Path(workdir))
    for name in wanted:
        begin, chosen = time.time(), ""
        if name == "evaluate":
            _evaluate(parts)
        else:
            _train(parts, name)
            chosen = f"; best step chosen on {dataset.choice}"
        hosts.say(f"{name}: done, {(time.time() - begin) / 60:.1f} minutes{chosen}")


def _check_prerequisites(config, workdir, wanted):
    """Refuses stages whose weights, or a stage that they build on, are not there.

    Returns:
      `pretrained.File`s that the stages will start from.
    """
    started = []
    for name in wanted:
        needs = ("stem", "gan")
        if name != "evaluate":
            stage = stages.STAGES[name]
            needs, config_ = stage.needs(config), stage.configured(config)
        for other in needs:
            folder = layout.home(config, workdir, other)
            if other not in wanted and not layout.is_saved(folder, other):
                raise FileNotFoundError(layout.absent(folder, other))
        if name == "evaluate":
            continue
        folder = layout.home(config, workdir, name)
        if not layout.is_saved(folder, stage.group):
            started += pretrained.check(config_, stage.group)
    if "evaluate" in wanted[1:]:
        # Before the first stage, not after the last.
        for kind in features.KINDS:
            if config.eval[kind]:
                features.load(kind, config.eval[kind])
    return started


def _train(parts, name):
    """Trains a stage from where it stopped."""
    stage = stages.STAGES[name]
    own = parts._replace(
        config=stage.configured(parts.config),
        workdir=layout.home(parts.config, parts.workdir, name)
        if name == "heldout"
        else parts.workdir,
    )
    config = own.config
    trainer, particulars = _PARTICULARS[stage.group](own)
    task = loop.Task(
        name=name,
        folder=stage.group,
        settings=config[stage.group],
        create=trainer.create,
        seed=config.seed + stage.seed,
        train_step=trainer.train_step,
        lazy=trainer.lazy,
        batches=_batches(own, stage.group),
        evaluated=f"{parts.dataset.choosing.name} images",
        **particulars,
    )
    loop.run_stage(
        task,
        workdir=own.workdir,
        config=config.to_dict(),
        vocab=list(parts.dataset.vocab.words),
        mesh=parts.mesh,
    )


def _batches(parts, stage):
    from mirrorgan_jax.data import pipeline

    config = parts.config
    return lambda start, rows: pipeline.train_batches(
        parts.dataset.train,
        batch_size=config[stage].batch_size,
        image_size=stages.image_size(config, stage),
        num_words=config.text.num_words,
        seed=config.seed,
        start_step=start,
        rows=rows,
        cache_mib=config.data.cache_mib,
        bad_pictures=config.data.bad_pictures,
        say=hosts.say,
    )


def _start(parts, stage):
    """What a stage's `create` takes after its key; the files are said and noted."""
    start = pretrained.start(parts.config, stage, len(parts.dataset.vocab))
    for file in start.files:
        notes = "".join(f"; {note}" for note in file.notes)
        hosts.say(f"{stage}: starts from {file.path}: {file.title}{notes}")
    if not parts.config[stage].num_steps and start.random:
        kept = " and ".join(start.random)
        hosts.say(f"{stage}: without steps random values stay in {kept}")
    if hosts.is_first() and start.files:
        named = [file._asdict() for file in start.files]
        provenance.write_start(parts.workdir, stage, named)
    return (start.tree,)


def _quick_evaluator(parts, generator=None):
    config = parts.config
    return quick.make_evaluator(
        config,
        parts.dataset,
        parts.mesh,
        split=parts.dataset.choosing,
        count=config.eval.quick_images,
        generator=generator,
    )


def _stem(parts):
    """STEM pretraining with the DAMSM losses: (trainer, particulars of the task)."""
    config, c = parts.config, parts.config.stem
    trainer = stages.stem(
        config,
        len(parts.dataset.vocab),
        steps_per_epoch=max(len(parts.dataset.train) // c.batch_size, 1),
    )
    evaluator = _quick_evaluator(parts)

    def evaluate_state(state):
        return quick.real_ranks(
            evaluator,
            states.weights(state.text),
            states.weights(state.image),
            c.image_size,
        )

    return trainer, {
        "initial": lambda: _start(parts, "stem"),
        "evaluate": evaluate_state,
    }


def _stream(parts):
    """Captioning of real images, for STREAM and for the held-out captioner."""
    config, c = parts.config, parts.config.stream
    trainer = stages.stream(config, len(parts.dataset.vocab))
    evaluator = _quick_evaluator(parts)
    gate = stream_step.make_gate(trainer.modules["captioner"])

    def initial():
        (tree,) = _start(parts, "stream")
        if c.trunk_from_stem:
            image = layout.load_stem(config, parts.workdir, parts.mesh)["image"]
            for collection, held in image.items():
                trunk = {"encoder": {"trunk": held["trunk"]}}
                tree[collection] = {**tree.get(collection, {}), **trunk}
        return (tree,)

    def evaluate_state(state):
        return quick.cross_entropies(
            evaluator,
            gate,
            states.weights(state.captioner),
            image_size=c.image_size,
            num_words=config.text.num_words,
        )

    return trainer, {"initial": initial, "evaluate": evaluate_state}


def _gan(parts):
    """GLAM against its discriminators, mirrored by the frozen STREAM."""
    config, mesh, workdir = parts.config, parts.mesh, parts.workdir
    c = config.gan
    stem = layout.load_stem(config, workdir, mesh)
    stream = layout.load_stream(config, workdir, mesh) if c.lambda_stream else {}
    if c.lambda_stream and not layout.is_saved(workdir, "gan"):
        quick.check_gate(config, parts.dataset, mesh, stream)
    trainer = stages.gan(config, len(parts.dataset.vocab))
    evaluator = _quick_evaluator(parts, trainer.modules["generator"])

    @functools.cache
    def sentences():
        return evaluator.sentence_codes(stem["text"])

    def evaluate_state(state):
        return quick.generated_ranks(evaluator, state.ema, stem, sentences())

    def sample(state, step):
        rows = protocol.sample_rows(len(evaluator.protocol), config.eval.samples)
        grid = quick.sample_grid(evaluator, state.ema, stem["text"], rows)
        quick.write_sample(workdir, f"{step:07d}", grid)

    return trainer, {
        "initial": lambda: _start(parts, "gan"),
        "frozen": {
            "stem": stem["text"],
            "stream": stream,
            "image": stem["image"] if c.lambda_damsm else {},
        },
        "evaluate": evaluate_state,
        "sample": sample if config.eval.samples else None,
    }


_PARTICULARS = {"stem": _stem, "stream": _stream, "gan": _gan}


def _evaluate(parts):
    """The final evaluation, with a judge of attributes where the truth is known."""
    config, truth = parts.config, parts.dataset.truth
    home = layout.home(config, parts.workdir, "heldout")
    if "heldout" in needed_stages(config) and not layout.is_saved(home, "stream"):
        hosts.say("no held-out captioner: --stage=heldout trains one")
    evaluate.run(
        *parts,
        captioners=judges.captioners(
            config, parts.workdir, parts.mesh, len(parts.dataset.vocab)
        ),
        classifier=judges.classifier(config, truth) if truth else None,
    )
