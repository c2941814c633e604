"""The paper's tables with our own numbers beside, as Markdown and as CSV."""

import csv
import io
import math

from mirrorgan_jax.metrics import result
from mirrorgan_jax.metrics.result import Result
from mirrorgan_jax.report import paper, results


class _Footnotes:
    """Numbers of the reasons that cells point to."""

    def __init__(self):
        self.reasons = []

    def mark(self, reasons):
        for reason in reasons:
            if reason not in self.reasons:
                self.reasons.append(reason)
        return "".join(f" [{self.reasons.index(reason) + 1}]" for reason in reasons)


def _ours(line, measure, footnotes):
    """Cell of our own number."""
    if not line.outcomes and not line.row.variant:
        return "–"
    spread, reasons = line.spread(measure)
    if line.images == "real" and spread is None and not reasons:
        return "–"  # FID and KID compare with the real images themselves
    total = len(line.evaluations())
    marks = footnotes.mark(reasons)
    if spread is None:
        return f"not measured{marks}"
    part = "" if spread.count == total else f" ({spread.count} of {total})"
    return result.with_deviation(spread.mean, spread.deviation) + part + marks


def _seeds(line):
    """Cell that says which seeds a row has."""
    if not line.outcomes:
        return "none" if line.row.variant else "–"
    notes = [
        f"seed {s} {o.note}" for s, o in sorted(line.outcomes.items()) if o.note
    ]  # fmt: skip
    return "; ".join([str(len(line.evaluations())), *notes])


def grid(header, rows):
    """A Markdown table with padded columns; the first one is left-aligned."""
    cells = [[str(c).replace("|", "\\|") for c in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [row[0].ljust(widths[0])]
        + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        for row in cells
    ]
    padded.insert(1, rule)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def _paper(row, dataset, key):
    value = row.paper.get(dataset, {}).get(key)
    return "–" if value is None else result.with_deviation(*value)


def _title(measure, found):
    """Title of a measure with the feature networks that it looked through."""
    named = [
        results.network(e, measure) for x in found for e in x.evaluations().values()
    ]
    networks = ", ".join(filter(None, dict.fromkeys(named)))
    return f"{measure.title} ({networks})" if networks else measure.title


def beside_paper(table, found, footnotes):
    """The paper's columns and ours, as Markdown."""
    measures = [results.BY_KEY[key] for key in table.measures]
    header = ["model"]
    for measure in measures:
        header += [f"{measure.title} paper, {d.upper()}" for d in paper.DATASETS]
        header += [f"{_title(measure, found)} ours"]
    rows = []
    for line in found:
        cells = [line.row.title]
        for measure in measures:
            cells += [_paper(line.row, d, measure.key) for d in paper.DATASETS]
            cells += [_ours(line, measure, footnotes)]
        rows.append([*cells, _seeds(line)])
    return grid([*header, "seeds"], rows)


def all_measures(found, footnotes):
    """Every measure of our own runs, as Markdown."""
    measured = {n for x in found for e in x.evaluations().values() for n in e.metrics}
    measures = [m for m in results.MEASURES if not m.drawn or m.metric in measured]
    rows = [
        [line.row.title, *(_ours(line, measure, footnotes) for measure in measures)]
        for line in found
        if line.row.variant or line.outcomes
    ]
    return grid(["model", *(_title(m, found) for m in measures)], rows)


def standard_error(first, second):
    """Pooled standard error of the difference of two `results.Spread`, or None.

    s sqrt(1/n1 + 1/n2), where s^2 is the mean of both variances, weighted with n - 1.
    """
    freedom = first.count + second.count - 2
    if freedom < 1:
        return None
    variance = sum((s.count - 1) * (s.deviation or 0) ** 2 for s in (first, second))
    return math.sqrt(variance / freedom * (1 / first.count + 1 / second.count))


def verdict(first, second):
    """Whether two rows stand in the paper's order.

    Args:
      first: `results.Spread` or None of the row that the paper has above.
      second: of the one that it has below.
    """
    if first is None or second is None:
        return "not measured"
    difference, error = first.mean - second.mean, standard_error(first, second)
    if error is not None and abs(difference) < error:
        return "less than one standard error"
    if difference == 0:
        return "equal"
    return "agree" if difference > 0 else "disagree"


def _ranking(titles, spread):
    """Ordered titles, joined by what their means are to each other."""
    text = "".join(titles[:1])
    for above, below in zip(titles, titles[1:], strict=False):
        sign = "=" if spread[above].mean == spread[below].mean else ">"
        text += f" {sign} {below}"
    return text


def order(table, found, dataset):
    """Section on whether our means order the rows as the paper's do, as Markdown.

    Args:
      table: `results.Table`.
      found: its `results.lines`.
      dataset: of `published.DATASETS`, whose order counts.
    """
    parts = ["## Does the paper's order hold?"]
    for measure in (results.BY_KEY[key] for key in table.measures):
        rows = [
            line for line in found if measure.key in line.row.paper.get(dataset, {})
        ]
        value = {x.row.title: x.row.paper[dataset][measure.key][0] for x in rows}
        spread = {x.row.title: x.spread(measure)[0] for x in rows}
        ranked = sorted(value, key=value.get, reverse=True)
        measured = [title for title in ranked if spread[title]]
        own = sorted(measured, key=lambda title: spread[title].mean, reverse=True)
        pairs, verdicts = [], []
        for above, below in zip(ranked, ranked[1:], strict=False):
            first, second = spread[above], spread[below]
            verdicts.append(verdict(first, second))
            ours = error = None
            if first and second:
                ours = first.mean - second.mean
                error = standard_error(first, second)
            pairs.append(
                (
                    f"{above} over {below}",
                    result.number(value[above] - value[below], sign=True),
                    result.number(ours, sign=True),
                    result.number(error),
                    verdicts[-1],
                )
            )
        counts = {text: verdicts.count(text) for text in dict.fromkeys(verdicts)}
        parts += [
            f"### {measure.title}",
            f"- paper, {dataset.upper()}: {' > '.join(ranked)}\n"
            f"- ours: {_ranking(own, spread) or 'not measured'}",
            grid(
                [
                    "pair",
                    "paper",
                    "ours",
                    "standard error over seeds",
                    "ours and paper",
                ],
                pairs,
            ),
            f"Of {len(verdicts)} adjacent pairs: "
            + ", ".join(f"{count} {text}" for text, count in counts.items())
            + ".",
        ]
    return "\n\n".join(parts)


def _protocols(found):
    """{title of a protocol: [(row, seed, protocol)]} of all generated images."""
    every = {}
    used = {measure.metric for measure in results.MEASURES}
    for line in found:
        if line.images != "generated":
            continue
        for seed, evaluation in line.evaluations().items():
            where = (line.row.title, seed)
            every.setdefault("images", []).append((*where, evaluation.protocol))
            for name, metric in evaluation.metrics.items():
                if name in used and isinstance(metric, Result):
                    item = (*where, metric.protocol)
                    every.setdefault(metric.title, []).append(item)
    return every


def protocols(found):
    """The protocol of every number once, and where rows differ from it."""
    parts = []
    for title, items in _protocols(found).items():
        row, seed, protocol = items[0]
        shown = [f"- {title} ({row}, seed {seed}): {result.protocol_text(protocol)}"]
        firsts = {}
        for name, number, other in items:
            # Rows of one seed share STEM and STREAM: there nothing may differ.
            first, ignored = firsts.setdefault(number, other), ()
            if other is first:
                first, ignored = protocol, result.OF_THE_SEED
            if differs := result.difference(other, first, ignored=ignored):
                shown.append(f"  - {name}, seed {number}: {differs}")
        parts.append("\n".join(shown))
    return "\n".join(parts)


def markdown(number, outcomes, dataset):
    """The whole file of a table.

    Args:
      number: of the table, 1 to 3.
      outcomes: {run: {seed: `results.Outcome`}}.
      dataset: that our runs are of.
    """
    table, footnotes = results.TABLES[number], _Footnotes()
    found = results.lines(table, outcomes)
    compared = dataset if dataset in paper.DATASETS else paper.DATASETS[0]
    note = f"Our runs are of {dataset}."
    if dataset not in paper.DATASETS:
        note += (
            " The paper's columns are of other data: their values are no target here,"
            " the order of their rows may be."
        )
    note += (
        " Ours: mean ± standard deviation (n - 1) over seeds. The paper's ± is over"
        " splits of one run's images. top-1 to top-3 are R-precision."
    )
    choosers = dict.fromkeys(
        evaluation.protocol.get("chosen on", "images that are not named")
        for line in found
        if line.images == "generated"
        for evaluation in line.evaluations().values()
    )
    if choosers:
        note += f" Checkpoints and settings were chosen on {' and '.join(choosers)}."
    parts = [
        f"# {table.title}", note, beside_paper(table, found, footnotes),
        "## All measures", all_measures(found, footnotes),
    ]  # fmt: skip
    if footnotes.reasons:
        numbered = enumerate(footnotes.reasons, 1)
        parts.append("\n".join(f"- [{i}] {reason}" for i, reason in numbered))
    if number == 3:
        parts.append(order(table, found, compared))
    protocol = protocols(found)
    if protocol:
        parts += ["## Protocols", protocol]
    return "\n\n".join(parts) + "\n"


def csv_text(number, outcomes):
    """A table as CSV: a line for each row and seed, aggregates, the paper's values.

    `statistic` is value (of one seed), mean, standard deviation or count (of seeds),
    or paper and paper deviation, whose data set is in `source`.

    Args:
      number, outcomes: as of `markdown`.
    """
    out = io.StringIO()
    header = ("table", "row", "run", "source", "seed", "statistic", "note")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*header, *results.BY_KEY])
    for line in results.lines(results.TABLES[number], outcomes):
        run = results.run_name(line.row.variant) if line.row.variant else ""
        front = [number, line.row.title, run]
        for dataset, values in line.row.paper.items():
            for index, statistic in enumerate(("paper", "paper deviation")):
                numbers = [values.get(k, (None, None))[index] for k in results.BY_KEY]
                if any(x is not None for x in numbers):
                    writer.writerow([*front, dataset, "", statistic, "", *numbers])
        for seed, outcome in sorted(line.outcomes.items()):
            numbers = [None] * len(results.MEASURES)
            if outcome.evaluation is not None:
                numbers = [
                    results.read(outcome.evaluation, measure, line.images)[0]
                    for measure in results.MEASURES
                ]
            writer.writerow(
                [*front, line.images, seed, "value", outcome.note, *numbers]
            )
        spreads = [line.spread(measure)[0] for measure in results.MEASURES]
        if any(spreads):
            for statistic, field in (
                ("mean", "mean"), ("standard deviation", "deviation"),
                ("count", "count"),
            ):  # fmt: skip
                numbers = [getattr(spread, field, None) for spread in spreads]
                writer.writerow([*front, line.images, "", statistic, "", *numbers])
    return out.getvalue()
