"""A finished run as one object: captions in, images, attention and texts out.

    model = api.Model.load("runs/toybirds")
    images = model.generate(["a red bird with a blue wing"], n=4).images[-1]

Images are NumPy arrays in [-1, 1]; everything random comes from the seed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from mirrorgan_jax import config as configs
from mirrorgan_jax import networks, prompts, sharding, text, workdirs
from mirrorgan_jax.losses import captioning
from mirrorgan_jax.training import gan_objective

# Rows of one call of a network: one compilation serves any number of them.
_CHUNK = 8


class Features(NamedTuple):
    """Captions as STEM encodes them (Eq. 1).

    Attributes:
      sentence: [N, D] sentence vectors.
      words: [N, T, D] word features.
      mask: [N, T] bool, True on real words.
    """

    sentence: np.ndarray
    words: np.ndarray
    mask: np.ndarray


class Synthesis(NamedTuple):
    """What GLAM makes of features and noise.

    Attributes:
      images: tuple of [N, q, q, 3] in [-1, 1] of every stage, coarse to fine.
      word_maps: tuple of [N, q, q, T] of every later stage, q being the size of the
        stage before; they sum to 1 over T. None where word attention is off.
      sentence_maps: tuple of [N, q, q, M] likewise; they sum to 1 over M (over the
        pixels where the configuration says "spatial").
    """

    images: tuple
    word_maps: tuple
    sentence_maps: tuple


class Generated(NamedTuple):
    """Images of captions; row c * n + j is image j of caption c.

    Attributes:
      images, word_maps, sentence_maps: as in `Synthesis`.
      captions: N texts, each as often as it has images.
      tokens: [N, T] int32, 0 at padding.
      words: N lists of the words that the networks see.
      unknown: N lists of words that were left out, being in no vocabulary.
      cut: N lists of known words that were left out, T coming before them.
    """

    images: tuple
    word_maps: tuple
    sentence_maps: tuple
    captions: list
    tokens: np.ndarray
    words: list
    unknown: list
    cut: list


def draw_noise(seed, numbers, z_dim, condition_dim):
    """Noise of images, each a function of the seed and of the image's number.

    Args:
      seed: integer from 0 to 2**32 - 1.
      numbers: of the images, n integers from 0.
      z_dim, condition_dim: Z and C'.

    Returns:
      z [n, Z] and eps [n, C'], standard normal.

    Raises:
      ValueError: the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed = {seed}: allowed are 0 to {2**32 - 1}")

    def draw(number):
        key = jax.random.fold_in(jax.random.key(seed), number)
        return gan_objective.noise(key, 1, z_dim, condition_dim)

    z, eps = jax.vmap(draw)(jnp.asarray(numbers))
    return np.asarray(z[:, 0]), np.asarray(eps[:, 0])


def _in_chunks(function, variables, *arrays):
    """`function(variables, *rows)` of arrays, `_CHUNK` rows a call, the last filled."""
    total, parts = len(arrays[0]), []
    for start in range(0, total, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, total))
        found = function(variables, *[a[np.resize(rows, _CHUNK)] for a in arrays])
        parts.append(jax.tree.map(lambda x: np.asarray(x)[: len(rows)], found))  # noqa: B023
    return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)


def _functions(config, vocab_size):
    """{name: jitted function of variables and rows} of the networks."""
    text_encoder = networks.text_encoder(config, vocab_size)
    glam = networks.generator(config)
    captioner = networks.captioner(config, vocab_size)
    num_words = config.text.eval_words

    def encode(variables, tokens, length):
        found = gan_objective.encode_captions(text_encoder, variables, tokens, length)
        return Features(found.sentence, found.words, found.mask)

    def generate(variables, z, eps, sentence, words, mask):
        found = glam.apply(variables, z, eps, sentence, words, mask, train=False)
        return Synthesis(found.images, found.word_attention, found.sentence_attention)

    def redescribe(variables, images):
        return captioner.apply(variables, images, num_words, method="redescribe")

    def score(variables, images, tokens, length):
        logits = captioner.apply(variables, images, tokens, train=False)
        return jax.vmap(
            lambda *row: captioning.caption_loss(
                *[x[None] for x in row], reduction="mean"
            )
        )(logits, tokens, length)

    return {f.__name__: jax.jit(f) for f in (encode, generate, redescribe, score)}


class Model:
    """STEM, GLAM and STREAM of a run, ready to use on the first device.

    Attributes:
      config: the run's configuration.
      vocab: `text.Vocabulary`.
      step: training step of the generator's moving average.
      workdir: the run's folder, as it was given.
      sizes: pixels of the generator's stages, coarse to fine.
      chunk: images that are made at once; more are made in several calls.
      has_stream: whether the run has STREAM; without it nothing is redescribed.
    """

    def __init__(
        self, config, vocab, *, step, stem, generator, stream=None, workdir=""
    ):
        """Takes weights that are in memory; `load` reads a run's.

        Args:
          config: the configuration.
          vocab: `text.Vocabulary`.
          step: training step of the generator.
          stem, generator, stream: {"params", "batch_stats"} of each network; `stream`
            None where there is none.
          workdir: where they come from.
        """
        self.config, self.vocab, self.step = config, vocab, step
        self.workdir, self.chunk = workdir, _CHUNK
        self.sizes = configs.stage_sizes(config.gan)
        self.has_stream = stream is not None
        self._stem, self._generator, self._stream = stem, generator, stream
        self._functions = _functions(config, len(vocab))

    @classmethod
    def load(cls, workdir) -> "Model":
        """The model of a run, at the checkpoint that its configuration prefers.

        Args:
          workdir: the run's folder, local or a bucket; STEM and STREAM may lie in
            the one that the run was started from (`weights.pretrained`).

        Raises:
          FileNotFoundError: there is no such folder, or it has no generator yet.
          ValueError: STEM or STREAM is not finished, or does not fit.
        """
        if not epath.Path(workdir).exists():
            raise FileNotFoundError(f"workdir {workdir} does not exist")
        config, words = workdirs.read_settings(workdir)
        mesh = sharding.create_mesh(1, 1, jax.devices()[:1])
        step, generator = workdirs.load_generator(config, workdir, mesh)
        stream = None
        if workdirs.finished_steps(workdirs.home(config, workdir, "stream"), "stream"):
            stream = workdirs.load_stream(config, workdir, mesh)
        return cls(
            config,
            text.Vocabulary(words),
            step=step,
            stem=workdirs.load_stem(config, workdir, mesh)["text"],
            generator=generator,
            stream=stream,
            workdir=workdir,
        )

    def read(self, captions: Sequence[str], names=None) -> list[prompts.Caption]:
        """`prompts.read` with the run's vocabulary and caption length."""
        num_words = self.config.text.eval_words
        return prompts.read(captions, self.vocab, num_words=num_words, names=names)

    def _tokens(self, read):
        """Token ids [n, T] and lengths [n] of captions that were read."""
        num_words = self.config.text.eval_words
        ids = [text.pad(self.vocab.encode(c.words), num_words) for c in read]
        length = [len(caption.words) for caption in read]
        return np.array(ids, np.int32), np.array(length, np.int32)

    def features(self, captions: Sequence[str]) -> Features:
        """Features of captions; errors as `read`."""
        tokens, length = self._tokens(self.read(captions))
        return _in_chunks(self._functions["encode"], self._stem, tokens, length)

    def noise(self, seed: int, numbers: Sequence[int]):
        """z [n, Z] and eps [n, C'] of `draw_noise` in this model's sizes."""
        c = self.config.gan
        return draw_noise(seed, numbers, c.z_dim, c.condition_dim)

    def synthesize(self, features: Features, z, eps) -> Synthesis:
        """Images of features, which need not be any caption's own (Eq. 3).

        Args:
          features: of N captions, or of points between captions.
          z, eps: [N, Z] and [N, C'] noise, taken as they are.
        """
        rows = (np.asarray(z, np.float32), np.asarray(eps, np.float32), *features)
        return _in_chunks(self._functions["generate"], self._generator, *rows)

    def generate(
        self,
        captions: Sequence[str],
        *,
        seed: int = 0,
        n: int = 1,
        truncation: float = 1.0,
        z: Any = None,
        eps: Any = None,
    ) -> Generated:
        """Images of captions.

        The noise is a function of the seed and of an image's number among its
        caption's: image j of every caption of a call, and of every call with the same
        seed, has the same, so that what differs comes from the words.

        Args:
          captions: sequence of strings. Words that the vocabulary lacks are left out,
            as are those after `config.text.eval_words`; the result tells which.
          seed: of the noise.
          n: images a caption.
          truncation: factor of z and eps: 1 is what was trained, 0 gives every image
            of a caption the mean of both.
          z, eps: [len(captions) * n, Z] and [len(captions) * n, C'] to take in place
            of what would be drawn.

        Raises:
          ValueError: a caption has no known word; seed, n or truncation is out of
            range; z or eps has another shape.
        """
        if n < 1:
            raise ValueError(f"n = {n}: allowed are 1 and more")
        if not 0 <= truncation < float("inf"):
            raise ValueError(f"truncation = {truncation}: allowed are 0 and more")
        read = self.read(captions)
        noise = []
        drawn = self.noise(seed, range(n))
        for name, own, given in zip(("z", "eps"), drawn, (z, eps), strict=True):
            own = np.tile(own, (len(read), 1))
            given = own if given is None else np.asarray(given, np.float32)
            if given.shape != own.shape:
                shapes = f"{given.shape}: allowed is {own.shape}"
                raise ValueError(f"{name} has shape {shapes}")
            noise.append(np.float32(truncation) * given)
        rows = np.repeat(np.arange(len(read)), n)
        features = Features(*(array[rows] for array in self.features(captions)))
        seen = [read[row] for row in rows]
        return Generated(
            *self.synthesize(features, *noise),
            captions=[caption.text for caption in seen],
            tokens=self._tokens(seen)[0],
            words=[caption.words for caption in seen],
            unknown=[caption.unknown for caption in seen],
            cut=[caption.cut for caption in seen],
        )

    def redescribe(self, images, num_words: int | Sequence[int]) -> list[str]:
        """STREAM's most likely texts of images, word by word (Eq. 6).

        Args:
          images: [N, S, S, 3] in [-1, 1].
          num_words: of each text, or of all, 1 to `config.text.eval_words`: captions
            have no end token, so that STREAM never ends by itself.

        Raises:
          ValueError: the run has no STREAM, or an argument is out of range.
        """
        images = self._seen(images)
        most = self.config.text.eval_words
        if np.shape(num_words) not in ((), (len(images),)):
            raise ValueError(
                f"num_words = {num_words}: allowed is one, or {len(images)} of them"
            )
        lengths = np.broadcast_to(num_words, len(images))
        if lengths.min() < 1 or lengths.max() > most:
            raise ValueError(f"num_words = {num_words}: allowed are 1 to {most}")
        ids = _in_chunks(self._functions["redescribe"], self._stream, images)
        return [
            self.vocab.decode(row[:length])
            for row, length in zip(ids, lengths, strict=True)
        ]

    def caption_scores(self, images, captions: Sequence[str]) -> np.ndarray:
        """How far captions are from what STREAM sees (Eq. 8, the mean over words).

        Args:
          images: [N, S, S, 3] in [-1, 1].
          captions: N strings.

        Returns:
          [N] mean cross entropy a word in nats; lower fits better.

        Raises:
          ValueError: the run has no STREAM, or the captions do not fit the images.
        """
        images, read = self._seen(images), self.read(captions)
        if len(images) != len(read):
            raise ValueError(
                f"{len(read)} captions for {len(images)} images: allowed is one each"
            )
        rows = self._tokens(read)
        return _in_chunks(self._functions["score"], self._stream, images, *rows)

    def _seen(self, images):
        if not self.has_stream:
            raise ValueError("this run has no STREAM: nothing can be redescribed")
        images = np.asarray(images)
        good = images.ndim == 4 and images.shape[3] == 3 and len(images)
        if not good or not np.issubdtype(images.dtype, np.floating):
            raise ValueError(
                f"images have shape {images.shape} and type {images.dtype}: allowed is"
                " [N, S, S, 3] of floats in [-1, 1]"
            )
        return images.astype(np.float32)
