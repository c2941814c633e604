"""Inception Score: are images of some class, and of many? (Salimans et al. 2016)

exp(E_x KL(p(y|x) || p(y))) over splits of the images, where p(y) is the mean of a
split's own p(y|x); paper 4.1.2 has ten splits.
"""

import numpy as np

from mirrorgan_jax.metrics import looks
from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "Inception Score"
# The published scores of birds are StackGAN's network's; others of the ImageNet graph.
FIRST = "inception_cub"


def drop_background(log_probs):
    """Log-probabilities [n, C - 1] without class 0, normalised again.

    StackGAN's network for CUB has a background class that its score leaves out.
    """
    rest = np.asarray(log_probs, np.float64)[:, 1:]
    return rest - np.logaddexp.reduce(rest, axis=1, keepdims=True)


def _checked(head, count):
    head = np.asarray(head, np.float64)
    if head.ndim != 2 or head.shape[1] < 2 or len(head) != count:
        raise ValueError(
            f"log_probs has shape {head.shape}: allowed is [{count}, C] with C >= 2"
        )
    # -inf is a probability of zero; NaN and +inf are none.
    if np.isnan(head).any() or (head > 1e-3).any():
        raise ValueError("log_probs holds values that are no log-probabilities")
    sums = np.exp(head).sum(1)
    worst = np.abs(sums - 1).argmax()
    if abs(sums[worst] - 1) > 1e-3:
        raise ValueError(
            f"log_probs: row {worst} sums to {sums[worst]:.4f} instead of 1; allowed"
            " are log-probabilities (log_softmax of the logits)"
        )
    return head


def _mean_divergence(head):
    """Mean over images of KL(p(y|x) || mean of p(y|x)), in nats."""
    probs = np.exp(head)
    marginal = probs.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probs > 0, probs * (head - np.log(marginal)), 0)
    return terms.sum(1).mean()


def inception_score(log_probs, *, splits=10, seed=0):
    """Inception Score of images seen through a classifier.

    Args:
      log_probs: [n, C] log-probabilities of the classes, or a tuple of such arrays of
        several classifiers: the score is then exp of the mean of their divergences, at
        most the geometric mean of their numbers of classes.
      splits: parts that the images, shuffled, are cut into.
      seed: of the order.

    Returns:
      {"mean", "deviation" over the splits, "splits", "num_images"}.

    Raises:
      ValueError: no log-probabilities, or fewer images in a split than the largest
        classifier has classes.
    """
    heads = log_probs if isinstance(log_probs, tuple) else (log_probs,)
    if not heads or splits < 1:
        raise ValueError(f"{len(heads)} classifiers, {splits} splits: 1 or more needed")
    count = len(heads[0])
    heads = [_checked(head, count) for head in heads]
    classes = max(head.shape[1] for head in heads)
    if count // splits < classes:
        raise ValueError(
            f"{count} images in {splits} splits are {count // splits} each, fewer than"
            f" the network's {classes} classes: their number would bound the score."
            f" At least {classes * splits} images are needed, or fewer splits"
        )
    order = np.random.default_rng(seed).permutation(count)
    scores = [
        np.exp(np.mean([_mean_divergence(head[part]) for head in heads]))
        for part in np.array_split(order, splits)
    ]
    return {
        "mean": float(np.mean(scores)),
        "deviation": float(np.std(scores)),
        "splits": splits,
        "num_images": count,
    }


def measure(observed: Observed) -> dict[str, results.Result | results.Refused]:
    """Inception Score of generated and of real images, through every network.

    Raises:
      ValueError: there is no feature network.
    """

    def score(look, title):
        return _scored(observed, look, title)

    return looks.through_each(observed.looks, TITLE, score, first=FIRST)


def _scored(observed, look, title):
    """The scores through a network; a side with too few images is refused alone."""
    network, splits = look.network, observed.settings["splits"]
    rows, refused = {}, {}
    for images, seen in look.seen.items():
        heads = seen["log_probs"]
        if network.background:
            heads = tuple(drop_background(head) for head in heads)
        source = results.Source(images)
        try:
            found = inception_score(heads, splits=splits, seed=observed.seed)
        except ValueError as error:
            refused[source] = str(error)
            continue
        rows[source] = results.Row({"mean": found["mean"]}, found["deviation"])
    if not rows:
        raise ValueError("; ".join(dict.fromkeys(refused.values())))
    several = {"heads": f"{len(heads)}, the mean of their KL"} if len(heads) > 1 else {}
    return results.Result(
        title=title,
        unit="",
        better="higher",
        protocol={
            **observed.counts(),
            "splits": splits,
            **network.protocol(),
            "classes": network.num_classes,
            **several,
            "seed": observed.seed,
        },
        columns=("mean",),
        rows=rows,
        spread=f"{splits} splits",
        refused=refused,
    )
