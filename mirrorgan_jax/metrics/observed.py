"""What measures look at: what networks made of the images of an evaluation."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mirrorgan_jax import text
from mirrorgan_jax.data.sources import records
from mirrorgan_jax.metrics import looks

# {"generated": of n images, one a caption; "real": of the images of the first rows}.
Sides = Mapping[str, Any]
# Of captions, what the images that were made of other ones look like.
OTHERS = "generated from other captions"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """NumPy arrays and plain values; row i of all arrays is caption i.

    Attributes:
      data: name of the data set.
      seed: of the run.
      settings: the configuration's group `eval`, plain values.
      class_ids: [n] classes of the images that the captions are of.
      tokens: [n, T] int32 captions.
      length: [n] int32.
      pools: [n, P] caption numbers, the own one first, then those of other images.
      class_pools: the same with captions of other classes; None where there are none.
      mismatched: [n] for each row another one, of another class: its image is what the
        row's caption finds in `OTHERS`.
      codes: `Sides` of [n, D] DAMSM codes of images.
      sentences: [n, D] DAMSM codes of the captions.
      judge: protocol of the DAMSM.
      looks: {network: what it made of the images, or the sentence that says why it
        made nothing}: what Inception Score, FID and KID look through.
      attributes: `Sides` of {part: [n, C] log-probabilities of its values} that the
        classifier reads from 8-bit images; None where no truth is known.
      drawn: {part: [n] number of the value that was drawn where the caption was
        written, whether it speaks of the part or not}.
      redescriptions: {captioner: `Sides`, and `OTHERS`, of {"ids" [n, T] greedy,
        "log_probs" [n, T, V] of the caption's own words}}.
      cross_entropies: {captioner: {"matched", "shuffled"} on real images, nats a word}.
      truth: `data.sources.records.Truth` or None.
      vocab: the vocabulary.
    """

    data: str
    seed: int
    settings: Mapping[str, Any]
    class_ids: np.ndarray
    tokens: np.ndarray
    length: np.ndarray
    pools: np.ndarray
    class_pools: np.ndarray | None
    mismatched: np.ndarray
    codes: Sides
    sentences: np.ndarray
    judge: Mapping[str, Any]
    looks: Mapping[str, looks.Look | str]
    attributes: Sides | None
    drawn: Mapping[str, np.ndarray]
    redescriptions: Mapping[str, Sides]
    cross_entropies: Mapping[str, Mapping[str, float]]
    truth: records.Truth | None
    vocab: text.Vocabulary

    def counts(self) -> dict[str, int]:
        """How many images there are, as protocols say it."""
        return {side: len(codes) for side, codes in self.codes.items()}

    def stated(self, ids: Sequence[int]) -> dict[str, str]:
        """{attribute: value} of what token ids say; where the truth is known."""
        said = self.truth.find(self.vocab.decode(ids))
        return {mention.attribute: mention.value for mention in said}
