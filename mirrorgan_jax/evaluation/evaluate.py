"""The final evaluation of a run: measures, pictures, a table and a report.

Every number stands beside that of the real test images, which bounds it, and beside
chance where there is one. Where captions tell the truth about what was drawn, a
classifier and a captioner that the generator never saw judge it as well.
"""

import jax
from etils import epath

from mirrorgan_jax.evaluation import observing, protocol, quick
from mirrorgan_jax.inference.model import Model
from mirrorgan_jax.metrics import (
    attribute_places,
    attribute_words,
    attributes,
    fid,
    inception_score,
    kid,
    mirror,
    r_precision,
    r_precision_classes,
)
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.models import build
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.report import figures, page, sheets
from mirrorgan_jax.training import stages
from mirrorgan_jax.workdir import files, layout, provenance

# What is measured: modules with a `TITLE` and `measure(observed)`, which returns a
# `Result`, or {network: `Result` or `Refused`} where it looks through feature networks,
# or None where the data have nothing to measure.
METRICS = {
    "r_precision": r_precision,
    "r_precision_classes": r_precision_classes,
    "inception_score": inception_score,
    "fid": fid,
    "kid": kid,
    "attributes": attributes,
    "attribute_places": attribute_places,
    "mirror": mirror,
    "attribute_words": attribute_words,
}


def run(config, dataset, mesh, workdir, *, captioners, classifier):
    """Evaluates the moving average of the run's generator.

    Args:
      config: resolved configuration.
      dataset: the prepared data set.
      mesh: device mesh.
      workdir: the run's folder with its finished stages.
      captioners: {name: (module, variables)}; they judge where the truth is known,
        and "STREAM" redescribes for the report.
      classifier: `metrics.classifier.Classifier`, or None where no truth is known.

    Returns:
      The `metrics.result.Evaluation`, which `report/evaluation.json` holds too.
    """
    stem = layout.load_stem(config, workdir, mesh)
    step, ema = layout.load_generator(config, workdir, mesh)
    evaluator = quick.make_evaluator(
        config,
        dataset,
        mesh,
        split=dataset.test,
        count=config.eval.num_images,
        generator=build.generator(config),
        repeats=config.eval.repeats,
    )
    with jax.set_mesh(mesh):
        seen = observing.observe(
            config, dataset, evaluator, ema, stem, captioners, classifier
        )
        grid = _samples(config, evaluator, ema, stem, workdir)
    p = evaluator.protocol
    evaluation = results.Evaluation(
        step=step,
        protocol={
            "test images": p.num_images,
            "generated": f"{len(p)}, each from another caption",
            "generator": "moving average",
            "checkpoint": config.weights.checkpoint,
            "chosen on": dataset.choice,
            "seed": config.seed,
        },
        metrics=measured(seen),
        samples=str(grid or ""),
    )
    if hosts.is_first():
        path = epath.Path(workdir) / "report" / "evaluation.json"
        files.write_text(path, results.dumps(evaluation))
    # The numbers are safe on disk before anything is drawn, by all processes together.
    _, stream = captioners.get("STREAM", (None, None))
    networks = {"generator": ema, "text_encoder": stem["text"]}
    if stream is not None:
        networks["captioner"] = stream
    model = Model(config, dataset.vocab, networks, workdir, step=step, mesh=mesh)
    _pictures(evaluator, model, workdir)
    if hosts.is_first():
        homes = {s: layout.home(config, workdir, s) for s in stages.STAGES}
        provenance.write(workdir, homes)
        hosts.say(f"{table(evaluation)}\nreport: {page.write(workdir, config)}")
    return evaluation


def measured(seen):
    """{name: `Result`, or `Refused` where its protocol cannot hold} of all measures.

    Of several feature networks the one that a measure is published with has the
    measure's own name, the others have theirs behind it: "fid", "fid_inception_v3".

    Args:
      seen: `metrics.observed.Observed`.
    """
    found = {}
    for name, metric in METRICS.items():
        try:
            result = metric.measure(seen)
        except ValueError as error:
            result = results.Refused(metric.TITLE, str(error))
        if isinstance(result, dict):
            first = next(iter(result))
            for network, one in result.items():
                found[name if network == first else f"{name}_{network}"] = one
        elif result is not None:
            found[name] = result
    return found


def _samples(config, evaluator, ema, stem, workdir):
    """Path of the final sample grid, or None."""
    rows = protocol.sample_rows(evaluator.protocol.num_images, config.eval.samples)
    if not len(rows):
        return None
    grid = quick.sample_grid(evaluator, ema, stem["text"], rows)
    return quick.write_sample(workdir, "final", grid)


# Captions whose attention, and whose redescription, the report shows.
_ATTENTION, _REDESCRIBED = 2, 8


def _pictures(evaluator, model, workdir):
    """Writes attention and redescriptions of some test captions for the report."""
    split, p = evaluator.split, evaluator.protocol
    rows = protocol.sample_rows(p.num_images, _REDESCRIBED)
    texts = [split.texts[p.indices[row]][p.captions[row]] for row in rows]
    pictures = {"stages": figures.stages(model, texts[:_ATTENTION])}
    if model.has_stream:
        real = evaluator.real_images(rows, model.sizes[-1])
        pictures["redescription"] = figures.redescription(model, texts, real=real)
    for name, picture in pictures.items():
        if hosts.is_first():
            path = epath.Path(workdir) / "report" / f"{name}.png"
            sheets.write_png(path, picture)


def table(evaluation):
    """The evaluation as text that a person reads."""
    said = results.protocol_text(evaluation.protocol)
    lines = [f"Evaluation at step {evaluation.step}: {said}"]
    for found in evaluation.metrics.values():
        if isinstance(found, results.Refused):
            lines.append(f"{found.title}: not measured: {found.reason}")
        else:
            lines += _rows(found)
    if evaluation.samples:
        lines.append(f"samples: {evaluation.samples}")
    return "\n".join(lines)


def _rows(found):
    """Lines of a result."""
    columns = found.columns
    width = max(8, *(len(name) + 2 for name in columns))
    first = width + 8  # room for a deviation

    def line(title, cells):
        rest = "".join(f"{text:>{width}}" for text in cells[1:])
        return f"{title:46}{cells[0]:>{first}}{rest}"

    lines = [line(", ".join(filter(None, (found.title, found.unit))), columns)]
    for source, row in found.rows.items():
        shown = [results.cell(row, name, columns) for name in columns]
        lines.append(line(f"  {source}", shown))
    for names, reason in found.refusals():
        lines.append(f"  {names}: not measured: {reason}")
    if found.spread:
        lines.append(f"  ± is the deviation over {found.spread}")
    return lines
