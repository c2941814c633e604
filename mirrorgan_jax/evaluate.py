"""The final evaluation of a run: a table, a report file and a sample grid.

R-precision of generated images stands beside that of the real test images, which
bounds it, and of the same images against other captions, which must be chance. On
toybirds an independent classifier reads the attributes that captions speak of.
"""

import json

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import evaluator as evaluators
from mirrorgan_jax import figures, files, hosts, networks, stages, telemetry
from mirrorgan_jax.metrics import attributes as attribute_metrics


def run(config, dataset, mesh, workdir):
    """Evaluates the moving average of the run's generator.

    Args:
      config: resolved configuration.
      dataset: the prepared data set.
      mesh: device mesh.
      workdir: the run's folder with its three finished stages.

    Returns:
      The report, which is also written to `report/evaluation.json`.
    """
    stem = stages.load_stem(config, workdir, mesh)
    step, ema = stages.load_generator(config, workdir, mesh)
    evaluator = stages.make_evaluator(
        config,
        dataset,
        mesh,
        count=config.eval.num_images,
        generator=networks.generator(config),
    )
    with jax.set_mesh(mesh):
        report = {
            "step": step,
            "protocol": _protocol(config, evaluator),
            "r_precision": _r_precision(config, evaluator, ema, stem),
        }
        rows = evaluators.sample_rows(len(evaluator.protocol), config.eval.samples)
        if len(rows):
            grid = evaluators.sample_grid(evaluator, ema, stem["text"], rows)
            report["samples"] = str(evaluators.write_sample(workdir, "final", grid))
    if dataset.test.attributes is not None:
        report["attributes"] = _attributes(config, evaluator, ema, stem["text"], mesh)
    path = epath.Path(workdir) / "report" / "evaluation.json"
    if hosts.is_first():
        files.write_text(path, json.dumps(report, indent=2) + "\n")
    hosts.say(_table(report))
    hosts.say(f"report: {path}")
    return report


def _protocol(config, evaluator):
    p = evaluator.protocol
    return (
        f"{len(p)} test images, one generated image a caption, pools of"
        f" {p.pools.shape[1]} (own caption and {p.pools.shape[1] - 1} of other test"
        f" images), cosine of this run's DAMSM codes ({config.stem.encoder}),"
        f" moving average of the generator, captions of at most"
        f" {config.text.eval_words} words, seed {config.seed}"
    )


def _r_precision(config, evaluator, ema, stem):
    sentences = evaluator.sentence_codes(stem["text"])
    real = evaluator.real_codes(stem["image"], config.stem.image_size)
    with telemetry.Progress(
        "evaluate", len(evaluator.protocol), unit="image", enabled=hosts.is_first()
    ) as progress:
        generated = evaluator.generated_codes(
            ema, stem["text"], stem["image"], progress
        )
    classes = evaluator.split.class_ids[evaluator.protocol.indices]
    other = generated[evaluators.mismatched_rows(classes)]
    return {
        name: evaluator.r_precision(codes, sentences)
        for name, codes in (
            ("generated", generated),
            ("real", real),
            ("generated from other captions", other),
        )
    }


def _attributes(config, evaluator, ema, text, mesh):
    # Levels below know nothing of the data set that draws its own labels.
    from mirrorgan_jax.data import toybirds

    size = config.data.image_size
    drawn, truth = toybirds.random_birds(
        config.eval.classifier_images, size=size, seed=config.seed + 1
    )
    columns = [list(toybirds.ATTRIBUTES).index(name) for name in toybirds.PARTS]
    cardinalities = {name: len(toybirds.ATTRIBUTES[name]) for name in toybirds.PARTS}
    steps = config.eval.classifier_steps
    # Every process trains its own on its own devices: they come out the same.
    with telemetry.Progress(
        "attribute classifier", steps, enabled=hosts.is_first()
    ) as progress:
        classifier = attribute_metrics.train_classifier(
            drawn,
            truth[:, columns],
            cardinalities,
            steps=steps,
            batch_size=32,
            seed=config.seed,
            progress=lambda _, loss: progress.update(1, loss=loss),
        )
    rows = np.arange(len(evaluator.protocol))
    asked = evaluator.split.attributes[evaluator.protocol.indices][:, columns]
    with jax.set_mesh(mesh):
        images = evaluators.stage_images(evaluator, ema, text, rows)[-1]
    real = evaluator.real_images(rows, size)
    if images.shape[1] != size:
        images = np.asarray(
            jax.image.resize(images, (len(images), size, size, 3), "linear")
        )
    return {
        "generated": attribute_metrics.accuracy(
            classifier, figures.to_uint8(images), asked
        ),
        "real": attribute_metrics.accuracy(classifier, real, asked),
        "chance": {name: 1 / count for name, count in cardinalities.items()},
    }


def _table(report):
    """The report as text that a person reads."""
    lines = [f"Evaluation at step {report['step']}: {report['protocol']}"]
    ranks = report["r_precision"]
    lines.append(f"{'R-precision, %':32}{'top-1':>14}{'top-2':>8}{'top-3':>8}")
    for name, values in ranks.items():
        top1 = f"{100 * values['top1']:.1f} +- {100 * values['standard_error']:.1f}"
        lines.append(
            f"  {name:30}{top1:>14}"
            + "".join(f"{100 * values[k]:8.1f}" for k in ("top2", "top3"))
        )
    if "attributes" in report:
        names = list(report["attributes"]["real"])
        width = max(len(name) for name in names) + 2
        lines.append(
            f"{'Attribute accuracy, %':32}" + "".join(f"{n:>{width}}" for n in names)
        )
        for source, values in report["attributes"].items():
            lines.append(
                f"  {source:30}"
                + "".join(f"{100 * values[name]:{width}.1f}" for name in names)
            )
    if "samples" in report:
        lines.append(f"samples: {report['samples']}")
    return "\n".join(lines)
