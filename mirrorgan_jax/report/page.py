"""The report of a run: one HTML file that opens from disk, without a network.

It shows what the run's folder holds; what is not there is said in a sentence.
"""

import base64
import datetime
import io
import math
import statistics

import jinja2
from etils import epath

from mirrorgan_jax.metrics import result
from mirrorgan_jax.metrics.result import Refused, Result, Row
from mirrorgan_jax.report import charts
from mirrorgan_jax.report import paper as published
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import files, layout, metric_log, provenance

_GRIDS = 8  # sample grids of the training that are shown
PICTURE_BYTES, _GRID_BYTES = 1_200_000, 400_000  # of one picture in the page
# Widths in pixels and qualities that a picture is tried with until it is small.
_SIZES = ((2400, 88), (1600, 84), (1200, 80), (800, 75), (500, 70))


def write(workdir, config=None):
    """Writes `report/index.html` of a run.

    Args:
      workdir: the run's folder, local or a bucket.
      config: the run's configuration; None reads it beside its checkpoints, which on
        several processes all of them must do.

    Returns:
      The page's path.

    Raises:
      FileNotFoundError: there is no such folder.
    """
    workdir = epath.Path(workdir)
    if not workdir.exists():
        raise FileNotFoundError(f"workdir = {workdir}: there is no such folder")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mirrorgan_jax.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(_contents(workdir, config))
    path = workdir / "report" / "index.html"
    files.write_text(path, page)
    return path


def _contents(workdir, config):
    """What the template shows."""
    folder = workdir / "report"
    config = config or saved_config(workdir)
    dataset = config.data.name if config is not None else None
    evaluation, missing = _evaluation(folder / "evaluation.json")
    run = provenance.read(workdir)
    rows = metric_log.read_metrics(workdir)
    grids = _grids(workdir / "samples")
    metrics = evaluation.metrics if evaluation else {}
    return {
        "title": workdir.name,
        "facts": _facts(config, evaluation, rows),
        "protocol": result.protocol_text(evaluation.protocol) if evaluation else "",
        "missing": missing,
        "headlines": [
            _headline(key, found, dataset)
            for key, found in metrics.items()
            if isinstance(found, Result)
        ],
        "final": _picture(grids[-1][1], PICTURE_BYTES) if grids else None,
        "stages": _picture(folder / "stages.png", PICTURE_BYTES),
        "redescription": _picture(folder / "redescription.png", PICTURE_BYTES),
        "tables": [_table(key, found, dataset) for key, found in metrics.items()],
        "curves": charts.training_charts(rows),
        "timeline": _timeline(grids),
        "times": _times(_dict(run, "stages"), rows),
        "machine": [*filter(None, (_dict(run, "hardware"), _dict(run, "versions")))],
        "settings": _settings(config),
        "preset": config.preset if config is not None else None,
    }


def _dict(values, key):
    """The dictionary under a key; empty where something else stands there."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _evaluation(path):
    """(evaluation or None, why there are no numbers)."""
    try:
        found = result.read(path)
    except ValueError as error:
        return None, str(error)
    if found is None:
        return None, "this run has no report/evaluation.json"
    return found, "no measure could be taken"


def saved_config(workdir):
    """Configuration of the latest stage that has a checkpoint, or None."""
    for stage in reversed(configs.STAGES):
        if layout.is_saved(workdir, stage):
            return layout.read_settings(workdir, stage)[0]
    return None


def _facts(config, evaluation, rows):
    """What stands below the title."""
    facts = []
    if config is not None:
        facts += [("preset", config.preset), ("data set", config.data.name)]
        facts += [("seed", config.seed)]
        # Checkpoints, and the curves and samples that people choose by.
        chooser = "validation" if config.data.validation else "test"
        facts += [("chosen on", f"{chooser} images")]
    if evaluation:
        facts.append(("evaluated at step", f"{evaluation.step:,}"))
    elif rows:
        facts.append(("trained to", f"{rows[-1]['stage']} step {rows[-1]['step']:,}"))
    now = datetime.datetime.now(datetime.UTC)
    return [*facts, ("written", f"{now:%Y-%m-%d %H:%M} UTC")]


def _paper_row(key, dataset, columns):
    """The paper's values as a row, None where it has none for the data set."""
    values = published.MIRRORGAN.get(dataset, {}).get(key, ())
    if not values:
        return None
    if key == "inception_score":
        return Row({columns[0]: values[0]}, values[1])
    return Row(dict(zip(columns, values, strict=False)))


def _table(key, found, dataset):
    """A metric's table, or why it was refused."""
    if isinstance(found, Refused):
        return {"title": found.title, "refused": found.reason}
    columns, rows = found.columns, dict(found.rows)
    if paper := _paper_row(key, dataset, columns):
        rows["MirrorGAN, paper"] = paper
    return {
        "title": found.title,
        "unit": found.unit,
        "better": found.better,
        "protocol": result.protocol_text(found.protocol),
        "columns": columns,
        "rows": [
            (str(source), [result.cell(row, column, columns) for column in columns])
            for source, row in rows.items()
        ],
        "spread": found.spread,
        "refusals": found.refusals(),
    }


def _of(found, images):
    """(judge, row) of some images; of several the last judge, which is the one
    furthest from training."""
    rows = [(s.judge, row) for s, row in found.rows.items() if s.images == images]
    return rows[-1] if rows else ("", None)


def _headline(key, found, dataset):
    """A metric's first number of generated images beside real ones and the paper's."""
    columns = found.columns
    # The parts of a bird are equals: their mean stands for them.
    mean = key == "attributes"

    def shown(row):
        if not mean:
            return result.cell(row, columns[0], columns)
        return result.number(
            statistics.fmean(row.values.get(name, math.nan) for name in columns)
        )

    judge, generated = _of(found, "generated")
    _, real = _of(found, "real")
    paper = _paper_row(key, dataset, columns)
    known = any(key in values for values in published.MIRRORGAN.values())
    elsewhere = "other data" if known else "does not report it"
    name = f"mean of {len(columns)}" if mean else columns[0]
    return {
        "title": found.title,
        "detail": ", ".join(
            text for text in (name, judge) if text not in ("", "value", "mean")
        ),
        "value": shown(generated) if generated else "–",
        "unit": found.unit,
        "better": found.better,
        "spread": "" if mean else found.spread,
        "real": shown(real) if real else None,
        "paper": shown(paper) if paper else elsewhere,
    }


def _grids(folder):
    """[(label, path)] of the sample grids in the order of training, "final" last."""
    found = list(folder.glob("*.png")) if folder.exists() else []
    steps = sorted((p for p in found if p.stem.isdigit()), key=lambda p: int(p.stem))
    grids = [(f"step {int(path.stem):,}", path) for path in steps]
    return grids + [("final", path) for path in found if path.stem == "final"]


def _timeline(grids):
    """Pictures of some grids evenly spread over the training, the last always."""
    if len(grids) < 2:
        return []
    count = min(len(grids), _GRIDS)
    rows = sorted({round(i * (len(grids) - 1) / (count - 1)) for i in range(count)})
    shown = [(grids[i][0], _picture(grids[i][1], _GRID_BYTES)) for i in rows]
    return [(label, picture) for label, picture in shown if picture]


def _picture(path, limit):
    """{"uri", "width", "height"} of a picture of at most about `limit` bytes, or None.

    PNG as it is when small enough, WebP otherwise.
    """
    from PIL import Image

    if not path.exists():
        return None
    kind, data = "png", path.read_bytes()
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        image.load()
        if len(data) > limit:
            kind, data = "webp", _compressed(image.convert("RGB"), limit)
    # A broken picture, in Pillow's many words: the page says that there is none.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return {"uri": uri, "width": image.width, "height": image.height}


def _compressed(image, limit):
    """WebP bytes of an image, smaller and coarser until they fit."""
    data = b""
    for width, quality in _SIZES:
        shown = image
        if image.width > width:
            shown = image.resize((width, max(1, image.height * width // image.width)))
        encoded = io.BytesIO()
        shown.save(encoded, format="WEBP", quality=quality)
        data = encoded.getvalue()
        if len(data) <= limit:
            break
    return data


def _times(stages, rows):
    """Rows of the table of throughput: stage, steps, rates and wall time."""
    last = {row["stage"]: row["step"] for row in rows}
    table = []
    for stage in dict.fromkeys((*last, *stages)):
        found = _dict(stages, stage)
        pace, seconds = found.get("seconds_per_step"), found.get("seconds")
        clock = datetime.timedelta(seconds=round(seconds or 0))
        steps = f"{last[stage]:,}" if stage in last else "–"
        rate = result.number(1 / pace if pace else None)
        images = result.number(found.get("images_per_second"))
        wall = "–" if seconds is None else str(clock)
        table.append((stage, steps, rate, images, wall))
    return table


def _settings(config):
    """[{"key", "value", "default", "changed"}] of the whole configuration."""
    if config is None:
        return []
    default = configs.flat(configs.base_config(config.preset).to_dict())
    return [
        {
            "key": key,
            "value": repr(value),
            "default": repr(default[key]) if key in default else "no such key",
            "changed": key not in default or default[key] != value,
        }
        for key, value in configs.flat(config.to_dict()).items()
    ]
