"""What is wrong with captions, and what a rule of words loses of them.

A caption that cannot be read is refused, `problem`. What is read but not whole, or
cannot be told apart, is said, `remarks`.
"""

from collections.abc import Iterator, Sequence

from mirrorgan_jax import text

_EXAMPLES = 3


def problem(caption: str, rule: str) -> str | None:
    """Why a caption cannot be trained on, as a sentence without its place; or None.

    Args:
      caption: a string.
      rule: `data.words`. "ascii" refuses captions that stand mostly in letters that it
        does not read.
    """
    reason = text.refusal(caption)
    if reason is None and rule == "ascii":
        script = text.unread_script(caption)
        if script:
            reason = (
                f"is in {script}, which data.words = 'ascii' does not read:"
                " set config.data.words=unicode"
            )
    if reason is None and not text.tokenize(caption, rule):
        reason = "has no words"
    return reason and f"caption {text.shown(caption)} {reason}"


def remarks(
    texts: Sequence[Sequence[str]],
    ids: Sequence[Sequence[Sequence[int]]],
    *,
    rule: str,
    batch_size: int,
) -> list[str]:
    """Warnings on the captions of a split.

    Args:
      texts: the captions of each picture.
      ids: their token ids.
      rule: `data.words`, which read them.
      batch_size: of the stage with the largest batch.

    Returns:
      Sentences: which share of the words is damaged, with examples; that captions are
      the same. None where all is well.
    """
    lost = _loss(texts) if rule == "ascii" else ()
    return [*lost, *_sameness(texts, ids, batch_size)]


def _letters(words: Sequence[str]) -> int:
    return sum(map(len, words))


def _loss(texts) -> Iterator[str]:
    """A warning where letters outside ASCII are cut out of words."""
    every = [caption for own in texts for caption in own]
    found, broken, more = [], 0, 0
    for caption in every:
        damaged = text.damaged(caption)
        if not damaged:
            continue
        whole, kept = text.tokenize(caption, "unicode"), text.tokenize(caption)
        share = len(damaged) / len(whole)
        broken += len(damaged)
        more += share > 0.5 or 2 * _letters(kept) < _letters(whole)
        found.append((share, caption, " ".join(kept)))
    if not found:
        return
    total = sum(len(text.tokenize(caption, "unicode")) for caption in every)
    # The worst first, in their order; a caption that stands twice is one example.
    found.sort(key=lambda item: -item[0])
    examples = list(dict.fromkeys((caption, kept) for _, caption, kept in found))
    said = [
        f"{text.shown(caption)} is read as {text.shown(kept)}"
        for caption, kept in examples[:_EXAMPLES]
    ]
    yield (
        f"warning: data.words = 'ascii' cuts letters out of {broken} of {total} words"
        f" ({_percent(broken, total)}), in {len(found)} of {len(every)} captions;"
        f" {more} lose more than half. {'; '.join(said)}."
        " config.data.words=unicode keeps them"
    )


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 else f"{share:.2g} %"


def _sameness(texts, ids, batch_size: int) -> Iterator[str]:
    """A warning where there are too few different captions to tell pictures apart."""
    # Fewer captions than a batch has rows are no wonder where there are few pictures.
    enough, different = min(batch_size, len(texts)), {}
    for own, some in zip(texts, ids, strict=True):
        for caption, words in zip(own, some, strict=True):
            different.setdefault(tuple(words), caption)
        if len(different) >= enough:
            return
    said = f"{len(different)} different captions, fewer than the largest batch has"
    if len(different) == 1:
        said = "the same caption"
    examples = ", ".join(map(text.shown, list(different.values())[:_EXAMPLES]))
    yield (
        f"warning: {len(texts)} pictures have {said}: {examples}. Pictures of one"
        " caption cannot be told apart by it"
    )
