"""Progress lines, and metrics that hold every step once whatever was killed."""

import io
import json
import time

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing import (
    plugin_event_accumulator as event_accumulator,
)
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.scalar import summary_v2
from tensorboard.summary.writer import event_file_writer

from mirrorgan_jax import progress
from mirrorgan_jax.workdir import files, metric_log


def _log(workdir, start, **options):
    return metric_log.MetricLog(workdir, "gan", start, events=False, **options)


def _steps(workdir):
    return [row["step"] for row in metric_log.read_metrics(workdir, "gan")]


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_rows_are_read_back_in_the_order_of_training(tmp_path):
    for stage in ("gan", "stem", "evaluate"):
        with metric_log.MetricLog(tmp_path, stage, 0, events=False) as log:
            log.write(np.int64(1), {"loss": jnp.float32(0.5), "count": 3})
            log.write(2, {"loss": jnp.bfloat16(0.25)})
    rows = metric_log.read_metrics(tmp_path)
    assert [row["stage"] for row in rows[::2]] == ["stem", "gan", "evaluate"]
    assert rows[:2] == [
        {"stage": "stem", "step": 1, "loss": 0.5, "count": 3},
        {"stage": "stem", "step": 2, "loss": 0.25},
    ]
    assert metric_log.read_metrics(tmp_path, "gan") == rows[2:4]
    assert metric_log.read_metrics(tmp_path / "nowhere") == []


def test_metrics_of_one_step_share_a_row(tmp_path):
    log = _log(tmp_path, 0)
    log.write(5, {"loss": 1.0})
    log.flush()
    log.write(5, {"top1": 0.5})
    log.write(6, {"loss": 0.9})
    log.flush()
    first, second = metric_log.read_metrics(tmp_path, "gan")
    assert first == {"stage": "gan", "step": 5, "loss": 1.0, "top1": 0.5}
    assert second["step"] == 6


def test_values_that_are_not_finite_become_null(tmp_path):
    with _log(tmp_path, 0) as log:
        log.write(1, {"a": float("nan"), "b": np.float32("inf"), "c": 0.0})
    text = (tmp_path / "metrics" / "gan" / "0.jsonl").read_text()
    row = json.loads(text, parse_constant=pytest.fail)
    assert (row["a"], row["b"], row["c"]) == (None, None, 0.0)


@pytest.mark.parametrize("append", [True, False])
def test_resume_leaves_every_step_once(tmp_path, monkeypatch, append):
    monkeypatch.setattr(files, "can_append", lambda path: append)
    log = _log(tmp_path, 0)
    for step in range(1, 8):
        log.write(step, {"run": 0})
        log.flush()
    log = _log(tmp_path, 5)  # killed at 7, resumed from 5
    for step in range(6, 10):
        log.write(step, {"run": 1})
        log.flush()
    log = _log(tmp_path, 5)  # killed before a new checkpoint
    log.write(6, {"run": 2})
    log.flush()
    _log(tmp_path, 3)  # an older checkpoint
    assert _steps(tmp_path) == [1, 2, 3]
    with _log(tmp_path, 3) as log:
        log.write(3, {"top1": 1})
        log.write(4, {"run": 3})
    rows = metric_log.read_metrics(tmp_path, "gan")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[2] == {"stage": "gan", "step": 3, "run": 0, "top1": 1}
    with _log(tmp_path, 0) as log:
        log.write(1, {"run": 4})
    assert _steps(tmp_path) == [1]


def test_line_cut_by_a_kill_is_left_out(tmp_path):
    with _log(tmp_path, 0) as log:
        log.write(1, {"loss": 1})
    part = tmp_path / "metrics" / "gan" / "0.jsonl"
    with part.open("a") as file:
        file.write('{"stage": "gan", "st')
    assert _steps(tmp_path) == [1]
    with _log(tmp_path, 1) as log:
        log.write(2, {"loss": 1})
    assert _steps(tmp_path) == [1, 2]


def test_wrong_rows_are_refused(tmp_path):
    log = _log(tmp_path, 0)
    log.write(5, {"loss": 1})
    with pytest.raises(ValueError, match="5 and later"):
        log.write(4, {"loss": 1})
    with pytest.raises(ValueError, match="'loss'.*single numbers"):
        log.write(6, {"loss": np.zeros(2)})
    with pytest.raises(ValueError, match="'step'"):
        log.write(6, {"step": 1})


def test_disabled_log_writes_nothing(tmp_path):
    with metric_log.MetricLog(tmp_path, "gan", 0, enabled=False) as log:
        log.write(1, {"loss": 1})
    assert not list(tmp_path.iterdir())


def _event_steps(workdir, name="loss"):
    """{step: value} of one metric as TensorBoard shows it; no step is there twice."""
    events = event_accumulator.EventAccumulator(
        str(workdir / "events" / "gan"), size_guidance={"tensors": 0}
    ).Reload()
    found = [
        (event.step, float(event.tensor_proto.float_val[0]))
        for event in events.Tensors(name)
    ]
    assert len(dict(found)) == len(found), found
    return dict(found)


def _segment(workdir, monkeypatch, start, last, value):
    """Writes steps as one start of the program, a minute after the one before."""
    now = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: now)
    with metric_log.MetricLog(workdir, "gan", start) as log:
        for step in range(start + 1, last + 1):
            log.write(step, {"loss": value})


def test_tensorboard_shows_every_step_once(tmp_path, monkeypatch):
    _segment(tmp_path, monkeypatch, 0, 7, 0.0)
    (first,) = (tmp_path / "events" / "gan").iterdir()
    with first.open("ab") as file:
        file.write(b"cut by a kill")
    before = first.read_bytes()
    _segment(tmp_path, monkeypatch, 5, 6, 1.0)
    _segment(tmp_path, monkeypatch, 3, 4, 2.0)  # an older checkpoint
    assert _event_steps(tmp_path) == {1: 0, 2: 0, 3: 0, 4: 2}
    assert first.read_bytes() == before
    _segment(tmp_path, monkeypatch, 0, 1, 3.0)
    assert _event_steps(tmp_path) == {1: 3}


def test_steps_of_files_without_a_start_are_dropped_too(tmp_path, monkeypatch):
    writer = event_file_writer.EventFileWriter(str(tmp_path / "events" / "gan"))
    for step in range(1, 8):
        summary = summary_v2.scalar_pb("loss", 0.0)
        writer.add_event(event_pb2.Event(step=step, summary=summary))
    writer.close()
    _segment(tmp_path, monkeypatch, 5, 6, 1.0)
    assert _event_steps(tmp_path) == {1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 1}


def test_plain_progress_has_lines_without_control_characters(monkeypatch):
    clock = iter(np.arange(100.0, 1000.0, 2.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    with progress.Progress("gan", 140, initial=100, stream=stream) as bar:
        for step in range(40):
            bar.update(loss=1 / (step + 1))
        bar.note("saved")
    lines = stream.getvalue().splitlines()
    # One line every five steps (10 s), a note, the time it took.
    assert lines[0] == (
        "gan: 105/140 steps (75 %) | 2.0 s each, 01:10 left | loss 0.2000"
    )
    assert len(lines) == 10 and lines[-2] == "saved"
    assert lines[-1].startswith("gan: took 01:2")
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_short_task_still_shows_its_end():
    stream = io.StringIO()
    with progress.Progress("stem", 3, stream=stream) as bar:
        bar.update(3)
    assert stream.getvalue().startswith("stem: 3/3 steps (100 %)")


def test_terminal_progress_starts_where_the_run_does():
    stream = _Terminal()
    with progress.Progress("gan", 10, initial=4, stream=stream) as bar:
        for _ in range(6):
            bar.update(loss=2.0)
        bar.note("a line")
    text = stream.getvalue()
    assert "4/10" in text and "10/10" in text and "loss 2.000" in text
    assert "0/10" not in text.replace("10/10", "")


def test_disabled_progress_is_silent():
    stream = _Terminal()
    with progress.Progress("gan", 2, enabled=False, stream=stream) as bar:
        bar.update(loss=1.0)
        bar.note("x")
    assert not stream.getvalue()


def test_written_files_are_whole(tmp_path):
    files.write_text(tmp_path / "a" / "b.txt", "one")
    files.write_text(tmp_path / "a" / "b.txt", "zwei ü")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "zwei ü"
    assert len(list((tmp_path / "a").iterdir())) == 1
