"""The paper's figures from the command line."""

import numpy as np
import pytest
from PIL import Image

from mirrorgan_jax.cli import figures

CAPTION = "this red bird has blue wings"


@pytest.fixture
def draw(uninterrupted, tmp_path, capsys):
    """Runs the command; returns (status, picture or None, output, errors)."""

    def run(*flags, workdir=uninterrupted.workdir):
        out = tmp_path / "figure.png"
        status = figures.cli(
            ["figures", f"--workdir={workdir}", f"--out={out}", *flags]
        )
        said = capsys.readouterr()
        picture = np.asarray(Image.open(out)) if out.exists() else None
        return status, picture, said.out, said.err

    return run


@pytest.mark.parametrize(
    "flags",
    [
        ["--figure=stages", f"--caption={CAPTION}"],
        ["--figure=swap", f"--caption={CAPTION}", "--swap=red=blue,yellow"],
        ["--figure=interpolation", f"--caption={CAPTION}", "--to=a green bird"],
        ["--figure=redescription", "--from_test=2"],
    ],
)
def test_every_figure_is_drawn(draw, flags):
    status, picture, out, err = draw(*flags)
    assert status == 0, err
    assert picture.std() > 10 and min(picture.shape[:2]) > 100
    assert "figure.png" in out and "generator of step 6 of 6" in out


def test_methods_stand_above_one_another(draw, uninterrupted):
    run = uninterrupted.workdir
    one = draw("--figure=methods", f"--caption={CAPTION}")
    assert "the row of real images is left out" in one[2]
    two = draw(
        "--figure=methods", f"--caption={CAPTION}", f"--workdirs=a={run},b={run}"
    )
    assert two[0] == 0, two[3]
    assert two[1].shape[0] > one[1].shape[0] and two[1].shape[1] == one[1].shape[1]


def test_swap_keeps_the_noise(draw):
    # The first column is the original, whatever is put in its place beside it.
    one = draw("--figure=swap", f"--caption={CAPTION}", "--swap=red=blue")[1]
    two = draw("--figure=swap", f"--caption={CAPTION}", "--swap=red=yellow")[1]
    changed = (one != two).any(axis=(0, 2))
    assert changed.any() and not changed[: one.shape[1] // 2].any()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([f"--caption={CAPTION}"], "--figure is missing"),
        (["--figure=stages"], "no caption"),
        (["--figure=stages", "--caption=xyzzy"], "xyzzy"),
        (["--figure=swap", f"--caption={CAPTION}", "--swap=green=blue"], "green"),
        (["--figure=swap", f"--caption={CAPTION}", "--swap=red=xyzzy"], "xyzzy"),
        (["--figure=swap", f"--caption={CAPTION}", "--swap=red"], "red"),
        (["--figure=other", f"--caption={CAPTION}"], "other"),
        (["--figure=methods", f"--caption={CAPTION}", "--truth=none"], "none"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(draw, flags, message):
    status, picture, _, err = draw(*flags)
    assert status == 1 and picture is None
    assert err.startswith("error") and message in err and err.count("\n") == 1


def test_a_folder_without_a_run_is_refused(draw, tmp_path):
    status, _, _, err = draw(
        "--figure=stages", f"--caption={CAPTION}", workdir=tmp_path / "none"
    )
    assert status == 1 and "does not exist" in err
