"""How long stages took, over all their segments."""

import json
import time

import pytest

from mirrorgan_jax.workdir import provenance


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


def segment(clock, workdir, start, steps, *, seconds=0.5, compile_seconds=20.0):
    stage = provenance.StageClock(workdir, "gan", start, 8)
    clock.now += compile_seconds
    for _ in range(steps):
        stage.step()
        clock.now += seconds
    stage.rest()
    clock.now += 7.0  # an evaluation
    stage.step()
    stage.save(start + steps)
    return stage


def test_only_steps_in_a_row_count(clock, tmp_path):
    segment(clock, tmp_path, 0, 5)
    times = provenance.stage_times(tmp_path, "gan")
    # Five steps begin four intervals; compilation and evaluation count in the whole.
    assert times["steps"] == 4
    assert times["seconds_per_step"] == pytest.approx(0.5)
    assert times["images_per_second"] == pytest.approx(16)
    assert times["seconds"] == pytest.approx(20 + 2.5 + 7)


def test_segments_add_up_and_a_repeated_one_is_replaced(clock, tmp_path):
    segment(clock, tmp_path, 0, 5)
    segment(clock, tmp_path, 4, 3)
    segment(clock, tmp_path, 4, 3, seconds=1.0)
    times = provenance.stage_times(tmp_path, "gan")
    assert times["steps"] == 6
    assert times["seconds_per_step"] == pytest.approx((4 * 0.5 + 2 * 1.0) / 6)


def test_a_stage_without_timed_steps_has_no_rate(clock, tmp_path):
    assert provenance.stage_times(tmp_path, "gan") is None
    provenance.StageClock(tmp_path, "gan", 0, 8).save(1)
    assert provenance.stage_times(tmp_path, "gan")["images_per_second"] is None
    provenance.StageClock(tmp_path, "stem", 0, 8, enabled=False).save(1)
    assert provenance.stage_times(tmp_path, "stem") is None


def test_report_names_versions_hardware_and_stages_of_other_runs(clock, tmp_path):
    segment(clock, tmp_path / "other", 0, 5)
    provenance.write(tmp_path / "run", {"gan": tmp_path / "other", "stem": tmp_path})
    found = json.loads((tmp_path / "run" / "report" / "run.json").read_text())
    assert found["versions"]["jax"] and found["versions"]["python"].startswith("3.")
    assert found["hardware"]["devices"] >= 1 and found["hardware"]["platform"]
    assert found["stages"].keys() == {"gan"}
