"""What a run of toybirds leaves behind, with made-up numbers; and what measures see."""

import numpy as np

from mirrorgan_jax import text
from mirrorgan_jax.data import toybirds
from mirrorgan_jax.metrics import features
from mirrorgan_jax.metrics import looks as looking
from mirrorgan_jax.metrics import observed as observations
from mirrorgan_jax.metrics.result import Evaluation, Result, Row, Source

PARTS = ("body", "wing", "belly", "crown")
TRUTH = toybirds.TRUTH
COLORS = TRUTH.values["body"]


def result(title, columns, rows, **changes):
    """A `Result`; rows are {images or (images, judge): values or (values, deviation)},
    values {column: number} or the numbers in the order of the columns."""

    def row(values):
        values, deviation = values if isinstance(values, tuple) else (values, None)
        if not isinstance(values, dict):
            values = dict(zip(columns, values, strict=False))
        return Row(values, deviation)

    fields = {"unit": "", "better": "higher", "protocol": {"seed": 0}} | changes
    return Result(
        title=title,
        columns=tuple(columns),
        rows={
            Source(*((key,) if isinstance(key, str) else key)): row(values)
            for key, values in rows.items()
        },
        **fields,
    )


def evaluation(step=30, top1=50.0, inception_score=3.0):
    """The evaluation after a step; top-1 in %, Inception Score."""
    metrics = {
        "r_precision": result(
            "R-precision", ["top1", "top2", "top3"],
            {"generated": [top1, 60.0, 70.0], "real": [90.0, 95.0, 97.0]},
        ),
        "inception_score": result(
            "Inception Score", ["mean"],
            {"generated": ([inception_score], 0.1), "real": ([8.0], 0.2)},
            spread="10 splits",
        ),
        "fid": result("FID", ["value"], {"generated": [20.0]}),
        "kid": result("KID", ["mean"], {"generated": ([5.0], 1.0)}),
        "attributes": result(
            "Attribute accuracy", PARTS,
            {"generated": [10.0, 20.0, 30.0, 40.0], "real": [99.0] * 4},
        ),
        "attribute_places": result(
            "Where asked colours went", ["right part", "another part", "nowhere"],
            {"generated": [30.0, 20.0, 50.0], "real": [98.0, 0.5, 1.5]},
        ),
        "mirror": result(
            "Mirror accuracy", ["survived", "contradicted"],
            {
                ("generated", "STREAM"): [61.0, 9.0],
                ("real", "STREAM"): [80.0, 4.0],
                ("generated", "held-out captioner"): [44.0],
            },
        ),
    }  # fmt: skip
    return Evaluation(step, {"test images": 8, "seed": 0}, metrics)


def network(**changes):
    """What a feature network says of itself."""
    fields = {
        "name": "toy", "weights": "0123456789abcdef", "resize": "none",
        "num_classes": 3, "dim": 4, "background": False, "standardised": False,
        "variables": {}, "apply": None,
    }  # fmt: skip
    return features.FeatureNetwork(**fields | changes)


def looks(*networks, images=40, repeats=1, seed=1):
    """What feature networks made of random images: {name: `Look`}."""
    rng = np.random.default_rng(seed)
    sides = {"generated": images * repeats, "real": images}

    def seen(count):
        return {
            "features": rng.normal(size=(count, 4)), "log_probs": (head(rng, count),)
        }  # fmt: skip

    return {
        net.name: looking.Look(net, {side: seen(n) for side, n in sides.items()}, 32)
        for net in networks
    }


def head(rng, count, classes=3):
    """[count, classes] random log-probabilities."""
    logits = rng.normal(0, 2, (count, classes))
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def observed(images=40, repeats=1, **changes):
    """An `Observed` of random numbers: some images with `repeats` captions each."""
    rng = np.random.default_rng(0)
    count = images * repeats

    def sides(make):
        return {"generated": make(count), "real": make(images)}

    words = [word for said in TRUTH.synonyms.values() for word in said]
    vocab = text.Vocabulary(["<end>", *"a bird with wings".split(), *words])
    caption = vocab.encode("a red bird with blue wings")
    tokens = np.tile(np.array([*caption, 0, 0], np.int32), (count, 1))

    def captioned(n):
        # Its choice is the caption's own word everywhere.
        log_probs = np.log(np.eye(len(vocab))[tokens[:n]] + 1e-3)
        return {"ids": tokens[:n], "log_probs": log_probs}

    pools = np.stack([(np.arange(count) + k) % count for k in range(5)], 1)
    fields = {
        "data": "toybirds",
        "seed": 0,
        "settings": {
            "folds": 10, "splits": 2, "kid_subsets": 3, "kid_subset_size": 20,
            "reference": "", "classifier_steps": 2, "classifier_images": 8,
            "mirror_floor": 0.5, "heldout_decoder": "transformer",
        },
        "class_ids": np.tile(np.arange(images) // 10, repeats),
        "tokens": tokens,
        "length": np.full(count, len(caption), np.int32),
        "pools": pools,
        "class_pools": pools,
        "mismatched": np.roll(np.arange(count), -1),
        "codes": sides(lambda n: rng.normal(size=(n, 6))),
        "sentences": rng.normal(size=(count, 6)),
        "judge": {"judge": "DAMSM", "weights": "abc"},
        "looks": looks(network(), images=images, repeats=repeats),
        "attributes": sides(lambda n: {name: head(rng, n, 9) for name in PARTS}),
        # What the captions say of the first two, and do not of the others.
        "drawn": {
            "body": np.full(count, COLORS.index("red")),
            "wing": np.full(count, COLORS.index("blue")),
            "belly": rng.integers(0, 9, count), "crown": rng.integers(0, 9, count),
        },
        "redescriptions": {
            "STREAM": {**sides(captioned), observations.OTHERS: captioned(count)}
        },
        "cross_entropies": {"STREAM": {"matched": 1.0, "shuffled": 1.5}},
        "truth": TRUTH,
        "vocab": vocab,
    }  # fmt: skip
    return observations.Observed(**fields | changes)
