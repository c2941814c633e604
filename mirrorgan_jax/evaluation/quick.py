"""Numbers and pictures while a run trains, and STREAM's gate.

All that chooses: on validation images, or on test images where none are held out.
"""

import jax
import numpy as np
from etils import epath

from mirrorgan_jax.evaluation import evaluator as evaluators
from mirrorgan_jax.evaluation import protocol
from mirrorgan_jax.models import build, resize
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.report import sheets
from mirrorgan_jax.training import stream_step


def make_evaluator(config, dataset, mesh, *, split, count, generator=None, repeats=1):
    """The evaluator of a configuration on `count` images of a split (0: all)."""
    chosen = protocol.make(
        split,
        count=count,
        num_words=config.text.eval_words,
        pool_size=config.eval.pool_size,
        seed=config.seed,
        repeats=repeats,
    )
    return evaluators.Evaluator(
        split,
        chosen,
        mesh,
        batch_size=config.eval.batch_size,
        text_encoder=build.text_encoder(config, len(dataset.vocab)),
        image_encoder=build.damsm_image_encoder(config),
        generator=generator,
        z_dim=config.gan.z_dim,
        condition_dim=config.gan.condition_dim,
        seed=config.seed,
    )


def real_ranks(evaluator, text, image, image_size):
    """R-precision of real images under STEM's towers, which STEM learns by."""
    codes = evaluator.real_codes(image, image_size)
    return _ranks("real", evaluator.r_precision(codes, evaluator.sentence_codes(text)))


def generated_ranks(evaluator, ema, stem, sentences):
    """R-precision of one image a caption, by the generator's moving average.

    Args:
      evaluator: the `Evaluator`.
      ema: {params, batch_stats} of the average.
      stem: {"text", "image"}: STEM's variables.
      sentences: [n, D] codes of the captions.
    """
    codes = evaluator.generated_codes(ema, stem["text"], stem["image"])
    return _ranks("generated", evaluator.r_precision(codes, sentences))


def _ranks(prefix, values):
    kept = ("top1", "top2", "top3", "standard_error")
    return {f"{prefix}_{name}": values[name] for name in kept}


def cross_entropies(evaluator, gate, stream, *, image_size, num_words):
    """Mean cross entropy a word of the captions, matched and shuffled.

    Returns:
      {"matched", "shuffled", "margin"} in nats.
    """
    totals, weight = np.zeros(2), 0
    gate = jax.jit(gate)
    # Data sets are often sorted by class, and the gate shuffles among neighbours.
    order = np.random.default_rng(0).permutation(len(evaluator.protocol))
    for count, batch in evaluator.real_batches(image_size, num_words, order):
        images = resize.from_uint8(batch["image"])
        if count < len(images):
            # Repeated rows would be their own neighbours.
            batch = jax.tree.map(lambda x: x[:count], batch)  # noqa: B023
            images = images[:count]
        if count < 2:
            continue
        values = gate(stream, images, batch["tokens"], batch["length"])
        totals += count * np.array(jax.device_get(values), np.float64)
        weight += count
    matched, shuffled = totals / max(weight, 1)
    return {"matched": matched, "shuffled": shuffled, "margin": shuffled - matched}


def sample_grid(evaluator, ema, stem, rows):
    """The sample grid of some examples: real image, every stage, caption."""
    split, p = evaluator.split, evaluator.protocol
    images = evaluator.stage_images(ema, stem, rows)
    texts = [split.texts[p.indices[r]][p.captions[r]] for r in rows]
    real = evaluator.real_images(rows, images[-1].shape[1])
    return sheets.sample_grid(images, texts, real=real.astype(np.float32) / 127.5 - 1)


def write_sample(workdir, name, grid):
    """Writes a sample grid to `samples/<name>.png` below the workdir."""
    path = epath.Path(workdir) / "samples" / f"{name}.png"
    if hosts.is_first():
        sheets.write_png(path, grid)
    return path


def check_gate(config, dataset, mesh, stream):
    """Refuses a STREAM that redescribes without looking at the image.

    Raises:
      ValueError: captions fit a shuffled image almost as well as their own.
    """
    evaluator = make_evaluator(
        config, dataset, mesh, split=dataset.choosing, count=config.eval.quick_images
    )
    gate = stream_step.make_gate(build.captioner(config, len(dataset.vocab)))
    result = cross_entropies(
        evaluator,
        gate,
        stream,
        image_size=config.stream.image_size,
        num_words=config.text.num_words,
    )
    text = (
        f"STREAM's cross entropy a word is {result['matched']:.3f} on matched and"
        f" {result['shuffled']:.3f} on shuffled {dataset.choosing.name} images"
    )
    # Random backbones try the machinery: nobody expects them to see anything.
    needed = 0 if config.weights.random else config.stream.gate_margin
    if needed and not result["margin"] >= needed:
        raise ValueError(
            f"{text}: the difference must be stream.gate_margin = {needed}"
            " or more, or STREAM only guesses captions"
            " without the image and teaches the generator nothing. Train it longer"
            " (stream.num_steps), or start its trunk from STEM's"
            " (stream.trunk_from_stem); stream.gate_margin = 0 switches this gate off"
        )
    hosts.say(f"gate {'passed' if needed else 'off'}: {text}")
