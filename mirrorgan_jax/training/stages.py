"""The training stages of a configuration, ready for the loop."""

import functools

from etils import epath

from mirrorgan_jax.data import pipeline
from mirrorgan_jax.evaluation import evaluator as evaluators
from mirrorgan_jax.evaluation import protocol as protocols
from mirrorgan_jax.models import build
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.training import loop, stream_step, trainers
from mirrorgan_jax.training import state as states
from mirrorgan_jax.weights import backbones
from mirrorgan_jax.workdir import layout

# ImageNet trunks by stage: key of `config.weights`, title.
_BACKBONES = {
    "stem": ("inception_v3", "Inception-v3"),
    "stream": ("resnet152", "ResNet-152"),
}


def missing_backbone(config, stage):
    """What is wrong with the pretrained backbone of a stage, or None.

    A stage whose trunk is an ImageNet network needs the file of its weights, or
    the explicit switch `weights.random`.
    """
    name, title = _BACKBONES.get(stage, (None, None))
    if name is None or config[stage].encoder != name:
        return None
    path = config.weights[name]
    if path and epath.Path(path).exists():
        return None
    if not path and config.weights.random:
        return None
    wrong = f"= {path!r} does not exist" if path else "is empty"
    return (
        f"config.weights.{name} {wrong}: stage {stage} needs {title} trained on"
        f" ImageNet as a .safetensors file, either the model {name}.tv_in1k of timm or"
        f" torchvision's {name} (IMAGENET1K_V1) saved with safetensors; with"
        " --config.weights.random=True and no file the stage goes on with a random one"
    )


def _trunk(config, stage):
    """(params, batch_stats) of a stage's pretrained trunk, or None."""
    name, _ = _BACKBONES[stage]
    path = config.weights[name]
    if config[stage].encoder != name or not path:
        return None
    tree = getattr(backbones, name)(path)
    return tree["params"], tree["batch_stats"]


def _batches(config, stage, split):
    return lambda start, rows: pipeline.train_batches(
        split,
        batch_size=config[stage].batch_size,
        image_size=trainers.image_size(config, stage),
        num_words=config.text.num_words,
        seed=config.seed,
        start_step=start,
        rows=rows,
    )


def make_evaluator(config, dataset, mesh, *, count, generator=None, repeats=1):
    """The evaluator of a configuration on `count` test images (0: all)."""
    protocol = protocols.make(
        dataset.test,
        count=count,
        num_words=config.text.eval_words,
        pool_size=config.eval.pool_size,
        seed=config.seed,
        repeats=repeats,
    )
    return evaluators.Evaluator(
        dataset.test,
        protocol,
        mesh,
        batch_size=config.eval.batch_size,
        text_encoder=build.text_encoder(config, len(dataset.vocab)),
        image_encoder=build.damsm_image_encoder(config),
        generator=generator,
        z_dim=config.gan.z_dim,
        condition_dim=config.gan.condition_dim,
        seed=config.seed,
    )


def stem_stage(config, dataset, mesh, workdir):
    """STEM pretraining with the DAMSM losses."""
    del workdir  # the first stage needs nothing of another
    c = config.stem
    trainer = trainers.stem(
        config,
        len(dataset.vocab),
        steps_per_epoch=max(len(dataset.train) // c.batch_size, 1),
    )
    evaluator = make_evaluator(config, dataset, mesh, count=config.eval.quick_images)

    def evaluate_state(state):
        real = evaluator.real_codes(states.weights(state.image), c.image_size)
        sentences = evaluator.sentence_codes(states.weights(state.text))
        return _ranks("real", evaluator.r_precision(real, sentences))

    return loop.Stage(
        name="stem",
        settings=c,
        create=trainer.create,
        pretrained=lambda: _trunk(config, "stem"),
        seed=config.seed,
        train_step=trainer.train_step,
        frozen={},
        batches=_batches(config, "stem", dataset.train),
        evaluate=evaluate_state,
        metric="real_top1",
    )


def _ranks(prefix, values):
    kept = ("top1", "top2", "top3", "standard_error")
    return {f"{prefix}_{name}": values[name] for name in kept}


def stream_stage(config, dataset, mesh, workdir):
    """STREAM pretraining by captioning real images."""
    c = config.stream
    trainer = trainers.stream(config, len(dataset.vocab))
    evaluator = make_evaluator(config, dataset, mesh, count=config.eval.quick_images)
    gate = stream_step.make_gate(trainer.modules["captioner"])

    def trunk():
        if not c.trunk_from_stem:
            return _trunk(config, "stream")
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
        evaluate=lambda state: evaluators.cross_entropies(
            evaluator,
            gate,
            states.weights(state.captioner),
            image_size=c.image_size,
            num_words=config.text.num_words,
        ),
        metric="matched",
        lower_is_better=True,
    )


def check_gate(config, dataset, mesh, stream):
    """Refuses a STREAM that redescribes without looking at the image.

    Raises:
      ValueError: captions fit a shuffled image almost as well as their own.
    """
    evaluator = make_evaluator(config, dataset, mesh, count=config.eval.quick_images)
    gate = stream_step.make_gate(build.captioner(config, len(dataset.vocab)))
    result = evaluators.cross_entropies(
        evaluator,
        gate,
        stream,
        image_size=config.stream.image_size,
        num_words=config.text.num_words,
    )
    text = (
        f"STREAM's cross entropy a word is {result['matched']:.3f} on matched and"
        f" {result['shuffled']:.3f} on shuffled test images"
    )
    # Random backbones try the machinery: nobody expects them to see anything.
    needed = 0 if config.weights.random else config.stream.gate_margin
    if needed and not result["margin"] >= needed:
        raise ValueError(
            f"{text}: the difference must be stream.gate_margin = {needed}"
            " or more, or STREAM only guesses captions"
            " without the image and teaches the generator nothing. Train it longer"
            " (stream.num_steps), or start its trunk from STEM's"
            " (stream.trunk_from_stem)"
        )
    hosts.say(f"gate {'passed' if needed else 'off'}: {text}")


def gan_stage(config, dataset, mesh, workdir):
    """GLAM against its discriminators, mirrored by the frozen STREAM."""
    c = config.gan
    stem = layout.load_stem(config, workdir, mesh)
    stream = layout.load_stream(config, workdir, mesh) if c.lambda_stream else {}
    if c.lambda_stream and not layout.finished_steps(workdir, "gan"):
        check_gate(config, dataset, mesh, stream)
    trainer = trainers.gan(config, len(dataset.vocab))
    evaluator = make_evaluator(
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
        return _ranks("generated", evaluator.r_precision(codes, sentence_codes()))

    def sample(state, step):
        rows = protocols.sample_rows(len(evaluator.protocol), config.eval.samples)
        grid = evaluators.sample_grid(evaluator, state.ema, stem["text"], rows)
        evaluators.write_sample(workdir, f"{step:07d}", grid)

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
