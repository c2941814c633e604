"""The real command in processes of its own, as a person would run and kill it."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from support import ROOT

_TIMEOUT = 600  # seconds; a hang, not a slow machine


@dataclasses.dataclass
class Run:
    """A process that has ended.

    Attributes:
      workdir: of the run.
      status: exit status, negative for a signal.
      output: standard output and error.
      seconds: from the data being loaded to the end.
    """

    workdir: Path
    status: int
    output: str
    seconds: float


class Process:
    """A running `python -m mirrorgan_jax.main` with the tiny configuration.

    Args:
      workdir: of the run.
      data: folder of prepared data.
      *flags: more flags.
      **environment: more environment variables.
    """

    def __init__(self, workdir, data, *flags, **environment):
        self._workdir, self._loaded = Path(workdir), None
        self._output = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "mirrorgan_jax.main",
                "--config=tests/support/tiny_config.py", f"--workdir={workdir}",
                f"--config.data.root={data}", *flags,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def output(self):
        """What it has said so far."""
        self._output.seek(0)
        return self._output.read()

    def wait_for(self, condition):
        """Polls until `condition()` holds or the process ends; whether it holds."""
        end = time.monotonic() + _TIMEOUT
        while time.monotonic() < end:
            if condition():
                return True
            if self._process.poll() is not None:
                return bool(condition())
            time.sleep(0.01)
        self.signal("SIGKILL")
        raise TimeoutError(self.output())

    def wait_for_data(self):
        """Waits until the data is loaded: what follows is training."""
        self.wait_for(lambda: "\ndata: " in self.output())
        self._loaded = time.monotonic()

    def signal(self, name):
        """Sends a signal by name, if it still runs."""
        import signal

        if self._process.poll() is None:
            self._process.send_signal(getattr(signal, name))

    def join(self):
        """Waits for the end; returns a `Run`."""
        try:
            status = self._process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.signal("SIGKILL")
            self._process.wait()
            raise
        end = time.monotonic()
        output = self.output()
        self._output.close()
        return Run(self._workdir, status, output, end - (self._loaded or end))


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def virtual_devices(count):
    """Environment of a process with several CPU devices.

    They compile slowly, and what the tests compare needs no fast code. Each device
    waits for the others in more than one thread of XLA's pool, which has one for each
    device or core: with more of them none waits for a thread.
    """
    return {
        "JAX_PLATFORMS": "cpu",
        "NPROC": "32",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"
        " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        " --xla_cpu_collective_call_terminate_timeout_seconds=300",
    }


def hosts(workdir, data, *flags, count=2, devices=2):
    """Starts the command as `count` processes of one run; returns them in order."""
    address = f"localhost:{free_port()}"
    return [
        Process(
            workdir, data, *flags,
            f"--coordinator_address={address}", f"--num_processes={count}",
            f"--process_id={number}", "--heartbeat_timeout_seconds=10",
            **virtual_devices(devices),
        )
        for number in range(count)
    ]  # fmt: skip


def run(workdir, data, *flags):
    """Runs the command to its end; returns a `Run`."""
    process = Process(workdir, data, *flags)
    process.wait_for_data()
    return process.join()


def finished(workdir, data, *flags):
    """Runs the command to its end, which must be a good one."""
    result = run(workdir, data, *flags)
    assert result.status == 0, result.output
    return result


def steps(workdir, stage):
    """Complete checkpoints of a stage, ascending."""
    folder = Path(workdir) / stage / "checkpoints"
    if not folder.exists():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def unfinished_saves(workdir):
    """Folders of checkpoints that are being written."""
    return [
        path
        for path in Path(workdir).glob("*/checkpoints/*")
        if path.is_dir() and not path.name.isdigit()
    ]


def saved(workdir, stage, step=None):
    """{path: array} of everything in a checkpoint, by default the newest."""
    import orbax.checkpoint as ocp
    from support import tiny

    step = steps(workdir, stage)[-1] if step is None else step
    folder = Path(workdir) / stage / "checkpoints" / str(step)
    items = [item for item in ("state", "ema") if (folder / item).exists()]
    with ocp.StandardCheckpointer() as checkpointer:
        return {
            f"{item}/{key}": value
            for item in items
            for key, value in tiny.leaves(
                checkpointer.restore((folder / item).resolve())
            ).items()
        }


def metric_rows(workdir, stage):
    """Rows of a stage's metrics in the order of their parts."""
    parts = sorted(
        (Path(workdir) / "metrics" / stage).glob("*.jsonl"), key=lambda p: int(p.stem)
    )
    return [
        json.loads(line) for part in parts for line in part.read_text().splitlines()
    ]


def assert_same_checkpoint(one, other, stage):
    """The newest checkpoints of a stage in two workdirs are equal bit for bit."""
    assert steps(one, stage)[-1] == steps(other, stage)[-1]
    expected, actual = saved(one, stage), saved(other, stage)
    assert expected.keys() == actual.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(actual[key], value, err_msg=key)
