"""What a call of a model gives: pictures, attention, redescriptions."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mirrorgan_jax import text
from mirrorgan_jax.inference import pictures


@dataclasses.dataclass(frozen=True)
class Generated:
    """Images of captions; image j of caption i stands at i * n + j.

    Attributes:
      images: tuple of [N, q, q, 3] float32 in [-1, 1], coarse to fine.
      word_maps: tuple of [N, q, q, T] for every stage after the first, q being the
        size of the stage before; weights that sum to 1 over the words. None in the
        place of a stage without them.
      sentence_maps: tuple of [N, q, q, M] likewise; they sum to 1 over the channels
        (over the positions with `config.gan.sentence_softmax_axis` = "spatial").
      z, eps: [N, Z] and [N, D'] the noise as the networks saw it, truncated.
      captions: the caption of each image.
      tokens: [N, T] int32, 0 at padding.
      words: the words of each image's caption, in the order of T.
      unknown: the words of each caption (not image) that were dropped.
      cut: the words of each caption that were beyond the longest.
    """

    images: tuple
    word_maps: tuple
    sentence_maps: tuple
    z: np.ndarray
    eps: np.ndarray
    captions: list
    tokens: np.ndarray
    words: list
    unknown: list
    cut: list


@dataclasses.dataclass(frozen=True)
class Attention:
    """Where each later stage looked; index i is that of `Output.images`.

    Attributes:
      words: the words of each image's caption, as the networks saw them.
      word_maps: for each later stage [N, q, q, T], over the words (Eq. 4), q being the
        size of the stage before; None in the place of a stage without them.
      sentence_maps: for each later stage [N, q, q, M], over the channels (Eq. 5), or
        None likewise.
    """

    words: list[list[str]]
    word_maps: tuple[np.ndarray | None, ...]
    sentence_maps: tuple[np.ndarray | None, ...]
    _stages: tuple[np.ndarray, ...] = dataclasses.field(repr=False)

    def map(
        self, image: int = 0, word: str | None = None, stage: int = -1
    ) -> np.ndarray:
        """One map, [q, q].

        Args:
          image: which image.
          word: one of its caption's words; None: `pictures.sentence_focus`.
          stage: which of the later stages, 0 the first of them, -1 the last.

        Raises:
          ValueError: the caption has no such word, or the stage no such map.
        """
        maps = self.sentence_maps if word is None else self.word_maps
        if not maps or maps[stage] is None:
            kind = "sentence" if word is None else "word"
            raise ValueError(f"stage {stage} has no {kind} attention")
        if word is None:
            return pictures.sentence_focus(maps[stage][image])
        words = self.words[image]
        if word not in words:
            raise ValueError(
                f"word {word!r} is not in the caption: allowed are {', '.join(words)}"
            )
        return maps[stage][image][..., words.index(word)]

    def picture(
        self, image: int = 0, word: str | None = None, stage: int = -1
    ) -> Image.Image:
        """`map` as colours over that stage's image in grey, dark cold, light hot."""
        last = self._stages[1:][stage][image]
        return pictures.picture(pictures.overlay(last, self.map(image, word, stage)))

    def __str__(self):
        stages = sum(maps is not None for maps in self.word_maps)
        return f"attention of {stages} stages to {', '.join(self.words[0])}"


@dataclasses.dataclass(frozen=True)
class Output:
    """Images of captions; image j of caption i stands at i * n + j.

    Attributes:
      generated: the same as arrays.
      seed, truncation: as they were given.
      remarks: sentences on words that the networks do not see.
    """

    generated: Generated = dataclasses.field(repr=False)
    seed: int
    truncation: float
    remarks: list[str]
    _model: Any = dataclasses.field(repr=False)

    @functools.cached_property
    def stages(self) -> list[list[Image.Image]]:
        """The images of every stage, coarse to fine."""
        return [
            [pictures.picture(image) for image in stage]
            for stage in self.generated.images
        ]

    @property
    def images(self) -> list[Image.Image]:
        """The last stage's images."""
        return self.stages[-1]

    @property
    def captions(self) -> list[str]:
        """The caption of each image."""
        return self.generated.captions

    @functools.cached_property
    def attention(self) -> Attention:
        """Word and sentence attention, as arrays and as pictures."""
        made = self.generated
        return Attention(made.words, made.word_maps, made.sentence_maps, made.images)

    @functools.cached_property
    def redescription(self) -> list[str] | None:
        """What STREAM says of each image; None where the model has no STREAM."""
        if not self._model.has_stream:
            return None
        counts = self._model.num_words
        if not self._model.ends:
            counts = [len(words) for words in self.generated.words]
        return self._model.redescribe(self.generated.images[-1], counts)

    @functools.cached_property
    def scores(self) -> Sequence[float] | None:
        """How well each caption fits its image: nats a word of STREAM, lower is better.

        None where the model has no STREAM.
        """
        if not self._model.has_stream:
            return None
        scores = self._model.caption_scores(self.generated.images[-1], self.captions)
        return [float(score) for score in scores]

    def __len__(self) -> int:
        return len(self.captions)

    def __str__(self) -> str:
        sizes = ", ".join(str(len(stage[0])) for stage in self.generated.images)
        captions = list(dict.fromkeys(self.captions))
        more = f" and {len(captions) - 1} more" * (len(captions) > 1)
        said = "no STREAM redescribes them"
        if self.redescription:
            said = f"the first redescribed: {text.shown(self.redescription[0])}"
        return (
            f"{len(self)} images of {text.shown(captions[0])}{more}, seed {self.seed}\n"
            f"stages of {sizes} pixels; {self.attention}\n"
            f"{said}"
        )
