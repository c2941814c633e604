"""The command that fills a table."""

import subprocess
import sys

import pytest
from support import command


def _row(path, title):
    line = next(x for x in path.read_text().splitlines() if x.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def _command(workdir, *flags):
    return subprocess.run(
        [sys.executable, "-m", "mirrorgan_jax.reproduce", f"--workdir={workdir}",
         *flags],
        cwd=command.ROOT, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--table=4"], "--table=4"),
        (["--table=3"], "error: --config is missing"),
        (["--config=tests/support/tiny_config.py"], "error: --table is missing"),
        (
            ["--config=tests/support/tiny_config.py", "--table=3", "--stage=gan"],
            "error in the flags: Unknown command line flag 'stage'",
        ),
    ],
)
def test_wrong_flags_are_said_in_a_sentence(tmp_path, flags, message):
    result = _command(tmp_path, *flags)
    assert result.returncode == 1
    assert message in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_command_trains_a_row_picks_it_up_and_writes_the_table(tmp_path, tiny_data):
    flags = [
        "--table=3", "--rows=no_global_lambda_0",
        "--config=tests/support/tiny_config.py", f"--config.data.root={tiny_data}",
    ]  # fmt: skip
    result = _command(tmp_path, *flags)
    assert result.returncode == 0, result.stderr
    title = "MirrorGAN w/o GA, lambda 0"
    first = _row(tmp_path / "table3.md", title)
    assert first[-1] == "1" and float(first[6]) >= 0
    again = _command(tmp_path, *flags)
    assert again.returncode == 0 and "---" not in again.stdout.split("\n| ")[0]
    assert _row(tmp_path / "table3.md", title) == first
    other = _command(tmp_path, *flags, "--config.gan.ngf=6", "--only_collect")
    assert other.returncode == 1
    assert "global attention, lambda 0, seed 0" in other.stderr
    assert "gan.ngf = 6, was 4" in other.stderr
