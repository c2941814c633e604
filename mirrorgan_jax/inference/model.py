"""A trained model as one object: captions to images, maps and redescriptions.

```
model = mirrorgan_jax.from_pretrained("toybirds")    # or load("runs/toybirds")
out = model("a small red bird", n=4, seed=0)
out.images[0].save("bird.png")

made = model.generate(["a small red bird"], n=4)     # the same as arrays
made.images[-1]                                      # [4, q, q, 3] in [-1, 1]
model.caption_scores(made.images[-1], made.captions)
```
"""

import hashlib
from collections.abc import Sequence

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import text
from mirrorgan_jax.inference import bundle, functions, opening, output
from mirrorgan_jax.models import build
from mirrorgan_jax.settings import base as configs

_MAX_SEED = 2**31 - 1


class Model:
    """STEM, GLAM and, where there is one, STREAM; see `load` and `from_pretrained`.

    Args:
      config: its configuration.
      vocab: `text.Vocabulary`.
      networks: {name of `bundle.NETWORKS`: {"params", "batch_stats"}}.
      name: the folder or the model that it was opened as.
      step: training step of the generator's moving average.
      mesh: device mesh.
      chunk: images that are computed at a time, at most.
      metrics: text of the evaluation that came with it, or None.

    Attributes:
      config, vocab, networks, name, step, metrics: as given.
      sizes: image sizes of the stages, coarse to fine.
      num_words: T, the words of the longest caption.
      chunk: images that are computed at a time, at most.
      has_stream: whether images can be redescribed.
      ends: whether redescriptions end by themselves (`stream.end_token`).
    """

    def __init__(
        self, config, vocab, networks, name, *, step, mesh, chunk=8, metrics=None
    ):
        self.config, self.vocab, self.networks = config, vocab, networks
        self.name, self.step, self.metrics = str(name), step, metrics
        self.sizes = configs.stage_sizes(config.gan)
        self.num_words, self.has_stream = (
            config.text.eval_words,
            "captioner" in networks,
        )
        self.ends = config.stream.end_token
        self._stem, self._ema = networks["text_encoder"], networks["generator"]
        self._stream = networks.get("captioner")
        # A few images need not be padded to a whole chunk.
        self._batches = functions.Batches(mesh, chunk, halved=True)
        self.chunk, compiled = self._batches.size, self._batches.compiled
        size, c = len(vocab), config.gan
        self._encode = compiled(functions.encode, build.text_encoder(config, size))
        self._noise = compiled(functions.noise, c.z_dim, c.condition_dim)
        self._generate = compiled(functions.generate, build.generator(config))
        captioner = build.captioner(config, size)
        self._redescribe = compiled(functions.redescribe, captioner, self.num_words)
        self._score = compiled(functions.score, captioner)

    @classmethod
    def load(cls, workdir: epath.PathLike, *, chunk: int = 8) -> "Model":
        """Opens a run on the first device.

        Args:
          workdir: the run's folder, local or a bucket; its generator may still be
            training, STEM is finished. Without a finished STREAM images cannot be
            redescribed.
          chunk: images made at a time. Batches are padded to it, or to a half, a
            quarter and so on of it, and each function is compiled once for each; an
            image does not depend on its neighbours.

        Raises:
          FileNotFoundError: no such folder, or a stage has no checkpoint.
          ValueError: a stage is not finished, or `chunk` is not positive.
        """
        return cls(**opening.run(workdir, chunk), chunk=chunk)

    @classmethod
    def from_pretrained(
        cls, source: epath.PathLike, *, revision: str | None = None, chunk: int = 8
    ) -> "Model":
        """Opens a model that `save_pretrained` or `mirrorgan export` wrote.

        Args:
          source: a shipped model ("toybirds"), a folder or a `.zip`, local or on a
            bucket, or OWNER/NAME of the Hugging Face hub (extra [hub]).
          revision: of the hub: a branch, a tag or a commit.
          chunk: as `load` takes it.

        Raises:
          FileNotFoundError: nothing of that name is there.
          ValueError: it is damaged, of another kind or of a newer format.
        """
        return cls(**opening.pretrained(source, revision, chunk), chunk=chunk)

    def save_pretrained(
        self,
        folder: epath.PathLike,
        *,
        model_card: str | None = None,
        licence: str | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """Writes the model as a folder that `from_pretrained` opens.

        Args:
          folder: where, local or a bucket: new, empty, or a model that it replaces.
          model_card: text of its README.md; None writes one without metrics.
          licence: text of its LICENSE, or None.
          without: names of optional networks (`bundle.NETWORKS`) that are left out.

        Raises:
          ValueError: the folder holds something else, or a network of `without` is
            none that can be left out.
        """
        opening.save(self, folder, model_card, licence, without)

    def __call__(
        self,
        captions: str | Sequence[str],
        *,
        n: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> output.Output:
        """Images of captions, as pictures; options and errors are those of `generate`.

        Args:
          captions: one, or a list of them.
          n: images a caption.
          seed: of the noise.
          truncation: factor of the noise.
        """
        captions = [captions] if isinstance(captions, str) else list(captions)
        made = self.generate(captions, seed=seed, n=n, truncation=truncation)
        remarks = [
            f"{text.shown(caption.text)}: {line}"
            for caption in self.read(captions)
            for line in text.remarks(caption, self.vocab)
        ]
        return output.Output(made, seed, truncation, remarks, self)

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, self.sizes))
        held = ", ".join(n for n in bundle.NETWORKS if n in self.networks)
        return (
            f"Model {self.name}: stages of {sizes} pixels, {len(self.vocab) - 1} words,"
            f" {held}, step {self.step}"
        )

    def read(
        self, captions: Sequence[str], names: Sequence[str] | None = None
    ) -> list[text.Caption]:
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

    def noise(self, seed: int, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
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

    def features(self, captions: Sequence[str]) -> functions.Features:
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

    def images(
        self,
        captions: Sequence[str],
        numbers: Sequence[int],
        *,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> np.ndarray:
        """Last images of captions, one each.

        Args:
          captions: n strings.
          numbers: n numbers of images: `generate`'s image j of a caption is number j.
          seed, truncation: as `generate` takes them.

        Returns:
          [n, q, q, 3] float32 in [-1, 1].
        """
        noise = [x * np.float32(truncation) for x in self.noise(seed, numbers)]
        return self.synthesize(self.features(captions), *noise).images[-1]

    def digest(self) -> str:
        """SHA-256 of what decides images: words and weights of STEM and GLAM."""
        found = hashlib.sha256(repr((self.vocab.words, self.vocab.rule)).encode())
        for name in bundle.REQUIRED:
            for leaf in jax.tree.leaves(self.networks[name]):
                found.update(np.ascontiguousarray(leaf).tobytes())
        return found.hexdigest()

    def generate(
        self,
        captions: Sequence[str],
        *,
        seed: int = 0,
        n: int = 1,
        truncation: float = 1.0,
        z: np.ndarray | None = None,
        eps: np.ndarray | None = None,
    ) -> output.Generated:
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
          `output.Generated`.

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
        return output.Generated(
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
                f"{self.name} has no finished STREAM: its images cannot be redescribed."
                " In a run --stage=stream trains one"
            )
        shape = np.shape(images)
        if len(shape) != 4 or not shape[0] or shape[3] != 3 or shape[1] != shape[2]:
            raise ValueError(
                f"images have shape {list(shape)}: allowed is [n, q, q, 3], n >= 1"
            )
        if not np.issubdtype(np.asarray(images).dtype, np.floating):
            raise ValueError("images are integers: allowed are floats in [-1, 1]")
        return np.asarray(images, np.float32)

    def redescribe(
        self, images: np.ndarray, num_words: int | Sequence[int]
    ) -> list[str]:
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

    def caption_scores(self, images: np.ndarray, captions: Sequence[str]) -> np.ndarray:
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
