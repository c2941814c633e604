"""The report: what a run's folder holds is on one page, escaped; gaps are said."""

import base64
import io
import json
import re
from html import parser

import numpy as np
import pytest
from PIL import Image
from support import evaluations

from mirrorgan_jax.metrics import result
from mirrorgan_jax.metrics.result import Evaluation, Refused
from mirrorgan_jax.report import page as report
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import checkpoints, metric_log

_EVIL = "<script>alert('x')</script>"


class _Page(parser.HTMLParser):
    """Texts of a page, by the section they stand in, and its tags."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.sections, self._at = [], {}, ""
        self.source = path.read_text()
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._at = dict(attrs)["id"]

    def handle_data(self, data):
        self.sections[self._at] = f"{self.sections.get(self._at, '')} {data.strip()}"

    def text(self, section):
        return " ".join(self.sections[section].split())

    def images(self):
        return [attrs["src"] for tag, attrs in self.tags if tag == "img"]


def _picture(path, size=(60, 40), noise=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((*size[::-1], 3), np.uint8)
    if noise:
        values = np.random.default_rng(0).integers(0, 256, values.shape, np.uint8)
    Image.fromarray(values).save(path)


def _evaluation(workdir, metrics):
    path = workdir / "report" / "evaluation.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result.dumps(Evaluation(30, {"images": "few"}, metrics)))


def _r_precision(rows=None, **changes):
    rows = rows or {
        "generated": ([58.21, 66.0, 71], 2.04),
        "real": [72.0, float("inf"), float("nan")],
    }
    return evaluations.result(
        "R-precision", ["top1", "top2", "top3"], rows, unit="%",
        **{"protocol": {"images": 8, "kind": "one"}, "spread": "10 folds"} | changes,
    )  # fmt: skip


@pytest.fixture
def settings(monkeypatch):
    """Settings that every workdir seems to have; tests change them."""
    config = configs.base_config()
    monkeypatch.setattr(report, "saved_config", lambda workdir: config)
    return config


def test_empty_run_says_what_is_missing(tmp_path):
    page = _Page(report.write(tmp_path))
    for section, sentence in {
        "headlines": "No numbers yet",
        "samples": "no sample grids",
        "attention": "no pictures",
        "metrics": "not been evaluated",
        "curves": "no metrics",
        "training": "no series",
        "speed": "no times",
        "machine": "no report/run.json",
        "configuration": "no checkpoint yet",
    }.items():
        assert sentence in page.text(section)
    assert not page.images()


def test_absent_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        report.write(tmp_path / "absent")


def test_page_needs_nothing_else(tmp_path):
    _picture(tmp_path / "samples" / "final.png")
    page = _Page(report.write(tmp_path))
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object")]
    assert all("src" not in attrs for tag, attrs in page.tags if tag == "script")
    assert all(source.startswith("data:image/png;base64,") for source in page.images())
    policy = dict(page.tags[4][1])
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'")
    assert "http://" not in page.source and "https://" not in page.source


def test_metrics_stand_with_protocol_and_deviation(tmp_path, settings):
    del settings
    other = evaluations.result("unknown", ["a", "b"], {"generated": [0.01234, 123456]})
    _evaluation(tmp_path, {"r_precision": _r_precision(), "unknown": other})
    page = _Page(report.write(tmp_path))
    text = page.text("metrics")
    assert "generated 58.21 ± 2.04 66.00 71.00 real 72.00 – –" in text
    assert "± is the deviation over 10 folds. Protocol: images: 8; kind: one" in text
    assert text.count("is the deviation") == 1  # the other one has none
    assert "unknown higher is better images a b generated 0.012 1.235e+05" in text
    head = page.text("headlines")
    assert "images: few" in head
    assert "58.21 ± 2.04 % real images: 72.00 paper: other data ± over 10 folds" in head
    assert head.count("± over") == 1
    assert "paper: does not report it" in head


def test_refused_row_gives_its_reason(tmp_path):
    found = evaluations.result(
        "Inception Score", ["mean"], {"generated": [4.0]},
        refused={result.Source("real"): "too few <b>"},
    )  # fmt: skip
    _evaluation(tmp_path, {"inception_score": found})
    page = _Page(report.write(tmp_path))
    assert "generated 4.00 real: not measured: too few <b>" in page.text("metrics")
    assert "real images" not in page.text("headlines").partition("paper")[0]


def test_refused_metric_gives_its_reason(tmp_path):
    _evaluation(tmp_path, {"kid": Refused("KID", "only 8 images")})
    page = _Page(report.write(tmp_path))
    assert "KID Not measured: only 8 images" in page.text("metrics")
    assert "KID" not in page.text("headlines")


@pytest.mark.parametrize(
    ("name", "precision", "score"),
    [("cub", "57.67", "4.56 ± 0.05"), ("coco", "74.52", "26.47 ± 0.41")],
)
def test_paper_stands_beside_the_same_data_only(
    tmp_path, settings, name, precision, score
):
    metrics = {
        "r_precision": _r_precision(),
        "inception_score": evaluations.result("IS", ["mean"], {"generated": [4.0]}),
    }
    _evaluation(tmp_path, metrics)
    settings.data.name = name
    page = _Page(report.write(tmp_path))
    assert f"paper: {precision}" in page.text("headlines")
    assert f"paper: {score}" in page.text("headlines")
    assert f"MirrorGAN, paper {precision}" in page.text("metrics")
    settings.data.name = "toybirds"
    page = _Page(report.write(tmp_path))
    assert "MirrorGAN, paper" not in page.source
    assert page.text("headlines").count("paper: other data") == 2


def test_headlines_take_the_independent_judge_and_the_mean_of_parts(tmp_path):
    mirror = {
        ("generated", "STREAM"): [50.0],
        ("real", "STREAM"): [60.0],
        ("generated", "held-out captioner"): [40.0],
        ("real", "held-out captioner"): [70.0],
        ("generated from other captions", "STREAM"): [10.0],
    }
    parts = {"generated": [50.0, 20.0]}
    _evaluation(
        tmp_path,
        {
            "mirror": evaluations.result("Mirror", ["survived"], mirror),
            "attributes": evaluations.result("Attributes", ["body", "wing"], parts),
        },
    )
    head = _Page(report.write(tmp_path)).text("headlines")
    assert "(survived, held-out captioner) 40.00 real images: 70.00" in head
    assert "(mean of 2) 35.00" in head
    assert "generated, STREAM 50.00" in _Page(report.write(tmp_path)).text("metrics")


def test_everything_from_outside_is_escaped(tmp_path, settings):
    settings.data.source = _EVIL
    found = evaluations.result(
        _EVIL, [_EVIL], {_EVIL: [1.0], ("generated", _EVIL): [2.0]}, unit=_EVIL,
        better=_EVIL, protocol={_EVIL: _EVIL},
    )  # fmt: skip
    _evaluation(tmp_path, {_EVIL: found, "kid": Refused("KID", _EVIL)})
    run = {"versions": {_EVIL: _EVIL}, "hardware": {_EVIL: _EVIL}, "stages": {}}
    (tmp_path / "report" / "run.json").write_text(json.dumps(run))
    with metric_log.MetricLog(tmp_path, "gan", 0, events=False) as log:
        log.write(1, {f"G/{_EVIL}": 1.0})
    page = _Page(report.write(tmp_path))
    assert _EVIL not in page.source
    # The page's own two scripts and no other.
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    for section in ("headlines", "metrics", "curves", "machine"):
        assert _EVIL in page.text(section)
    assert "alert" in page.text("configuration")


def test_losses_become_charts_and_null_a_gap(tmp_path):
    with metric_log.MetricLog(tmp_path, "gan", 0, events=False) as log:
        for step in range(1, 6):
            value = float("nan") if step == 3 else 1.0
            log.write(step, {"G/loss": value, "D16/loss": 2.0})
    page = _Page(report.write(tmp_path))
    assert sum(tag == "svg" for tag, _ in page.tags) == 2
    # G's line is broken in two, D's is whole.
    assert page.source.count("<polyline") == 3
    assert "gan 5 – – –" in page.text("speed")


def test_times_and_machine_are_shown(tmp_path):
    times = {"seconds": 3723.4, "seconds_per_step": 0.25, "images_per_second": 48.0}
    run = {
        "versions": {"jax": "1.2.3"},
        "hardware": {"device_kind": "abacus"},
        "stages": {"stem": times, "gan": {"seconds": 10.0, "seconds_per_step": None}},
    }
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "run.json").write_text(json.dumps(run))
    page = _Page(report.write(tmp_path))
    assert "stem – 4.00 48.00 1:02:03 gan – – – 0:00:10" in page.text("speed")
    assert "device_kind abacus jax 1.2.3" in page.text("machine")


def test_grids_are_spread_over_the_training_with_the_last(tmp_path):
    for step in range(100, 3000, 100):
        _picture(tmp_path / "samples" / f"{step:07d}.png")
    _picture(tmp_path / "samples" / "final.png", size=(77, 33))
    page = _Page(report.write(tmp_path))
    labels = [attrs["data-label"] for _, attrs in page.tags if "data-label" in attrs]
    assert len(labels) == 8
    assert labels[0] == "step 100" and labels[-1] == "final"
    steps = [int(label.split()[1].replace(",", "")) for label in labels[:-1]]
    assert set(np.diff(steps)) <= {400, 500}
    final = Image.open(io.BytesIO(base64.b64decode(page.images()[0].split(",")[1])))
    assert final.size == (77, 33)


def test_large_picture_is_made_small(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PICTURE_BYTES", 60_000)
    _picture(tmp_path / "report" / "stages.png", size=(900, 300), noise=True)
    (source,) = _Page(report.write(tmp_path)).images()
    kind, data = source.split(";base64,")
    assert kind == "data:image/webp"
    assert len(base64.b64decode(data)) <= 60_000


def test_broken_files_leave_their_sections_with_a_sentence(tmp_path):
    for name in ("samples/final.png", "report/evaluation.json", "report/run.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"{broken")
    page = _Page(report.write(tmp_path))
    assert "no sample grids" in page.text("samples")
    assert "No numbers yet" in page.text("headlines")


def test_picture_cut_short_is_not_shown(tmp_path):
    path = tmp_path / "samples" / "final.png"
    _picture(path, noise=True)
    path.write_bytes(path.read_bytes()[:3000])
    page = _Page(report.write(tmp_path))
    assert "no sample grids" in page.text("samples")
    assert not page.images()


@pytest.mark.parametrize(
    ("evaluation", "reason"),
    [
        ([1], "holds no evaluation: "),
        ({"metrics": [1]}, "holds no evaluation: "),
        ({"metrics": None}, "holds no evaluation: "),
        ({"metrics": {"fid": {"title": "FID", "rows": {}}}}, "by an earlier version: "),
    ],
)
def test_evaluation_of_another_form_is_none_and_says_why(tmp_path, evaluation, reason):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "evaluation.json").write_text(json.dumps(evaluation))
    page = _Page(report.write(tmp_path))
    said = f"{reason}`mirrorgan evaluate --workdir={tmp_path}` makes it anew."
    assert said in page.text("headlines")
    assert "not been evaluated" in page.text("metrics")


@pytest.mark.parametrize("changes", [3, None, {"rows": [1]}, {"columns": []}])
def test_metric_of_another_form_is_named_beside_the_others(tmp_path, changes):
    metrics = {"fid": evaluations.evaluation().metrics["fid"]}
    _evaluation(tmp_path, metrics | {"r_precision": _r_precision()})
    path = tmp_path / "report" / "evaluation.json"
    found = json.loads(path.read_text())
    entry = found["metrics"]["fid"]
    found["metrics"]["fid"] = entry | changes if isinstance(changes, dict) else changes
    path.write_text(json.dumps(found))
    page = _Page(report.write(tmp_path))
    text = page.text("metrics")
    assert "fid Not measured: report/evaluation.json holds no table of it" in text
    assert "58.21 ± 2.04" in text
    assert "fid" not in page.text("headlines")


def test_configuration_beside_the_checkpoint_is_shown(tmp_path):
    config = configs.base_config("reference")
    config.stem.num_steps = 77
    folder = checkpoints.directory(tmp_path, "stem") / "5"
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            report.layout, "read_settings", lambda workdir, stage: (config, [stage])
        )
        page = _Page(report.write(tmp_path))
    assert "preset reference" in page.text("")
    text = page.text("configuration")
    assert "1 of " in text and 'differ from the preset "reference"' in text
    assert re.search(r"stem\.num_steps 77 110000", text)
    assert [a for tag, a in page.tags if tag == "tr" and a.get("class")] == [
        {"class": "changed"}
    ]


@pytest.mark.parametrize(("share", "said"), [(0.1, "validation"), (0.0, "test")])
def test_page_says_what_was_chosen_on(tmp_path, share, said):
    config = configs.base_config()
    config.data.validation = share
    page = _Page(report.write(tmp_path, config))
    assert f"chosen on {said} images" in page.text("")
