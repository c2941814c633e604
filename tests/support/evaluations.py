"""An `evaluation.json` as a run of toybirds writes it, with made-up numbers."""


def _entry(title, columns, rows):
    return {
        "title": title, "unit": "", "better": "higher", "protocol": f"{title}, seed 0",
        "columns": columns, "rows": rows,
    }  # fmt: skip


def evaluation(step=30, top1=50.0, inception_score=3.0):
    """The evaluation after a step; top-1 in %, Inception Score."""
    parts = ["body", "wing", "belly", "crown"]
    said = ["survived", "contradicted"]
    metrics = {
        "r_precision": _entry(
            "R-precision", ["top1", "top2", "top3"],
            {
                "generated": {"top1": top1, "top2": 60.0, "top3": 70.0},
                "real": {"top1": 90.0, "top2": 95.0, "top3": 97.0},
            },
        ),
        "inception_score": _entry(
            "Inception Score", ["mean"],
            {
                "generated": {"mean": inception_score, "deviation": 0.1},
                "real": {"mean": 8.0, "deviation": 0.2},
            },
        ),
        "fid": _entry("FID", ["value"], {"generated": {"value": 20.0}}),
        "kid": _entry("KID", ["mean"], {"generated": {"mean": 5.0, "deviation": 1.0}}),
        "attributes": _entry(
            "Attribute accuracy", parts,
            {
                "generated": dict(zip(parts, (10.0, 20.0, 30.0, 40.0), strict=True)),
                "real": dict.fromkeys(parts, 99.0),
            },
        ),
        "mirror": _entry(
            "Mirror accuracy", said,
            {
                "generated, STREAM": {"survived": 61.0, "contradicted": 9.0},
                "real, STREAM": {"survived": 80.0, "contradicted": 4.0},
                "generated, held-out captioner": {"survived": 44.0},
            },
        ),
    }  # fmt: skip
    return {"step": step, "protocol": "8 test images, seed 0", "metrics": metrics}
