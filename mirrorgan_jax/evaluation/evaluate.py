"""The final evaluation of a run: measures, pictures, a table and a report.

Every number stands beside that of the real test images, which bounds it, and beside
chance where there is one. Where captions tell the truth about what was drawn, a
classifier and a captioner that the generator never saw judge it as well.
"""

import jax
from etils import epath

from mirrorgan_jax import progress
from mirrorgan_jax.evaluation import probes, protocol, quick
from mirrorgan_jax.inference.model import Model
from mirrorgan_jax.metrics import (
    attributes,
    features,
    fid,
    inception_score,
    kid,
    mirror,
    observed,
    r_precision,
    r_precision_classes,
)
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.models import build
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.report import figures, page, sheets
from mirrorgan_jax.training import stages, stream_step
from mirrorgan_jax.workdir import files, layout, provenance

# What is measured: modules with a `TITLE` and `measure(observed)`, which returns a
# `Result`, or None where the data have nothing to measure.
METRICS = {
    "r_precision": r_precision,
    "r_precision_classes": r_precision_classes,
    "inception_score": inception_score,
    "fid": fid,
    "kid": kid,
    "attributes": attributes,
    "mirror": mirror,
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
        seen = observe(config, dataset, evaluator, ema, stem, captioners, classifier)
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
    words = list(dataset.vocab.words)
    model = Model(
        config, words, workdir,
        step=step, stem=stem["text"], generator=ema, stream=stream, mesh=mesh,
    )  # fmt: skip
    _pictures(evaluator, model, workdir)
    if hosts.is_first():
        homes = {s: layout.home(config, workdir, s) for s in stages.STAGES}
        provenance.write(workdir, homes)
        hosts.say(f"{table(evaluation)}\nreport: {page.write(workdir, config)}")
    return evaluation


def measured(seen):
    """{name: `Result`, or `Refused` where its protocol cannot hold} of all measures.

    Args:
      seen: `metrics.observed.Observed`.
    """
    found = {}
    for name, metric in METRICS.items():
        try:
            result = metric.measure(seen)
        except ValueError as error:
            result = results.Refused(metric.TITLE, str(error))
        if result is not None:
            found[name] = result
    return found


def observe(config, dataset, evaluator, ema, stem, captioners, classifier):
    """The `metrics.observed.Observed` of a generator.

    Args:
      config, dataset, captioners, classifier: as `run` takes them.
      evaluator: with a generator.
      ema: variables of the generator.
      stem: {"text", "image"}, those of STEM.
    """
    p, truth = evaluator.protocol, dataset.truth
    captioners = captioners if truth else {}
    network = _feature_network(config, classifier)
    wanted = _probes(config, evaluator, stem, network, classifier, captioners)
    sides = _probed(evaluator, ema, stem, wanted)
    entropies = {
        name: quick.cross_entropies(
            evaluator,
            stream_step.make_gate(module),
            variables,
            image_size=config.stream.image_size,
            num_words=config.text.num_words,
        )
        for name, (module, variables) in captioners.items()
    }
    classes = evaluator.split.class_ids[p.indices]
    return observed.Observed(
        data=config.data.name,
        seed=config.seed,
        settings=config.eval.to_dict(),
        class_ids=classes,
        tokens=p.tokens,
        length=p.length,
        pools=p.pools,
        class_pools=p.class_pools,
        mismatched=protocol.mismatched_rows(classes),
        codes=sides["code"],
        sentences=evaluator.sentence_codes(stem["text"]),
        judge={
            "judge": f"DAMSM of this run ({config.stem.encoder})",
            "weights": features.digest(stem)[:12],
            "words of a caption": f"at most {config.text.eval_words}",
        },
        network=network,
        quality=sides.get("quality"),
        crop=config.stream.image_size,
        **_attributes(config, evaluator, truth, classifier, sides),
        redescriptions={name: sides[name] for name in captioners},
        cross_entropies=entropies,
        truth=truth,
        vocab=dataset.vocab,
    )


def _feature_network(config, classifier):
    """What Inception Score, FID and KID look through, or why there is nothing."""
    if classifier is not None and not config.eval.inception:
        return _reader(config, classifier)
    try:
        return features.load(config.eval.inception_kind, config.eval.inception)
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _reader(config, classifier):
    """The classifier as a feature network."""
    return features.from_classifier(classifier, f"{config.data.name} classifier")


def _probes(config, evaluator, stem, network, classifier, captioners):
    """{image size of the real crops: {name: probe}}."""
    # Real images in full, whatever a cascade that ends earlier makes: one reference.
    size = config.stream.image_size
    found = {config.stem.image_size: {"code": evaluator.code_probe(stem["image"])}}
    if not isinstance(network, str):
        own = config.data.image_size if classifier is not None else None
        found.setdefault(size, {})["quality"] = probes.features(network, own)
    if classifier is not None and config.eval.inception:
        own = config.data.image_size
        reader = probes.features(_reader(config, classifier), own)
        found.setdefault(own, {})["attributes"] = reader
    for name, (module, variables) in captioners.items():
        judge = probes.captioner(module, variables, config.text.eval_words)
        found.setdefault(size, {})[name] = judge
    return found


def _probed(evaluator, ema, stem, wanted):
    """{name: `Sides`} of what all probes make of generated and of real images."""
    p = evaluator.protocol
    total = len(p) + len(wanted) * p.num_images
    with progress.Progress(
        "evaluate", total, unit="image", enabled=hosts.is_first()
    ) as bar:
        every = {
            name: probe for some in wanted.values() for name, probe in some.items()
        }
        generated = evaluator.probe_generated(every, ema, stem["text"], bar)
        real = {}
        for size, some in wanted.items():
            real |= evaluator.probe_real(some, size, bar)
    return {name: {"generated": generated[name], "real": real[name]} for name in every}


def _attributes(config, evaluator, truth, classifier, sides):
    """What `Observed` holds of attributes, by name: heads have their own order."""
    if classifier is None:
        return {"attributes": None, "asked": {}}
    # The classifier is what quality was seen through, unless another one is given.
    seen = sides["attributes" if config.eval.inception else "quality"]
    names = [name for name, _ in classifier.heads]
    drawn = evaluator.split.attributes[evaluator.protocol.indices]
    columns = dict(zip(truth.values, drawn.T, strict=True))
    return {
        "attributes": {
            images: dict(zip(names, values["log_probs"], strict=True))
            for images, values in seen.items()
        },
        "asked": {name: columns[name] for name in truth.parts},
    }


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
            continue
        columns = found.columns
        width = max(8, *(len(name) + 2 for name in columns))
        first = width + 8  # room for a deviation
        title = ", ".join(filter(None, (found.title, found.unit)))
        lines.append(
            f"{title:46}{columns[0]:>{first}}"
            + "".join(f"{name:>{width}}" for name in columns[1:])
        )
        for source, row in found.rows.items():
            shown = [results.cell(row, name, columns) for name in columns]
            lines.append(
                f"  {str(source):44}{shown[0]:>{first}}"
                + "".join(f"{text:>{width}}" for text in shown[1:])
            )
    if evaluation.samples:
        lines.append(f"samples: {evaluation.samples}")
    return "\n".join(lines)
