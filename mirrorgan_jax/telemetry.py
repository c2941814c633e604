"""What a run tells while it runs: progress on the terminal, metrics on disk."""

import json
import math
import os
import struct
import sys
import time

import numpy as np
from etils import epath

from mirrorgan_jax import files

_STAGES = ("stem", "stream", "gan")  # the order in which they train
_LINE_SECONDS = 10.0


def _clock(seconds):
    """1:02:03 or 02:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
    )


def _values(values):
    """name 1.234 for each value, of one width so that the line stands still."""
    shown = []
    for name, value in values.items():
        text = value if isinstance(value, str) else f"{float(value):#.4g}"
        shown.append(f"{name} {text:<7}")
    return " ".join(shown)


def _bar_width(stream):
    """tqdm's options: a terminal that says its width is 0 would show nothing."""
    try:
        known = os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 100, "nrows": 24}


class Progress:
    """Progress of one task: a bar on a terminal, plain lines elsewhere.

    Args:
      description: what is done, such as `gan`.
      total: steps of the whole task.
      initial: steps done by earlier runs; the rate does not count them.
      unit: what a step is.
      enabled: False shows nothing (all processes but the first).
      interval: seconds between plain lines.
      stream: where to; None takes standard error.
    """

    def __init__(
        self,
        description,
        total,
        *,
        initial=0,
        unit="step",
        enabled=True,
        interval=_LINE_SECONDS,
        stream=None,
    ):
        self._description, self._total, self._unit = description, total, unit
        self._stream = sys.stderr if stream is None else stream
        self._enabled, self._interval = enabled, interval
        self._done, self._shown, self._postfix = initial, None, {}
        self._start = self._last = (time.monotonic(), initial)
        self._bar = None
        if enabled and self._stream.isatty():
            import tqdm

            self._bar = tqdm.tqdm(
                desc=description,
                total=total,
                initial=initial,
                unit=f" {unit}",
                file=self._stream,
                **_bar_width(self._stream),
                mininterval=0.2,
                # The rate of the last seconds: the first step compiles.
                smoothing=0.1,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
                " {rate_fmt}, {remaining} left{postfix}",
            )

    def update(self, count=1, **values):
        """`count` more steps are done; `values` are shown beside the bar."""
        self._done += count
        self._postfix.update(values)
        if self._bar is not None:
            if values:
                self._bar.set_postfix_str(_values(self._postfix), refresh=False)
            self._bar.update(count)
        elif self._enabled:
            now = time.monotonic()
            if now - self._last[0] >= self._interval:
                self._print_line(now)

    def _print_line(self, now):
        """One plain line: position, rate since the last line, time left."""
        seconds, steps = now - self._last[0], self._done - self._last[1]
        rate = steps / seconds if seconds > 0 else 0.0
        share = 100 * self._done / max(self._total, 1)
        where = f"{self._done}/{self._total} {self._unit}s ({share:.0f} %)"
        parts = [f"{self._description}: {where}"]
        if rate:
            pace = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
            left = _clock((self._total - self._done) / rate)
            parts.append(f"{pace}, {left} left")
        if self._postfix:
            parts.append(_values(self._postfix).rstrip())
        print(" | ".join(parts), file=self._stream, flush=True)
        self._last, self._shown = (now, self._done), self._done

    def note(self, text):
        """Prints a line of its own without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        elif self._enabled:
            print(text, file=self._stream, flush=True)

    def close(self):
        """Shows the last state and how long it took."""
        if not self._enabled:
            return
        self._enabled = False
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            return
        begin, initial = self._start
        if self._shown != self._done and self._done != initial:
            self._last = self._start
            self._print_line(time.monotonic())
        took = _clock(time.monotonic() - begin)
        print(f"{self._description}: took {took}", file=self._stream, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def counted(items, total, description, *, unit="image"):
    """Yields `items` under a `Progress`."""
    with Progress(description, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.update()


def _number(name, value):
    """A JSON number; null when not finite, as JSON has neither NaN nor Inf."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind in "OSUcmM":
        raise ValueError(f"metric {name!r} is {value!r}: allowed are single numbers")
    if array.dtype.kind not in "biu":  # bfloat16 counts as kind V
        array = array.astype(np.float64)
    value = array.item()
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _read_part(path):
    """Rows of one part file; a last line cut by a kill is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _parts(folder):
    """Part files of one stage in the order of their first steps."""
    if not folder.exists():
        return []
    found = [path for path in folder.glob("*.jsonl") if path.stem.isdigit()]
    return sorted(found, key=lambda path: int(path.stem))


def _lines(rows):
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def read_metrics(workdir, stage=None):
    """Rows of metrics in order.

    Args:
      workdir: of the run.
      stage: one stage's rows; None takes all, in the order of training.

    Returns:
      list of dicts with `stage`, `step` and the metrics.
    """
    root = epath.Path(workdir) / "metrics"
    stages = [stage]
    if stage is None:
        names = [p.name for p in root.iterdir() if p.is_dir()] if root.exists() else []
        late = len(_STAGES)
        stages = sorted(
            names, key=lambda n: (_STAGES.index(n) if n in _STAGES else late, n)
        )
    rows = []
    for name in stages:
        for part in _parts(root / name):
            rows += _read_part(part)
    return rows


def _kept_events(data, last_step):
    """Bytes of the event records up to `last_step`; whole records only."""
    from tensorboard.compat.proto import event_pb2

    kept, at = [], 0
    while at + 12 <= len(data):
        # A record: length (8 bytes), its checksum (4), content, checksum (4).
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + 16 + length
        if end > len(data):
            break
        content = data[at + 12 : end - 4]
        if event_pb2.Event.FromString(content).step <= last_step:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


class MetricLog:
    """Metrics of one stage on disk: JSON lines and TensorBoard events.

    Rows go to `<workdir>/metrics/<stage>/<start_step>.jsonl`, one part for each
    segment of a run since a bucket cannot append, and to
    `<workdir>/events/<stage>`. Opening it drops what an earlier segment wrote
    after `start_step`: no step appears twice. Flush it before each checkpoint,
    or a kill loses rows that no later segment writes again.

    Args:
      workdir: of the run; may be on a bucket.
      stage: name of the stage.
      start_step: the restored step; 0 for a fresh run.
      enabled: False writes nothing (all processes but the first).
      events: whether to write TensorBoard events (imports TensorFlow).
    """

    def __init__(self, workdir, stage, start_step, *, enabled=True, events=True):
        self._stage, self._enabled, self._events = stage, enabled, events
        self._folder = epath.Path(workdir) / "metrics" / stage
        self._event_folder = epath.Path(workdir) / "events" / stage
        self._part = self._folder / f"{start_step}.jsonl"
        self._rows, self._flushed, self._writer = [], 0, None
        if enabled:
            self._drop_rows(start_step)
            self._drop_events(start_step)

    def _drop_rows(self, start_step):
        """Removes rows after the start; one at the start moves to the new part."""
        changed = []
        for part in _parts(self._folder):
            rows = _read_part(part)
            kept = [row for row in rows if row["step"] < start_step]
            if part == self._part or len(kept) < len(rows):
                changed.append((part, kept))
            for row in rows:
                if row["step"] == start_step:
                    self._rows = [{**(self._rows or [{}])[0], **row}]
        # The new part first: a kill in between loses nothing.
        if self._rows:
            files.write_text(self._part, _lines(self._rows))
        self._flushed = len(self._rows)
        for part, kept in changed:
            if part == self._part and self._rows:
                continue
            if kept:
                files.write_text(part, _lines(kept))
            else:
                part.unlink()

    def _drop_events(self, start_step):
        if not self._event_folder.exists():
            return
        for path in self._event_folder.glob("events.out.tfevents.*"):
            data = path.read_bytes()
            kept = _kept_events(data, start_step)
            if len(kept) < len(data):
                files.write_bytes(path, kept)

    def write(self, step, metrics):
        """Adds metrics of a step; those of the same step share one row.

        Args:
          step: int, not before the last one written.
          metrics: dict of name -> number (Python, NumPy or JAX).

        Raises:
          ValueError: an earlier step, or what is not a single number.
        """
        if not self._enabled:
            return
        step = int(step)
        last = self._rows[-1]["step"] if self._rows else step
        if step < last:
            raise ValueError(f"step = {step}: allowed are {last} and later")
        values = {name: _number(name, value) for name, value in metrics.items()}
        for name in ("stage", "step"):
            if name in values:
                raise ValueError(f"metric {name!r}: the name is taken")
        if self._rows and step == last:
            self._rows[-1].update(values)
            if self._flushed == len(self._rows):
                self._flushed = 0  # a row on disk is out of date: rewrite the part
        else:
            self._rows.append({"stage": self._stage, "step": step, **values})
        if self._events:
            shown = {n: math.nan if v is None else v for n, v in values.items()}
            self._event_writer().write_scalars(step, shown)

    def write_images(self, step, images):
        """Adds images, dict of name -> [n, H, W, 3] uint8, to the events."""
        if self._enabled and self._events:
            self._event_writer().write_images(int(step), images)

    def _event_writer(self):
        if self._writer is None:
            from clu import metric_writers

            self._writer = metric_writers.SummaryWriter(str(self._event_folder))
        return self._writer

    def flush(self):
        """Makes everything written so far readable and safe from a kill."""
        if not self._enabled:
            return
        if self._flushed < len(self._rows):
            if self._flushed and files.can_append(self._part):
                with self._part.open("a") as part:
                    part.write(_lines(self._rows[self._flushed :]))
            else:
                files.write_text(self._part, _lines(self._rows))
            self._flushed = len(self._rows)
        if self._writer is not None:
            self._writer.flush()

    def close(self):
        """Flushes and closes the events."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
