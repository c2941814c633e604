"""Preparation that is killed, and checks that start nothing."""

import os
import signal
import subprocess
import sys
import time

from support import PYTHONPATH, data_settings

from mirrorgan_jax.data import prepare

SMALL = {
    "image_size": 32,
    "train_images_per_species": 1,
    "test_images_per_species": 1,
}


def test_sources_are_checked_without_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from mirrorgan_jax import data\n"
        "from mirrorgan_jax.settings import base\n"
        "data.check(base.base_config().data)\n"
        "assert all(map(data.source, data.SOURCES))\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_killed_preparation_is_never_read_and_is_removed(tmp_path):
    changes = {**SMALL, "train_images_per_species": 4}
    code = (
        "from support import data_settings; from mirrorgan_jax.data import prepare;"
        f"settings = data_settings.settings({str(tmp_path)!r}, **{changes});"
        "prepare.prepare(settings, seed=3)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
    )
    deadline = time.time() + 120
    while not list(tmp_path.glob("toybirds/*/*incomplete*")):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob(f"toybirds/*/{prepare.VERSION}"))
    settings = data_settings.settings(tmp_path, **changes)
    target = prepare.prepare(settings, seed=3)
    assert [p.name for p in target.parent.iterdir()] == [prepare.VERSION]
