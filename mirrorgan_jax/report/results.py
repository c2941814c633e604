"""Rows of the paper's tables 1 to 3 and what our own runs found for them."""

import dataclasses
import math
import statistics

from mirrorgan_jax.metrics.result import Evaluation, Refused, Source
from mirrorgan_jax.report import paper as published
from mirrorgan_jax.settings import variants


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of an evaluation.

    Attributes:
      key: name of the column in the CSV.
      title: name of the column in Markdown, with its unit.
      metric: name of the metric in an evaluation.
      column: of its rows; "" is the mean over all its columns.
      judge: whose row it is, where there are rows of several captioners.
      drawn: measured on drawn birds alone; without any value there is no column.
    """

    key: str
    title: str
    metric: str
    column: str = ""
    judge: str = ""
    drawn: bool = False


MEASURES = (
    Measure("inception_score", "Inception Score", "inception_score", "mean"),
    Measure("fid", "FID", "fid", "value"),
    Measure("kid", "KID x 1000", "kid", "mean"),
    Measure("top1", "top-1 %", "r_precision", "top1"),
    Measure("top2", "top-2 %", "r_precision", "top2"),
    Measure("top3", "top-3 %", "r_precision", "top3"),
    Measure("attributes", "asked attributes %", "attributes", drawn=True),
    Measure(
        "elsewhere", "colour on another part %", "attribute_places", "another part",
        drawn=True,
    ),
    *(
        Measure(f"{key}_{short}", f"{title} % ({name})", metric, column, judge, True)
        for key, title, metric, column in (
            ("mirror", "mirror", "mirror", "survived"),
            ("words", "words", "attribute_words", "words"),
        )
        for short, name, judge in (
            ("stream", "STREAM", "STREAM"),
            ("heldout", "held-out", "held-out captioner"),
        )
    ),
)  # fmt: skip
BY_KEY = {measure.key: measure for measure in MEASURES}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
      title: as the table prints it.
      variant: name in `variants.VARIANTS`; "" where the paper's values are all.
      paper: {data set: {measure: (value, deviation or None)}}.
    """

    title: str
    variant: str
    paper: dict


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper: its title, the keys of its measures, its rows."""

    title: str
    measures: tuple[str, ...]
    rows: tuple[Row, ...]


def _own(*names):
    """Rows without a value of the paper."""
    return tuple(Row(variants.VARIANTS[name].title, name, {}) for name in names)


def _table_1():
    ours = {
        "StackGAN++": "stackgan_pp", "AttnGAN": "attngan", "MirrorGAN": "mirrorgan",
    }  # fmt: skip
    rows = tuple(
        Row(title, ours.get(title, ""), {d: {"inception_score": v[d]} for d in v})
        for title, v in published.INCEPTION_SCORE.items()
    )
    return Table(
        "Table 1: Inception Score",
        ("inception_score",),
        rows + _own("two_stages", "one_stage"),
    )


def _table_2():
    keys = ("top1", "top2", "top3")
    rows = tuple(
        Row(
            title,
            title.lower(),
            {
                d: {k: (x, None) for k, x in zip(keys, v[d], strict=True)}
                for d in published.DATASETS
            },
        )
        for title, v in published.R_PRECISION.items()
    )
    return Table("Table 2: R-precision", keys, rows + _own("two_stages", "one_stage"))


def _table_3():
    rows = []
    for (attention, weight), values in published.ABLATION.items():
        title = "MirrorGAN" if attention else "MirrorGAN w/o GA"
        variant = "lambda" if attention else "no_global_lambda"
        paper = {
            d: {"inception_score": score, "top1": (top1, None)}
            for d, (score, top1) in values.items()
        }
        rows.append(Row(f"{title}, lambda {weight}", f"{variant}_{weight}", paper))
    return Table(
        "Table 3: weight of STREAM and global attention (GA)",
        ("inception_score", "top1"),
        tuple(rows),
    )


TABLES = {1: _table_1(), 2: _table_2(), 3: _table_3()}


def run_name(variant):
    """Name of the run that a variant shares with all variants of its settings."""
    changes = variants.VARIANTS[variant].changes
    return next(n for n, v in variants.VARIANTS.items() if v.changes == changes)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one run: its evaluation, or a note why there is none."""

    evaluation: Evaluation | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean over `count` seeds, standard deviation (n - 1) from two seeds on."""

    mean: float
    deviation: float | None
    count: int


@dataclasses.dataclass(frozen=True)
class Line:
    """A row with its runs.

    Attributes:
      row: the `Row`.
      outcomes: {seed: `Outcome`}.
      images: "generated" or "real", that were measured.
    """

    row: Row
    outcomes: dict
    images: str = "generated"

    def evaluations(self):
        """{seed: evaluation} of the seeds that have one, in order."""
        return {
            seed: outcome.evaluation
            for seed, outcome in sorted(self.outcomes.items())
            if outcome.evaluation is not None
        }

    def spread(self, measure):
        """(`Spread` or None, reasons why seeds have no value) of a measure."""
        found = [read(e, measure, self.images) for e in self.evaluations().values()]
        values = [value for value, _ in found if value is not None]
        reasons = list(dict.fromkeys(reason for _, reason in found if reason))
        return aggregate(values), reasons


def read(evaluation, measure, images="generated"):
    """(number, "") of an evaluation, or (None, reason); the reason is "" where real
    images are what a measure compares with, so that they have no row.

    Args:
      evaluation: the `Evaluation`.
      measure: the `Measure`.
      images: "generated" or "real".
    """
    found = evaluation.metrics.get(measure.metric)
    if found is None:
        return None, f"the evaluation has no {measure.metric}"
    if isinstance(found, Refused):
        return None, found.reason
    source = Source(images, measure.judge)
    if source in found.refused:
        return None, found.refused[source]
    if source not in found.rows:
        absent = f"{measure.metric} has no row of {source}"
        return None, "" if images == "real" else absent
    columns = [measure.column] if measure.column else found.columns
    values = [found.rows[source].values.get(column) for column in columns]
    if any(value is None or not math.isfinite(value) for value in values):
        return None, f"{measure.metric} of {source} is not finite"
    return statistics.fmean(values), ""


def network(evaluation, measure):
    """The feature network that a measure looked through, "" where there is none."""
    found = evaluation.metrics.get(measure.metric)
    protocol = {} if found is None or isinstance(found, Refused) else found.protocol
    return protocol.get("network", "")


def aggregate(values):
    """`Spread` of some numbers, None without any."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def lines(table, results):
    """The table's rows with their runs, and the real test images below.

    Args:
      table: the `Table`.
      results: {run: {seed: `Outcome`}}, of `run_name`.
    """
    found = [
        Line(row, results.get(run_name(row.variant), {}) if row.variant else {})
        for row in table.rows
    ]
    # All runs of a seed measure the same real images, at the size of their last stage:
    # the first row counts, since shorter cascades stand last.
    real = {}
    for line in found:
        for seed, evaluation in line.evaluations().items():
            real.setdefault(seed, Outcome(evaluation))
    if any(
        read(o.evaluation, m, "real")[0] is not None
        for o in real.values()
        for m in MEASURES
    ):
        found.append(Line(Row("real test images", "", {}), real, "real"))
    return found
