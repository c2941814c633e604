"""Metrics of a run on disk: JSON lines and TensorBoard events."""

import json
import math
import time

import numpy as np
from etils import epath

from mirrorgan_jax.workdir import files

_STAGES = ("stem", "stream", "gan")  # the order in which they train


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


class MetricLog:
    """Metrics of one stage on disk: JSON lines and TensorBoard events.

    Rows go to `<workdir>/metrics/<stage>/<start_step>.jsonl`, one part for each
    segment of a run since a bucket cannot append, and to
    `<workdir>/events/<stage>`. Opening it drops rows that an earlier segment wrote
    after `start_step`, and the events begin with a start after which TensorBoard
    drops its own: no step appears twice. Flush it before each checkpoint, or a kill
    loses rows that no later segment writes again.

    Args:
      workdir: of the run; may be on a bucket.
      stage: name of the stage.
      start_step: the restored step; 0 for a fresh run.
      enabled: False writes nothing (all processes but the first).
      events: whether to write TensorBoard events.
    """

    def __init__(self, workdir, stage, start_step, *, enabled=True, events=True):
        self._stage, self._enabled, self._events = stage, enabled, events
        self._folder = epath.Path(workdir) / "metrics" / stage
        self._event_folder = epath.Path(workdir) / "events" / stage
        self._start = start_step
        self._part = self._folder / f"{start_step}.jsonl"
        self._rows, self._flushed, self._writer = [], 0, None
        if enabled:
            self._drop_rows(start_step)

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
            self._write_events(step, values)

    def _write_events(self, step, values):
        # TensorBoard imports TensorFlow where there is one.
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.scalar import summary_v2
        from tensorboard.summary.writer import event_file_writer

        def add(step, **content):
            event = event_pb2.Event(wall_time=time.time(), step=step, **content)
            self._writer.add_event(event)

        if self._writer is None:
            folder = str(self._event_folder)
            self._writer = event_file_writer.EventFileWriter(folder)
            # Twice: TensorBoard takes the first start in a folder for the beginning
            # of everything and drops nothing for it, and older files may have none.
            for _ in range(2):
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                add(self._start + 1, session_log=start)
        for name, value in values.items():
            shown = math.nan if value is None else value
            add(step, summary=summary_v2.scalar_pb(name, shown))

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
