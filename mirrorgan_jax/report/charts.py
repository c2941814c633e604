"""Line charts as SVG text, for pages that must stand alone.

Colours are CSS classes (`c0` to `c7`, `axis`, `grid`, `dot`): the page decides them.
"""

import html
import math
import re

MAX_SERIES = 8  # as many as there are colours
MAX_POINTS = 160  # of a series; more are averaged in bins
_WIDTH, _HEIGHT = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 18, 34
_LEGEND_LINE = 18
_LETTER = 6.3  # mean width of a letter of the legend in pixels, on the safe side
_DECADES = 2  # positive values that span more of them are drawn on a log scale

# Groups of metrics in the order in which they are shown.
_GROUPS = {
    "STEM": "STEM: text and image encoders",
    "STREAM": "STREAM: redescription",
    "G": "G: terms of the generator's loss",
    "D": "D: the discriminators' losses",
    "eval": "Evaluations during training",
}


def short(value):
    """A short label: 1500 as 1.5k, 2000000 as 2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def linear_ticks(low, high, count=5):
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`.

    Args:
      low, high: the range, low < high.
      count: about how many.
    """
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 5, 10) if m * size >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low, high):
    """Powers of ten from `low` to `high`, at most about eight."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    stride = max(1, math.ceil((last - first + 1) / 8))
    return [10.0**e for e in range(first, last + 1, stride)]


def thinned(points):
    """At most `MAX_POINTS` points: means over bins of neighbours.

    Args:
      points: [(x, y)], y None or not finite where nothing was measured.

    Returns:
      [(x, y)]; y is None in bins where nothing was measured.
    """
    size = math.ceil(len(points) / MAX_POINTS)
    found = []
    for start in range(0, len(points), max(size, 1)):
        part = points[start : start + size]
        known = [y for _, y in part if y is not None and math.isfinite(y)]
        mean = sum(known) / len(known) if known else None
        found.append((part[-1][0] if size > 1 else part[0][0], mean))
    return found


def spans_decades(values):
    """Whether values belong on a log scale: positive, over many decades."""
    low = min(values)
    return low > 0 and math.log10(max(values) / low) > _DECADES


class _Scale:
    """Data values to pixels along one axis."""

    def __init__(self, values, pixels, *, log=False, pad=0.0):
        self._log = math.log10 if log else float
        low, high = self._log(min(values)), self._log(max(values))
        if high <= low:  # a single value stands in the middle
            spread = 0.5 if log else (abs(low) / 2 or 0.5)
            low, high = low - spread, high + spread
        margin = pad * (high - low)
        self._low, self._high = low - margin, high + margin
        self._from, self._to = pixels
        self.log = log

    def __call__(self, value):
        share = (self._log(value) - self._low) / (self._high - self._low)
        return self._from + share * (self._to - self._from)

    def ticks(self, count):
        if not self.log:
            return linear_ticks(self._low, self._high, count)
        return log_ticks(10.0**self._low, 10.0**self._high)


def _segments(points):
    """Runs of neighbours that were measured."""
    parts, part = [], []
    for x, y in points:
        if y is None:
            parts.append(part)
            part = []
        else:
            part.append((x, y))
    return [part for part in (*parts, part) if part]


def _curve(index, name, points, across, up):
    """One series: its line, broken at gaps, and its points, which tell values."""
    lines, color = [], f"c{index}"
    for part in _segments(points):
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in part)
        if len(part) > 1:
            lines.append(f'<polyline class="{color}" fill="none" points="{path}"/>')
        # A measurement between two gaps has no line: its dot is drawn.
        kind = "dot" if len(points) > 40 and len(part) > 1 else "dot seen"
        for x, y in part:
            place = f'cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"'
            label = f"{html.escape(name)}: {short(y)} at {x:,}"
            lines.append(
                f'<circle class="{kind} {color}" {place}><title>{label}</title>'
                "</circle>"
            )
    return lines


def _axes(across, up, x_label):
    """Grid lines, tick labels and the name of the x axis."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    lines = []
    for value in up.ticks(5):
        y = f"{up(value):.1f}"
        lines.append(f'<path class="grid" d="M{_LEFT} {y}H{right}"/>')
        lines.append(
            f'<text class="axis" x="{_LEFT - 6}" y="{y}" dy="4" text-anchor="end">'
            f"{short(value)}</text>"
        )
    for value in across.ticks(6):
        x = f"{across(value):.1f}"
        lines.append(f'<path class="grid" d="M{x} {bottom}v4"/>')
        lines.append(
            f'<text class="axis" x="{x}" y="{bottom + 16}" text-anchor="middle">'
            f"{short(value)}</text>"
        )
    lines.append(
        f'<text class="axis" x="{(_LEFT + right) / 2:.0f}" y="{bottom + 31}"'
        f' text-anchor="middle">{html.escape(x_label)}</text>'
    )
    if up.log:
        lines.append(f'<text class="axis" x="{_LEFT}" y="11">log scale</text>')
    return lines


def _legend(names):
    """The legend below the axes, wrapped; its lines and its height."""
    lines, x, y = [], _LEFT, _HEIGHT + 12
    for index, name in enumerate(names):
        width = 26 + _LETTER * len(name)
        if x > _LEFT and x + width > _WIDTH:
            x, y = _LEFT, y + _LEGEND_LINE
        lines.append(f'<path class="c{index}" d="M{x:.0f} {y - 4}h14"/>')
        lines.append(
            f'<text class="axis" x="{x + 19:.0f}" y="{y}">{html.escape(name)}</text>'
        )
        x += width + 8
    return lines, y + 8


def line_chart(series, *, title, x_label="step"):
    """A chart of one or more series over steps.

    Positive values over more than two decades are drawn on a log scale. What was not
    measured (None, NaN) leaves a gap.

    Args:
      series: {name: [(x, y)]}, x ascending ints; at most `MAX_SERIES`.
      title: what it shows, for readers that do not see it.
      x_label: name of the x axis.

    Returns:
      SVG text, or "" when nothing was measured at all.

    Raises:
      ValueError: too many series.
    """
    if len(series) > MAX_SERIES:
        raise ValueError(f"{len(series)} series: allowed are up to {MAX_SERIES}")
    series = {name: thinned(points) for name, points in series.items()}
    series = {
        name: points
        for name, points in series.items()
        if any(y is not None for _, y in points)
    }
    if not series:
        return ""
    every = [point for points in series.values() for point in points]
    values = [y for _, y in every if y is not None]
    across = _Scale([x for x, _ in every], (_LEFT, _WIDTH - _RIGHT))
    bounds = (_HEIGHT - _BOTTOM, _TOP)
    up = _Scale(values, bounds, log=spans_decades(values), pad=0.04)
    legend, height = _legend(series)
    label = html.escape(title + (", log scale" if up.log else ""))
    lines = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img"'
        f' aria-label="{label}" xmlns="http://www.w3.org/2000/svg">',
        *_axes(across, up, x_label),
    ]
    for index, (name, points) in enumerate(series.items()):
        lines += _curve(index, name, points, across, up)
    return "\n".join([*lines, *legend, "</svg>"])


def _group(prefix):
    """Group of the metrics with a prefix: all D_i are one."""
    return "D" if re.fullmatch(r"D\d+", prefix) else prefix


def training_charts(rows):
    """Charts of everything that was measured while training, in groups.

    Args:
      rows: what `metric_log.read_metrics` returns.

    Returns:
      [(title of the group, [(title, SVG)])]; what was never finite has no chart.
    """
    found = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("stage", "step"):
                # Norms and losses share no axis; each D_i has a chart of its own.
                chart = (row["stage"], name.partition("/")[0], "norm" in name)
                points = found.setdefault(chart, {}).setdefault(name, [])
                points.append((row["step"], value))
    groups = {}
    # Losses before norms, and the whole loss before its terms.
    for (stage, prefix, norms), series in sorted(found.items(), key=lambda i: i[0][2]):
        title = f"{stage}: {prefix}" + (", gradient norms" if norms else "")
        names = sorted(series, key=lambda name: not name.endswith("/loss"))
        for start in range(0, len(names), MAX_SERIES):
            part = {name: series[name] for name in names[start : start + MAX_SERIES]}
            if svg := line_chart(part, title=title):
                groups.setdefault(_group(prefix), []).append((title, svg))
    order = dict.fromkeys((*_GROUPS, *sorted(groups)))
    return [(_GROUPS.get(key, key), groups[key]) for key in order if key in groups]
