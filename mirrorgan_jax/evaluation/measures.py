"""What an evaluation measures: each measure becomes an entry of the report.

An entry is a dictionary that JSON can hold: `title`, `unit`, `better` ("higher" or
"lower"), `protocol` (everything that the number depends on), `columns` and `rows`
{what was measured: {column: number in the unit}}; or `title` and `refused`, the reason
why the protocol cannot hold. A row's `deviation` belongs to its first column.
"""

import numpy as np
from etils import epath

from mirrorgan_jax.evaluation import protocol as protocols
from mirrorgan_jax.metrics import fid, inception_score, kid, r_precision
from mirrorgan_jax.parallel import hosts


def _percent(values, names):
    return {name: 100 * values[name] for name in names}


def refused(title, reason):
    """The entry of a measure whose protocol cannot hold."""
    return {"title": title, "refused": str(reason)}


def r_precisions(config, evaluator, generated, real, sentences, digest):
    """Entries of R-precision: against other images' and other classes' captions.

    Args:
      config: the configuration.
      evaluator: the evaluator whose protocol the codes follow.
      generated: [n, D] codes of generated images.
      real: [num_images, D] codes of real ones.
      sentences: [n, D] codes of the captions.
      digest: of STEM's weights.
    """
    p = evaluator.protocol
    classes = evaluator.split.class_ids[p.indices]
    sources = {
        "generated": generated,
        "real": real,
        "generated from other captions": generated[protocols.mismatched_rows(classes)],
    }

    def entry(title, pools, others):
        rows = {}
        for name, codes in sources.items():
            found = r_precision.r_precision(
                codes, sentences, pools[: len(codes)],
                folds=config.eval.folds, seed=config.seed,
            )  # fmt: skip
            rows[name] = _percent(found, ("top1", "top2", "top3"))
            rows[name]["standard error"] = 100 * found["standard_error"]
            if "fold_deviation" in found:
                rows[name]["deviation"] = 100 * found["fold_deviation"]
        return {
            "title": title,
            "unit": "%",
            "better": "higher",
            "protocol": (
                f"{len(generated)} generated and {len(real)} real images, one of"
                f" {pools.shape[1]} captions each: the own one and"
                f" {pools.shape[1] - 1} of other {others}; cosine of this run's DAMSM"
                f" codes ({config.stem.encoder}, weights {digest}), captions of at"
                f" most {config.text.eval_words} words; deviation over"
                f" {config.eval.folds} folds, where there are so many images;"
                f" seed {config.seed}"
            ),
            "columns": ["top1", "top2", "top3"],
            "rows": rows,
        }

    entries = {"r_precision": entry("R-precision", p.pools, "test images")}
    title = "R-precision, captions of other classes"
    entries["r_precision_classes"] = (
        refused(title, "all test images are of one class")
        if p.class_pools is None
        else entry(title, p.class_pools, "classes")
    )
    return entries


def _network_text(network):
    return f"{network.name}, weights {network.weights[:12]}, {network.resize}"


def _inception_score(config, network, generated, real):
    c, rows = config.eval, {}
    for name, values in (("generated", generated), ("real", real)):
        heads = values["log_probs"]
        if network.background:
            heads = tuple(inception_score.drop_background(head) for head in heads)
        found = inception_score.inception_score(
            heads, splits=c.splits, seed=config.seed
        )
        rows[name] = {key: found[key] for key in ("mean", "deviation")}
    several = len(generated["log_probs"]) > 1
    return {
        "title": "Inception Score",
        "unit": "",
        "better": "higher",
        "protocol": (
            f"{len(generated['features'])} generated and {len(real['features'])} real"
            f" images, {c.splits} splits; {_network_text(network)},"
            f" {network.num_classes} classes"
            + (", mean KL over its heads" if several else "")
            + f"; 8-bit images, seed {config.seed}"
        ),
        "columns": ["mean"],
        "rows": rows,
    }


def reference_moments(config, network, features, image_size):
    """Moments of the real images, out of `eval.reference` where that file is.

    Returns:
      (`fid.Moments`, their protocol).

    Raises:
      ValueError: the file was made under another protocol, or is broken.
    """
    protocol = {
        "data": config.data.name,
        "split": "test",
        "images": len(features),
        "crops": f"centre, {image_size} pixels",
        "network": network.name,
        "weights": network.weights,
        "resize": network.resize,
    }
    path = epath.Path(config.eval.reference) if config.eval.reference else None
    if path is not None and path.exists():
        return fid.load_reference(path, protocol), protocol
    moments = fid.Moments(features.shape[1])
    moments.update(features)
    if path is not None and hosts.is_first():
        fid.save_reference(path, moments, protocol)
    return moments, protocol


def _fid(config, network, generated, real, image_size):
    reference, protocol = reference_moments(
        config, network, real["features"], image_size
    )
    moments = fid.Moments(generated["features"].shape[1])
    moments.update(generated["features"])
    return {
        "title": "FID",
        "unit": "",
        "better": "lower",
        "protocol": (
            f"{moments.count} generated against {protocol['images']} images of the"
            f" test split ({protocol['crops']}); {_network_text(network)},"
            f" {network.dim} features; 8-bit images, float64 moments, eigenvalues"
        ),
        "columns": ["value"],
        "rows": {"generated": {"value": fid.frechet_distance(moments, reference)}},
    }


def _kid(config, network, generated, real):
    c = config.eval
    found = kid.kid(
        real["features"], generated["features"],
        subsets=c.kid_subsets, subset_size=c.kid_subset_size, seed=config.seed,
    )  # fmt: skip
    return {
        "title": "KID",
        "unit": "x 1000",
        "better": "lower",
        "protocol": (
            f"{c.kid_subsets} subsets of {c.kid_subset_size} generated and as many"
            f" real test images, cubic polynomial kernel; {_network_text(network)};"
            f" 8-bit images, seed {config.seed}"
        ),
        "columns": ["mean"],
        "rows": {
            "generated": {key: 1000 * found[key] for key in ("mean", "deviation")}
        },
    }


def quality(config, network, generated, real, image_size):
    """Entries of Inception Score, FID and KID.

    Args:
      config: the configuration.
      network: `FeatureNetwork`, or the sentence that says why there is none.
      generated, real: {"features" [n, D], "log_probs" tuple of [n, C]}.
      image_size: of the real crops.
    """
    measures = {
        "inception_score": ("Inception Score", _inception_score, ()),
        "fid": ("FID", _fid, (image_size,)),
        "kid": ("KID", _kid, ()),
    }
    entries = {}
    for key, (title, function, more) in measures.items():
        if isinstance(network, str):
            entries[key] = refused(title, network)
            continue
        try:
            entries[key] = function(config, network, generated, real, *more)
        except ValueError as error:
            entries[key] = refused(title, error)
    return entries


def attributes(names, generated, real, asked, protocol):
    """Entry of attribute accuracy.

    Args:
      names: of the attributes.
      generated: one [n, C] array of log-probabilities each, of generated images.
      real: the same of real images, of the first rows.
      asked: [n, A] the attributes that captions were written about.
      protocol: what the entry says of the classifier.
    """

    def row(heads):
        right = [
            100 * float(np.mean(head.argmax(1) == asked[: len(head), number]))
            for number, head in enumerate(heads)
        ]
        return dict(zip(names, right, strict=True))

    return {
        "title": "Attribute accuracy",
        "unit": "%",
        "better": "higher",
        "protocol": protocol,
        "columns": list(names),
        "rows": {
            "generated": row(generated),
            "real": row(real),
            "chance": {
                name: 100 / head.shape[1]
                for name, head in zip(names, generated, strict=True)
            },
        },
    }
