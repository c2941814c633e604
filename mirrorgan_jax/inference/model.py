"""A finished run as one object: captions to images, maps and redescriptions.

```
model = mirrorgan_jax.load("runs/toybirds")
made = model.generate(["a small red bird"], seed=0, n=4)
made.images[-1]                                # [4, q, q, 3] in [-1, 1]
model.redescribe(made.images[-1], 8)           # 4 strings
model.caption_scores(made.images[-1], made.captions)
```
"""

import dataclasses

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import text
from mirrorgan_jax.inference import functions
from mirrorgan_jax.models import build
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import layout

_MAX_SEED = 2**31 - 1


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


class Model:
    """STEM, GLAM and, where the run has one, STREAM; made by `Model.load`.

    Attributes:
      config: configuration of the run.
      vocab: its `text.Vocabulary`.
      workdir: its folder.
      step: training step of the generator's moving average.
      sizes: image sizes of the stages, coarse to fine.
      num_words: T, the words of the longest caption.
      chunk: images that are computed at a time.
      has_stream: whether images can be redescribed.
      ends: whether redescriptions end by themselves (`stream.end_token`).
    """

    def __init__(
        self, config, words, workdir, *, step, stem, generator, stream, mesh, chunk=8
    ):
        self.config, self.vocab = config, text.Vocabulary(words, config.data.words)
        self.workdir, self.step = workdir, step
        self.sizes = configs.stage_sizes(config.gan)
        self.num_words, self.has_stream = config.text.eval_words, stream is not None
        self.ends = config.stream.end_token
        self._stem, self._ema, self._stream = stem, generator, stream
        self._batches = functions.Batches(mesh, chunk)
        self.chunk, compiled = self._batches.size, self._batches.compiled
        size, c = len(self.vocab), config.gan
        self._encode = compiled(functions.encode, build.text_encoder(config, size))
        self._noise = compiled(functions.noise, c.z_dim, c.condition_dim)
        self._generate = compiled(functions.generate, build.generator(config))
        captioner = build.captioner(config, size)
        self._redescribe = compiled(functions.redescribe, captioner, self.num_words)
        self._score = compiled(functions.score, captioner)

    @classmethod
    def load(cls, workdir, *, chunk=8):
        """Opens a run on the first device.

        Args:
          workdir: the run's folder, local or a bucket; its generator may still be
            training, STEM is finished. Without a finished STREAM images cannot be
            redescribed.
          chunk: images made at a time. Everything is padded to it, so that each
            function is compiled once and an image does not depend on its neighbours.

        Raises:
          FileNotFoundError: no such folder, or a stage has no checkpoint.
          ValueError: a stage is not finished, or `chunk` is not positive.
        """
        if chunk < 1:
            raise ValueError(f"chunk = {chunk}: allowed are 1 and more")
        if not epath.Path(workdir).exists():
            raise FileNotFoundError(f"workdir {workdir} does not exist")
        config, words = layout.read_settings(workdir)
        mesh = meshes.create_mesh(devices=jax.local_devices()[:1])
        step, generator = layout.load_generator(config, workdir, mesh)
        home = layout.home(config, workdir, "stream")
        done = layout.finished_steps(home, "stream") >= config.stream.num_steps
        return cls(
            config,
            words,
            workdir,
            step=step,
            stem=layout.load_stem(config, workdir, mesh)["text"],
            generator=generator,
            stream=layout.load_stream(config, workdir, mesh) if done else None,
            mesh=mesh,
            chunk=chunk,
        )

    def read(self, captions, names=None):
        """`text.read` with this model's words: a list of `text.Caption`.

        Raises:
          ValueError: a caption has no word, or none that the vocabulary has.
        """
        return text.read(captions, self.vocab, num_words=self.num_words, names=names)

    def _tokens(self, read):
        """Token ids [n, T] and lengths [n] of `Caption`s."""
        ids = [text.pad(self.vocab.encode(c.words), self.num_words) for c in read]
        length = [len(c.words) for c in read]
        return np.array(ids, np.int32), np.array(length, np.int32)

    def noise(self, seed, numbers):
        """(z [n, Z], eps [n, D']) of images, a function of seed and number alone.

        Args:
          seed: 0 or more.
          numbers: n numbers of images.

        Raises:
          ValueError: the seed is out of range.
        """
        if not 0 <= seed <= _MAX_SEED:
            raise ValueError(f"seed = {seed}: allowed are 0 to {_MAX_SEED}")
        numbers = np.asarray(numbers, np.int32)
        return self._batches.map(self._noise, jax.random.key(seed), numbers)

    def features(self, captions):
        """`Features` of captions, which are read as `read` does."""
        return self._batches.map(
            self._encode, self._stem, *self._tokens(self.read(captions))
        )

    def synthesize(self, features, z, eps):
        """Images and maps of features and noise.

        Args:
          features: `Features` of n rows.
          z: [n, Z].
          eps: [n, D'].

        Returns:
          `models.glam.GeneratorOutput` of NumPy arrays.
        """
        made = self._batches.map(self._generate, self._ema, features, z, eps)
        images = tuple(np.asarray(image, np.float32) for image in made.images)
        return made._replace(images=images)

    def generate(self, captions, *, seed=0, n=1, truncation=1.0, z=None, eps=None):
        """Images of captions.

        Image j of a caption has the noise of (seed, j), whatever the caption: another
        caption with the same seed differs by its words alone.

        Args:
          captions: strings; words that the vocabulary does not have are dropped,
            words beyond the longest caption are cut, and both are reported.
          seed: of the noise, 0 or more.
          n: images a caption.
          truncation: factor of z and of eps, the noise of the conditioning
            augmentation (Eq. 2); 1 is the model's distribution, 0 its mean, the same
            image every time.
          z, eps: [len(captions) * n, Z] and [..., D'] in the place of drawn noise.

        Returns:
          `Generated`.

        Raises:
          ValueError: an option is out of range, the noise has another shape, or a
            caption is refused by `read`.
        """
        if n < 1:
            raise ValueError(f"n = {n}: allowed are 1 and more")
        if not 0 <= truncation < float("inf"):
            raise ValueError(f"truncation = {truncation}: allowed are 0 and more")
        read = self.read(captions)
        own = self.noise(seed, np.tile(np.arange(n), len(read)))
        noise = []
        for name, given, drawn in zip(("z", "eps"), (z, eps), own, strict=True):
            values = drawn if given is None else np.asarray(given, np.float32)
            if values.shape != drawn.shape:
                raise ValueError(
                    f"{name} has shape {list(values.shape)}: allowed is"
                    f" {list(drawn.shape)}"
                )
            noise.append(values * np.float32(truncation))
        features = jax.tree.map(lambda x: np.repeat(x, n, 0), self.features(captions))
        made = self.synthesize(features, *noise)
        return Generated(
            images=made.images,
            word_maps=made.word_attention,
            sentence_maps=made.sentence_attention,
            z=noise[0],
            eps=noise[1],
            captions=[c.text for c in read for _ in range(n)],
            tokens=np.repeat(self._tokens(read)[0], n, 0),
            words=[c.words for c in read for _ in range(n)],
            unknown=[c.unknown for c in read],
            cut=[c.cut for c in read],
        )

    def _need_stream(self, images):
        if not self.has_stream:
            raise ValueError(
                f"{self.workdir} has no finished STREAM: its images cannot be"
                " redescribed. --stage=stream trains one"
            )
        shape = np.shape(images)
        if len(shape) != 4 or not shape[0] or shape[3] != 3 or shape[1] != shape[2]:
            raise ValueError(
                f"images have shape {list(shape)}: allowed is [n, q, q, 3], n >= 1"
            )
        if not np.issubdtype(np.asarray(images).dtype, np.floating):
            raise ValueError("images are integers: allowed are floats in [-1, 1]")
        return np.asarray(images, np.float32)

    def redescribe(self, images, num_words):
        """STREAM's most likely words for images.

        Args:
          images: [n, q, q, 3] in [-1, 1].
          num_words: words of a text, one number or one for each image; where STREAM
            has learned when to end (`stream.end_token`), words at most.

        Returns:
          n strings.

        Raises:
          ValueError: the run has no STREAM, or a number of words is out of range.
        """
        images = self._need_stream(images)
        if np.shape(num_words) not in ((), (len(images),)):
            raise ValueError(
                f"num_words = {num_words}: allowed is one number, or one for each of"
                f" {len(images)} images"
            )
        counts = np.broadcast_to(num_words, len(images))
        if not (1 <= counts.min() and counts.max() <= self.num_words):
            raise ValueError(
                f"num_words = {num_words}: allowed are 1 to {self.num_words}"
            )
        ids = self._batches.map(self._redescribe, self._stream, images)
        if self.ends:
            return [self.vocab.decode(i[:n]) for i, n in zip(ids, counts, strict=True)]
        return [
            " ".join(self.vocab.words[i] for i in row[:count])
            for row, count in zip(ids, counts, strict=True)
        ]

    def caption_scores(self, images, captions):
        """How well captions fit images: STREAM's mean cross entropy a word (Eq. 8).

        An end token is no word of theirs.

        Args:
          images: [n, q, q, 3] in [-1, 1].
          captions: n strings, read as `read` does.

        Returns:
          [n] float32 in nats; lower is better.

        Raises:
          ValueError: the run has no STREAM, or a caption is refused.
        """
        images, read = self._need_stream(images), self.read(captions)
        if len(read) != len(images):
            raise ValueError(
                f"{len(read)} captions for {len(images)} images: allowed is one each"
            )
        return self._batches.map(self._score, self._stream, images, *self._tokens(read))
