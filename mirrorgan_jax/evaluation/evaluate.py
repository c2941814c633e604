"""The final evaluation of a run: measures, pictures, a table and a report.

Every number stands beside that of the real test images, which bounds it, and beside
chance where there is one. On toybirds, whose captions tell the truth about what was
drawn, a classifier and a captioner that the generator never saw judge it as well.
"""

import json

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import progress
from mirrorgan_jax.evaluation import evaluator as evaluators
from mirrorgan_jax.evaluation import measures, probes, protocol, redescriptions
from mirrorgan_jax.inference import model as api
from mirrorgan_jax.metrics import features
from mirrorgan_jax.models import build
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.report import figures, page, sheets
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import stages
from mirrorgan_jax.workdir import files, layout, provenance


def run(config, dataset, mesh, workdir, *, captioners, classifier):
    """Evaluates the moving average of the run's generator.

    Args:
      config: resolved configuration.
      dataset: the prepared data set.
      mesh: device mesh.
      workdir: the run's folder with its finished stages.
      captioners: {name: (module, variables)} of those that judge by redescription.
      classifier: `metrics.classifier.Classifier`, or None where no truth is known.

    Returns:
      The evaluation, which is also written to `report/evaluation.json`.
    """
    stem = layout.load_stem(config, workdir, mesh)
    step, ema = layout.load_generator(config, workdir, mesh)
    evaluator = stages.make_evaluator(
        config,
        dataset,
        mesh,
        count=config.eval.num_images,
        generator=build.generator(config),
        repeats=config.eval.repeats,
    )
    network = _feature_network(config, classifier)
    wanted = _probes(config, evaluator, stem, network, classifier, captioners)
    with jax.set_mesh(mesh):
        generated, real = _probed(config, evaluator, ema, stem, wanted)
        sentences = evaluator.sentence_codes(stem["text"])
        grid = _samples(config, evaluator, ema, stem, workdir)
        margins = {
            name: redescriptions.margin(evaluator, module, variables, config)
            for name, (module, variables) in captioners.items()
        }
    entries = measures.r_precisions(
        config, evaluator, generated["code"], real["code"], sentences,
        features.digest(stem)[:12],
    )  # fmt: skip
    entries |= measures.quality(
        config, network, generated.get("quality"), real.get("quality"),
        config.stream.image_size,
    )  # fmt: skip
    if classifier is not None:
        # The classifier is what quality was seen through, unless another one is given.
        own = "attributes" if config.eval.inception else "quality"
        entries["attributes"] = _attributes(
            config,
            evaluator,
            dataset.truth,
            generated[own]["log_probs"],
            real[own]["log_probs"],
        )
    if captioners:
        found = {
            name: {"generated": generated[name], "real": real[name]}
            for name in captioners
        }
        entries["mirror"] = redescriptions.entry(
            evaluator, dataset.truth, dataset.vocab, found, margins
        )
    return _published(config, workdir, step, evaluator, entries, grid)


def _published(config, workdir, step, evaluator, entries, grid):
    """Writes and prints what was found."""
    p = evaluator.protocol
    found = {
        "step": step,
        "protocol": (
            f"{p.num_images} test images, {len(p)} generated ones, each from another"
            f" caption, moving average of the generator, seed {config.seed}"
        ),
        "metrics": entries,
    }
    if grid is not None:
        found["samples"] = str(grid)
    folder = epath.Path(workdir) / "report"
    if hosts.is_first():
        files.write_text(
            folder / "evaluation.json",
            json.dumps(_without_nan(found), indent=2, allow_nan=False) + "\n",
        )
        # The numbers are safe on disk before anything is drawn.
        _pictures(evaluator, workdir)
        homes = {s: layout.home(config, workdir, s) for s in configs.STAGES}
        provenance.write(workdir, homes)
        hosts.say(f"{_table(found)}\nreport: {page.write(workdir)}")
    return found


def _without_nan(value):
    """The value with null for what is not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _feature_network(config, classifier):
    """What Inception Score, FID and KID look through, or why there is nothing."""
    if classifier is not None and not config.eval.inception:
        return features.from_classifier(classifier, f"{config.data.name} classifier")
    try:
        return features.load(config.eval.inception_kind, config.eval.inception)
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _probes(config, evaluator, stem, network, classifier, captioners):
    """{image size of the real crops: {name: probe}}."""
    # Real images in full, whatever a cascade that ends earlier makes: one reference.
    size = config.stream.image_size
    found = {config.stem.image_size: {"code": evaluator.code_probe(stem["image"])}}
    if not isinstance(network, str):
        own = config.data.image_size if classifier is not None else None
        found.setdefault(size, {})["quality"] = probes.features(network, own)
    if classifier is not None and config.eval.inception:
        reader = features.from_classifier(classifier, f"{config.data.name} classifier")
        probe = probes.features(reader, config.data.image_size)
        found.setdefault(config.data.image_size, {})["attributes"] = probe
    for name, (module, variables) in captioners.items():
        probe = probes.captioner(module, variables, config.text.eval_words)
        found.setdefault(config.stream.image_size, {})[name] = probe
    return found


def _probed(config, evaluator, ema, stem, wanted):
    """What all probes make of generated and of real images."""
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
    return generated, real


def _attributes(config, evaluator, truth, generated, real):
    columns = [list(truth.values).index(name) for name in truth.parts]
    p = evaluator.protocol
    return measures.attributes(
        truth.parts,
        generated,
        real,
        evaluator.split.attributes[p.indices][:, columns],
        f"{len(p)} generated and {p.num_images} real images of unseen species, read by"
        f" a classifier trained for {config.eval.classifier_steps} steps on"
        f" {config.eval.classifier_images} other drawn birds of random attributes;"
        " right is what was drawn where the caption was written, whether it speaks of"
        f" the part or not; seed {config.seed}",
    )


def _samples(config, evaluator, ema, stem, workdir):
    """Path of the final sample grid, or None."""
    rows = protocol.sample_rows(evaluator.protocol.num_images, config.eval.samples)
    if not len(rows):
        return None
    grid = evaluators.sample_grid(evaluator, ema, stem["text"], rows)
    return evaluators.write_sample(workdir, "final", grid)


# Captions whose attention, and whose redescription, the report shows.
_ATTENTION, _REDESCRIBED = 2, 8


def _pictures(evaluator, workdir):
    """Writes attention and redescriptions of some test captions for the report."""
    if jax.process_count() > 1:
        return  # one process alone cannot open a checkpoint that all of them restore
    model = api.Model.load(workdir)
    split, p = evaluator.split, evaluator.protocol
    rows = protocol.sample_rows(p.num_images, _REDESCRIBED)
    texts = [split.texts[p.indices[row]][p.captions[row]] for row in rows]
    folder = epath.Path(workdir) / "report"
    attention = figures.stages(model, texts[:_ATTENTION])
    sheets.write_png(folder / "stages.png", attention)
    if model.has_stream:
        real = evaluator.real_images(rows, configs.stage_sizes(model.config.gan)[-1])
        mirrored = figures.redescription(model, texts, real=real)
        sheets.write_png(folder / "redescription.png", mirrored)


def _table(found):
    """The evaluation as text that a person reads."""
    lines = [f"Evaluation at step {found['step']}: {found['protocol']}"]
    for entry in found["metrics"].values():
        if "refused" in entry:
            lines.append(f"{entry['title']}: not measured: {entry['refused']}")
            continue
        columns = entry["columns"]
        width = max(8, *(len(name) + 2 for name in columns))
        first = width + 7  # room for a deviation
        title = ", ".join(text for text in (entry["title"], entry["unit"]) if text)
        lines.append(
            f"{title:46}{columns[0]:>{first}}"
            + "".join(f"{name:>{width}}" for name in columns[1:])
        )
        for name, values in entry["rows"].items():
            shown = _number(values.get(columns[0]))
            if "deviation" in values:
                shown += f" +- {_number(values['deviation'])}"
            lines.append(
                f"  {name:44}{shown:>{first}}"
                + "".join(f"{_number(values.get(c)):>{width}}" for c in columns[1:])
            )
    if "samples" in found:
        lines.append(f"samples: {found['samples']}")
    return "\n".join(lines)


def _number(value):
    """Three digits and more; a dash where there is nothing."""
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
