"""Mirror accuracy: which attributes survive text -> image -> redescription?

The paper's thesis is that an image which matches its text is redescribed as that
text. Where captions can be parsed this is measured, attribute by attribute, with the
STREAM that taught the generator and with a captioner that it never saw: a generator
that only games its STREAM is told by the gap between the two.
"""

from mirrorgan_jax.metrics import result as results
from mirrorgan_jax.metrics.observed import Observed

TITLE = "Mirror accuracy"
_COLUMNS = ("survived", "contradicted", "unsaid", "agreement")


def survival(asked, said):
    """What redescriptions keep of what captions asked for.

    Args:
      asked: one {attribute: value} a caption.
      said: one {attribute: value} a redescription, in the same order.

    Returns:
      dict of fractions of all that was asked: `survived` (said again), `contradicted`
      (said with another value), `unsaid`; `agreement`, the share that survived of what
      both speak of (NaN if there is none); and `mentions`, how many were asked.

    Raises:
      ValueError: the lists differ in length, or nothing was asked.
    """
    if len(asked) != len(said):
        raise ValueError(f"{len(asked)} captions and {len(said)} redescriptions")
    survived = contradicted = mentions = 0
    for wanted, found in zip(asked, said, strict=True):
        mentions += len(wanted)
        for name, value in wanted.items():
            if name in found:
                survived += found[name] == value
                contradicted += found[name] != value
    if not mentions:
        raise ValueError("the captions mention no attribute: nothing can survive")
    both = survived + contradicted
    return {
        "survived": survived / mentions,
        "contradicted": contradicted / mentions,
        "unsaid": 1 - both / mentions,
        "agreement": survived / both if both else float("nan"),
        "mentions": mentions,
    }


def judged(observed, title, columns, look, *, does, protocol):
    """A result of every captioner that sees enough in real images.

    What a captioner does not see in real images it cannot miss in generated ones: its
    numbers would measure the captioner.

    Args:
      observed: the `Observed`.
      title: of the result.
      columns: its columns; the first one is compared with `eval.mirror_floor`.
      look: `look(values)` gives {column: %} of what a captioner made of some images.
      does: what a captioner does with what captions of real images say, a verb.
      protocol: of what `look` does.

    Returns:
      The `Result`, None where no truth is known, or no captioner.

    Raises:
      ValueError: every captioner is below the floor, or `look` has nothing to measure.
    """
    if observed.truth is None or not observed.redescriptions:
        return None
    floor = 100 * observed.settings["mirror_floor"]
    rows, refused = {}, {}
    for judge, sides in observed.redescriptions.items():
        found = {results.Source(x, judge): look(sides[x]) for x in sides}
        real = found[results.Source("real", judge)][columns[0]]
        if real < floor:
            reason = (
                f"{judge} {does} {real:.1f} % of what captions of real images say, less"
                f" than eval.mirror_floor = {floor:g} %: numbers of generated images"
                " would measure the captioner"
            )
            refused |= dict.fromkeys(found, reason)
        else:
            rows |= {source: results.Row(values) for source, values in found.items()}
    if not rows:
        raise ValueError("; ".join(dict.fromkeys(refused.values())))
    return results.Result(
        title=title,
        unit="%",
        better="higher",
        protocol={**observed.counts(), **protocol, **_captioners(observed, floor)},
        columns=columns,
        rows=rows,
        refused=refused,
    )


def _captioners(observed, floor):
    """What protocols say of the captioners."""
    said = ", ".join(
        f"{name} {values['matched']:.2f} on matched and {values['shuffled']:.2f} on"
        " shuffled real images"
        for name, values in observed.cross_entropies.items()
    )
    return {
        "floor": f"{floor:g} % on real images, or a captioner is no judge",
        "held-out captioner": f"a decoder {observed.settings['heldout_decoder']!r} on"
        " another trunk, of another seed, and no generator has seen it",
        "cross entropies": f"nats a word, {said}",
    }


def measure(observed: Observed) -> results.Result | None:
    """What every captioner's redescriptions keep of the captions, in %.

    Returns:
      None where no truth is known, or no captioner.

    Raises:
      ValueError: the captions mention no attribute, or every captioner is refused.
    """

    def kept(values):
        said = [observed.stated(ids) for ids in values["ids"]]
        asked = [observed.stated(tokens) for tokens in observed.tokens[: len(said)]]
        found = survival(asked, said)
        return {name: 100 * found[name] for name in _COLUMNS}

    return judged(
        observed,
        TITLE,
        _COLUMNS,
        kept,
        does="says again",
        protocol={
            "redescription": "greedy, to the captioner's own end, or as many words as"
            " the caption where it knows none, both parsed",
            "survived, contradicted, unsaid": "shares of the attributes asked for that"
            " are said again, said with another value, not said",
            "agreement": "of what both speak of, the share that agrees",
        },
    )
