"""Layout of the paper's tables: means over seeds, gaps with reasons, order, CSV."""

import csv
import io

import pytest
from support import evaluations

from mirrorgan_jax.metrics.result import Refused, Source
from mirrorgan_jax.report import paper as published
from mirrorgan_jax.report import results, tables
from mirrorgan_jax.settings import variants


def _cells(text):
    """Rows of the first Markdown table in a text: {first cell: {column: cell}}."""
    block = text[text.index("|") :].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in block]
    header, rule, *body = rows
    assert all(set(cell) <= set("-:") for cell in rule)
    assert len({len(line) for line in block}) == 1  # padded: readable without a viewer
    assert all(len(row) == len(header) for row in body)
    return {row[0]: dict(zip(header, row, strict=True)) for row in body}


def _outcome(**values):
    return results.Outcome(evaluations.evaluation(**values))


def _section(text, title):
    return text[text.index(title) :]


def test_grid_escapes_what_would_end_a_cell():
    text = tables.grid(["a", "b"], [["x|y", 1]])
    assert text.splitlines()[-1] == "| x\\|y |   1 |"


def test_real_images_are_those_of_the_full_size():
    small, full = _outcome(), _outcome()
    score = small.evaluation.metrics["inception_score"]
    score.rows[Source("real")].values["mean"] = 2.0
    runs = {"one_stage": {0: small, 1: small}, "mirrorgan": {0: full}}
    row = _cells(tables.markdown(1, runs, "cub"))["real test images"]
    assert row["Inception Score ours"] == "5.00 ± 4.24"  # 8 and 2


@pytest.mark.parametrize("number", results.TABLES)
def test_every_row_and_number_of_the_paper_is_there(number):
    rows = _cells(tables.markdown(number, {}, "cub"))
    for row in results.TABLES[number].rows:
        for dataset, values in row.paper.items():
            for key, value in values.items():
                title = f"{results.BY_KEY[key].title} paper, {dataset.upper()}"
                assert rows[row.title][title].startswith(f"{value[0]:.2f}")
    assert rows["MirrorGAN" if number < 3 else "MirrorGAN, lambda 20"]["seeds"] == (
        "none"
    )
    if number == 1:
        assert rows["PPGN"]["Inception Score paper, CUB"] == "–"
        assert rows["PPGN"]["Inception Score ours"] == "–"
        assert rows["AttnGAN"]["Inception Score ours"] == "not measured"
        assert rows["first stage alone"]["Inception Score paper, CUB"] == "–"


def test_rows_with_runs_are_variants_of_their_names():
    rows = {row.title: row.variant for t in results.TABLES.values() for row in t.rows}
    assert {v for v in rows.values() if v} == variants.VARIANTS.keys()
    for (attention, weight), title in zip(
        published.ABLATION, (r.title for r in results.TABLES[3].rows), strict=True
    ):
        changes = variants.VARIANTS[rows[title]].changes
        assert changes["gan.lambda_stream"] == weight
        assert changes["gan.sentence_attention"] == attention
    assert results.run_name("lambda_20") == results.run_name("mirrorgan")
    assert results.run_name("lambda_10") == "lambda_10"


def test_mean_and_deviation_are_over_seeds():
    outcomes = {s: _outcome(top1=v) for s, v in enumerate((50.0, 52.0, 57.0))}
    cell = _cells(tables.markdown(2, {"mirrorgan": outcomes}, "cub"))["MirrorGAN"]
    # mean 53, squares 9 + 1 + 16 over n - 1 = 2.
    assert cell["top-1 % ours"] == "53.00 ± 3.61"
    assert cell["seeds"] == "3"
    single = tables.markdown(2, {"mirrorgan": {4: outcomes[0]}}, "cub")
    assert _cells(single)["MirrorGAN"]["top-1 % ours"] == "50.00"


def test_real_images_bound_the_rows_and_attributes_are_a_mean():
    text = tables.markdown(2, {"attngan": {0: _outcome()}}, "toybirds")
    assert _cells(text)["real test images"]["top-1 % ours"] == "90.00"
    every = _cells(_section(text, "## All measures"))
    assert every["AttnGAN"]["asked attributes %"] == "25.00"  # of 10, 20, 30 and 40
    assert every["AttnGAN"]["colour on another part %"] == "20.00"
    assert every["AttnGAN"]["mirror % (STREAM)"] == "61.00"
    assert every["AttnGAN"]["mirror % (held-out)"] == "44.00"
    assert every["real test images"]["FID"] == "–"
    assert "other data" in text


def test_only_drawn_birds_have_columns_of_their_truth():
    found = evaluations.evaluation()
    for name in ("attributes", "attribute_places", "mirror"):
        del found.metrics[name]
    text = tables.markdown(1, {"attngan": {0: results.Outcome(found)}}, "cub")
    assert "attributes" not in text and "mirror %" not in text
    assert "other data" not in text


def test_refused_measure_is_a_gap_with_its_reason():
    found = _outcome()
    reason = "no network | give eval.inception"
    for name in ("inception_score", "fid"):
        found.evaluation.metrics[name] = Refused(name, reason)
    text = tables.markdown(1, {"attngan": {0: found, 1: _outcome()}}, "cub")
    row = _cells(text)["AttnGAN"]
    assert row["Inception Score ours"] == "3.00 (1 of 2) [1]"
    assert f"- [1] {reason}" in text and "[2]" not in text
    alone = _cells(tables.markdown(1, {"attngan": {0: found}}, "cub"))["AttnGAN"]
    assert alone["Inception Score ours"] == "not measured [1]"


def test_refused_row_of_real_images_is_a_gap_with_its_reason():
    found = _outcome()
    score = found.evaluation.metrics["inception_score"]
    del score.rows[Source("real")]
    score.refused[Source("real")] = "2933 images are too few"
    text = tables.markdown(1, {"attngan": {0: found}}, "cub")
    rows = _cells(text)
    assert rows["AttnGAN"]["Inception Score ours"] == "3.00"
    assert rows["real test images"]["Inception Score ours"] == "not measured [1]"
    assert "- [1] 2933 images are too few" in text


def test_columns_name_the_networks_that_were_looked_through():
    found = _outcome()
    found.evaluation.metrics["fid"].protocol["network"] = "inception_fid"
    other = _outcome()
    other.evaluation.metrics["fid"].protocol["network"] = "inception_v3"
    runs = {"attngan": {0: found}, "mirrorgan": {0: other}}
    text = _section(tables.markdown(1, runs, "cub"), "## All measures")
    assert "FID (inception_fid, inception_v3)" in _cells(text)["AttnGAN"]
    assert "MirrorGAN, seed 0: network inception_v3 instead of inception_fid" in text


def test_value_that_is_not_finite_counts_nowhere():
    for value in (None, float("nan")):
        outcomes = {0: _outcome(top1=value), 1: _outcome(top1=40.0)}
        cell = _cells(tables.markdown(2, {"attngan": outcomes}, "cub"))["AttnGAN"]
        assert cell["top-1 % ours"] == "40.00 (1 of 2) [1]"


def test_note_of_a_run_stands_beside_the_row():
    outcomes = {0: _outcome(), 1: results.Outcome(note="gan diverged at step 7")}
    cell = _cells(tables.markdown(3, {"lambda_5": outcomes}, "cub"))
    assert cell["MirrorGAN, lambda 5"]["seeds"] == "1; seed 1 gan diverged at step 7"


@pytest.mark.parametrize(
    ("above", "below", "expected"),
    [
        ((5.0, 1.0, 3), (1.0, 1.0, 3), "agree"),
        ((1.0, 1.0, 3), (5.0, 1.0, 3), "disagree"),
        # s = 1, so that the standard error is sqrt(2 / 3) = 0.816.
        ((5.81, 1.0, 3), (5.0, 1.0, 3), "less than one standard error"),
        ((5.82, 1.0, 3), (5.0, 1.0, 3), "agree"),
        # A single seed has no deviation; the other row's serves both: 1.118.
        ((6.11, None, 1), (5.0, 1.0, 4), "less than one standard error"),
        ((6.13, None, 1), (5.0, 1.0, 4), "agree"),
        ((5.1, None, 1), (5.0, None, 1), "agree"),
        ((5.0, None, 1), (5.0, None, 1), "equal"),
    ],
)
def test_verdict_is_computed(above, below, expected):
    assert tables.verdict(results.Spread(*above), results.Spread(*below)) == expected
    assert tables.verdict(None, results.Spread(*below)) == "not measured"


def test_order_of_table_3_follows_the_numbers():
    scores = {
        "mirrorgan": 5.0, "no_global_lambda_20": 4.0, "lambda_10": 4.5, "lambda_5": 3.0,
    }  # fmt: skip
    outcomes = {k: {0: _outcome(inception_score=v)} for k, v in scores.items()}
    text = _section(tables.markdown(3, outcomes, "cub"), "## Does the paper's order")
    score = text[: text.index("### top-1")]
    assert [row["ours and paper"] for row in _cells(score).values()] == [
        "agree", "disagree", "agree", "not measured",
    ]  # fmt: skip
    assert "Of 4 adjacent pairs: 2 agree, 1 disagree, 1 not measured." in score
    assert (
        "ours: MirrorGAN, lambda 20 > MirrorGAN, lambda 10 > MirrorGAN w/o GA,"
        " lambda 20 > MirrorGAN, lambda 5\n" in score
    )
    # All runs have the same top-1.
    assert "ours: MirrorGAN, lambda 20 = MirrorGAN w/o GA, lambda 20 =" in text
    # The odd row of the paper: by top-1 it stands last.
    assert list(_cells(_section(text, "### top-1")))[-1] == (
        "MirrorGAN w/o GA, lambda 0 over MirrorGAN, lambda 5"
    )
    assert "order hold" not in tables.markdown(2, outcomes, "cub")


def test_order_on_coco_is_that_of_its_column():
    pairs = _cells(_section(tables.markdown(3, {}, "coco"), "### top-1"))
    assert list(pairs)[-1] == "MirrorGAN, lambda 5 over MirrorGAN w/o GA, lambda 0"


def test_protocol_stands_once_and_differences_are_named():
    first, second, third = (_outcome() for _ in range(3))

    def protocol(outcome, **values):
        found = outcome.evaluation.metrics["r_precision"].protocol
        found.clear()
        found.update(values)

    protocol(first, pool=100, weights="abc", seed=0)
    protocol(second, pool=99, weights="abc", seed=0)
    protocol(third, pool=100, weights="def", seed=1)
    runs = {"attngan": {0: first, 1: third}, "mirrorgan": {0: second}}
    text = _section(tables.markdown(2, runs, "cub"), "## Protocols")
    assert text.count("R-precision") == 1
    assert "R-precision (AttnGAN, seed 0): pool: 100; weights: abc; seed: 0" in text
    assert "MirrorGAN, seed 0: pool 99 instead of 100" in text
    assert text.count("instead of") == 1  # another seed has another STEM
    protocol(third, pool=100, weights="def", folds=5, seed=1)
    text = tables.markdown(2, runs, "cub")
    assert "AttnGAN, seed 1: folds 5 instead of not said" in text
    # Weights that differ within one seed are a difference.
    protocol(second, pool=100, weights="def", seed=0)
    text = tables.markdown(2, runs, "cub")
    assert "MirrorGAN, seed 0: weights def instead of abc" in text


def test_csv_has_a_line_for_each_seed_and_the_aggregates():
    outcomes = {
        0: _outcome(top1=50.0),
        1: _outcome(top1=54.0),
        2: results.Outcome(note="gan diverged at step 7"),
    }
    text = tables.csv_text(3, {"mirrorgan": outcomes})
    rows = list(csv.DictReader(io.StringIO(text)))
    own = [r for r in rows if r["run"] == "mirrorgan" and r["source"] == "generated"]
    assert [(r["seed"], r["statistic"], r["top1"]) for r in own] == [
        ("0", "value", "50.0"), ("1", "value", "54.0"), ("2", "value", ""),
        ("", "mean", "52.0"), ("", "standard deviation", str(8**0.5)),
        ("", "count", "2"),
    ]  # fmt: skip
    assert own[2]["note"] == "gan diverged at step 7"
    paper = [r for r in rows if r["statistic"] == "paper" and r["source"] == "cub"]
    assert [r["top1"] for r in paper] == ["39.09", "55.67", "32.07", "43.21", "57.67"]
    deviations = [r for r in rows if r["statistic"] == "paper deviation"]
    assert {r["top1"] for r in deviations} == {""}
    assert deviations[-1]["inception_score"] == "0.41"
    assert any(r["source"] == "real" for r in rows)


def test_who_chose_stands_above_the_table():
    first, second = _outcome(), _outcome()
    first.evaluation.protocol["chosen on"] = "270 validation images"
    second.evaluation.protocol["chosen on"] = "the test images"
    text = tables.markdown(2, {"mirrorgan": {0: first, 1: second}}, "cub")
    said = "chosen on 270 validation images and the test images."
    assert said in text[: text.index("|")]
    assert "chosen on" not in tables.markdown(2, {}, "cub")
