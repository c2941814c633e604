"""The report from the command line."""

from mirrorgan_jax.cli import report


def test_command_prints_the_page(tmp_path, capsys):
    assert report.cli(["report", f"--workdir={tmp_path}"]) == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path}/report/index.html"
    assert (tmp_path / "report" / "index.html").exists()
