"""What a measure found, on disk and as text: every number keeps its protocol."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from etils import epath

# Of `evaluation.json`; another form has another number.
FORMAT = 3
# What a protocol may say otherwise under another seed, and is the same measure still:
# the seed, what was trained under it, and which captions were taken.
OF_THE_SEED = ("seed", "weights", "cross entropies", "asked")


class Source(NamedTuple):
    """Where the numbers of a row come from.

    Attributes:
      images: that were measured: "generated", "real" and others.
      judge: whose eyes they were seen through, where there are several.
    """

    images: str
    judge: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, self))


@dataclasses.dataclass(frozen=True)
class Row:
    """Numbers of one source.

    Attributes:
      values: {column: number in the result's unit}, NaN where there is none.
      deviation: of the first column's number, or None; `Result.spread` says over what.
    """

    values: dict[str, float]
    deviation: float | None = None


@dataclasses.dataclass(frozen=True)
class Result:
    """What a measure found.

    Attributes:
      title: of the measure.
      unit: of its numbers, "" for none.
      better: "higher" or "lower".
      protocol: everything that the numbers depend on, {name: plain value}.
      columns: names of the numbers, the first one first of all.
      rows: {source: row} in the order in which they are shown.
      spread: what the deviation of its rows is over, as "10 folds"; "" where no row
        has one.
      refused: {source: why its row is not there}.
    """

    title: str
    unit: str
    better: str
    protocol: dict[str, Any]
    columns: tuple[str, ...]
    rows: dict[Source, Row]
    spread: str = ""
    refused: dict[Source, str] = dataclasses.field(default_factory=dict)

    def refusals(self) -> list[tuple[str, str]]:
        """[(names of rows, why they are not there)], rows of one reason together."""
        found = {}
        for source, reason in self.refused.items():
            found.setdefault(reason, []).append(str(source))
        return [("; ".join(names), reason) for reason, names in found.items()]


@dataclasses.dataclass(frozen=True)
class Refused:
    """A measure whose protocol cannot hold: its title and why."""

    title: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What the evaluation of a run found.

    Attributes:
      step: of the generator.
      protocol: of the images, as that of a result.
      metrics: {name of the measure: what it found}.
      samples: path of the sample grid, or "".
    """

    step: int
    protocol: dict[str, Any]
    metrics: dict[str, Result | Refused]
    samples: str = ""


class OutdatedError(ValueError):
    """An evaluation that an earlier version wrote."""


def number(value: float | None, *, sign: bool = False) -> str:
    """A number as a reader sees it; a dash where there is none.

    Two decimals; below 0.1 two significant digits, from 10,000 on four.

    Args:
      value: the number.
      sign: whether a plus is written too.
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}{_form(value)}}"


def _form(value):
    """Format of a finite number."""
    if abs(value) >= 10_000:
        return ".4g"
    # Rounded first: 0.0999 is 0.10.
    exponent = int(f"{value:.1e}".partition("e")[2]) if value else 0
    if exponent < -6:
        return ".1e"
    return f".{max(2, 1 - exponent)}f"


def with_deviation(value: float | None, deviation: float | None) -> str:
    """A number and, unless it is None, its deviation with as many decimals."""
    if deviation is None or value is None or not math.isfinite(value):
        return number(value)
    known = math.isfinite(deviation)
    return f"{number(value)} ± {f'{deviation:{_form(value)}}' if known else '–'}"


def cell(row: Row, column: str, columns: tuple[str, ...]) -> str:
    """A row's number in one of the columns; its deviation stands in the first."""
    deviation = row.deviation if column == columns[0] else None
    return with_deviation(row.values.get(column), deviation)


def protocol_text(protocol: Mapping[str, Any]) -> str:
    """A protocol as a person reads it."""
    return "; ".join(f"{name}: {value}" for name, value in protocol.items())


def difference(
    protocol: Mapping[str, Any], other: Mapping[str, Any], *, ignored=()
) -> str:
    """What a protocol says otherwise than another one; "" where they agree.

    Args:
      protocol, other: the two.
      ignored: names that do not count.
    """
    names = dict.fromkeys((*protocol, *other))
    return ", ".join(
        f"{name} {protocol.get(name, 'not said')} instead of"
        f" {other.get(name, 'not said')}"
        for name in names
        if name not in ignored and protocol.get(name) != other.get(name)
    )


def _written(value):
    """A number for JSON, which has none that are not finite."""
    return float(value) if math.isfinite(value) else None


def _read(value):
    return math.nan if value is None else float(value)


def _entry(found):
    """A result or a refusal as plain values."""
    if isinstance(found, Refused):
        return {"title": found.title, "refused": found.reason}
    rows = []
    for source, row in found.rows.items():
        values = {name: _written(value) for name, value in row.values.items()}
        rows.append({**source._asdict(), "values": values})
        if row.deviation is not None:
            rows[-1]["deviation"] = _written(row.deviation)
    refused = [{**source._asdict(), "reason": r} for source, r in found.refused.items()]
    fields = {field.name: getattr(found, field.name) for field in _FIELDS}
    return {**fields, "rows": rows, "refused rows": refused}


_FIELDS = [field for field in dataclasses.fields(Result) if field.name != "refused"]


def dumps(evaluation: Evaluation) -> str:
    """The text of `evaluation.json`."""
    found = {
        "format": FORMAT,
        "step": evaluation.step,
        "protocol": evaluation.protocol,
        "metrics": {name: _entry(x) for name, x in evaluation.metrics.items()},
    }
    if evaluation.samples:
        found["samples"] = evaluation.samples
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _parsed(name, entry):
    """A result or a refusal out of plain values; a refusal where they are of another
    form, so that one measure leaves the others readable."""
    try:
        if "refused" in entry:
            return Refused(str(entry["title"]), str(entry["refused"]))
        rows = {}
        for row in entry["rows"]:
            source = Source(str(row["images"]), str(row["judge"]))
            values = {key: _read(value) for key, value in row["values"].items()}
            deviation = _read(row["deviation"]) if "deviation" in row else None
            rows[source] = Row(values, deviation)
        refused = {
            Source(str(row["images"]), str(row["judge"])): str(row["reason"])
            for row in entry["refused rows"]
        }
        first, *others = map(str, entry["columns"])
        return Result(
            title=str(entry["title"]),
            unit=str(entry["unit"]),
            better=str(entry["better"]),
            protocol=dict(entry["protocol"]),
            columns=(first, *others),
            rows=rows,
            spread=str(entry["spread"]),
            refused=refused,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return Refused(name, "report/evaluation.json holds no table of it")


def read(path: epath.PathLike) -> Evaluation | None:
    """The evaluation in an `evaluation.json`; None where there is no such file.

    Raises:
      OutdatedError: an earlier version wrote it.
      ValueError: it holds no evaluation.
    """
    path = epath.Path(path)
    if not path.exists():
        return None
    again = f"`mirrorgan evaluate --workdir={path.parent.parent}` makes it anew"
    return loads(path.read_bytes(), path, again)


def loads(data: bytes | str, path: epath.PathLike, again: str) -> Evaluation:
    """The evaluation of a text that `dumps` made.

    Args:
      data: the text.
      path: what messages call it.
      again: what to do where it cannot be read, the end of a sentence.

    Raises:
      OutdatedError, ValueError: as `read`.
    """
    try:
        found = json.loads(data)
    except ValueError:
        raise ValueError(f"{path} is no JSON: {again}") from None
    if not isinstance(found, dict) or not isinstance(found.get("metrics"), dict):
        raise ValueError(f"{path} holds no evaluation: {again}")
    if found.get("format") != FORMAT:
        raise OutdatedError(f"{path} was written by an earlier version: {again}")
    metrics = {name: _parsed(name, entry) for name, entry in found["metrics"].items()}
    try:
        step, protocol = int(found["step"]), dict(found["protocol"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: no step or protocol; {again}") from None
    return Evaluation(step, protocol, metrics, str(found.get("samples", "")))
