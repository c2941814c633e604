"""Settings that every test needs before jax is imported, and shared runs."""

import os
from pathlib import Path

# Subprocesses inherit these, so that they compile nothing twice.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path("~/.cache/mirrorgan_jax/tests").expanduser()),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Accelerators multiply float32 with less than float32 otherwise.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# [B, C] + [C] is written out: an axis that is missing by mistake is an error.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

import fcntl
import json

import pytest
from support import TESTS, command


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what starts a process: by its folder, or for the run that it looks at."""
    for item in items:
        if (
            TESTS / "processes" in item.path.parents
            or "uninterrupted" in item.fixturenames
        ):
            item.add_marker("processes")


@pytest.fixture(scope="session")
def common(tmp_path_factory):
    """Folder of this session, one for all of pytest's workers."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tiny_data(common):
    """Folder of prepared data, drawn once for the whole session."""
    return common / "tiny_data"


@pytest.fixture(scope="session")
def uninterrupted(common, tiny_data):
    """A finished run of every stage with the tiny configuration."""
    workdir, note = common / "uninterrupted", common / "uninterrupted.json"
    with (common / "uninterrupted.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The first worker trains, the others wait for it here.
        if not note.exists():
            run = command.run(workdir, tiny_data)
            note.write_text(json.dumps([run.status, run.output, run.seconds]))
    run = command.Run(workdir, *json.loads(note.read_text()))
    assert run.status == 0, run.output
    return run
