"""What a run ran on, with which versions, and how long its stages took."""

import importlib.metadata
import json
import os
import platform
import time

import jax
from etils import epath

import mirrorgan_jax
from mirrorgan_jax.workdir import files

_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow",
    "tensorflow-cpu", "tensorflow-datasets",
)  # fmt: skip


def _folder(workdir, stage):
    return epath.Path(workdir) / "timing" / stage


class StageClock:
    """Time of one segment of a stage: from one start of the program to the next.

    Only steps that follow one another count as training: compilation, evaluation and
    saving do not. `save` writes `timing/<stage>/<start>.json`; a segment that begins
    where an older one began replaces it.

    Args:
      workdir: the run's folder.
      stage: its name.
      start: steps done before.
      batch_size: images a step.
      enabled: False writes nothing (all processes but the first).
    """

    def __init__(self, workdir, stage, start, batch_size, *, enabled=True):
        self._path = _folder(workdir, stage) / f"{start}.json"
        self._enabled, self._batch_size = enabled, batch_size
        self._begin, self._mark = time.monotonic(), None
        self._seconds, self._steps = 0.0, 0

    def step(self):
        """A training step has been issued."""
        now = time.monotonic()
        if self._mark is not None:
            self._seconds += now - self._mark
            self._steps += 1
        self._mark = now

    def rest(self):
        """Something else than training happened."""
        self._mark = None

    def save(self, step):
        """Writes the segment as far as it is: up to `step`."""
        if self._enabled:
            values = {
                "step": step,
                "wall_seconds": time.monotonic() - self._begin,
                "step_seconds": self._seconds,
                "steps": self._steps,
                "batch_size": self._batch_size,
            }
            files.write_text(self._path, json.dumps(values) + "\n")


def stage_times(workdir, stage):
    """Sums over a stage's segments, or None.

    Returns:
      {"seconds" of the whole, "steps" that were timed, "seconds_per_step",
      "images_per_second"}; the last two None where no two steps followed each other.
    """
    folder = _folder(workdir, stage)
    found = []
    if folder.exists():
        found = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
    if not found:
        return None
    seconds = sum(part["step_seconds"] for part in found)
    steps = sum(part["steps"] for part in found)
    images = sum(part["steps"] * part["batch_size"] for part in found)
    return {
        "seconds": sum(part["wall_seconds"] for part in found),
        "steps": steps,
        "seconds_per_step": seconds / steps if steps else None,
        "images_per_second": images / seconds if seconds else None,
    }


def _versions():
    found = {
        "mirrorgan_jax": mirrorgan_jax.__version__,
        "python": platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_start(workdir, stage, named):
    """Writes `starts/<stage>.json`: the files of weights that a stage started from.

    Args:
      workdir: the run's folder.
      stage: its name.
      named: a list of dictionaries that JSON can hold, one a file.
    """
    path = epath.Path(workdir) / "starts" / f"{stage}.json"
    files.write_text(path, json.dumps(named, indent=2) + "\n")


def read_start(workdir, stage):
    """What `write_start` wrote; [] where a stage started from random values."""
    path = epath.Path(workdir) / "starts" / f"{stage}.json"
    return json.loads(path.read_text()) if path.exists() else []


def write(workdir, homes):
    """Writes `report/run.json`: versions, hardware, times, what stages started from.

    Args:
      workdir: the run's folder.
      homes: {stage: folder of the run that it belongs to}.
    """
    device = jax.devices()[0]
    values = {
        "versions": _versions(),
        "hardware": {
            "platform": device.platform,
            "device_kind": device.device_kind,
            "devices": jax.device_count(),
            "processes": jax.process_count(),
            "cores": os.cpu_count(),
            "machine": f"{platform.system()} {platform.machine()}",
        },
        "stages": {
            stage: times
            for stage, home in homes.items()
            if (times := stage_times(home, stage))
        },
        "starts": {
            stage: read
            for stage, home in homes.items()
            if (read := read_start(home, stage))
        },
    }
    files.write_text(_run_file(workdir), json.dumps(values, indent=2) + "\n")


def _run_file(workdir):
    return epath.Path(workdir) / "report" / "run.json"


def read(workdir):
    """What `write` wrote; {} where there is nothing that can be read."""
    path = _run_file(workdir)
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
