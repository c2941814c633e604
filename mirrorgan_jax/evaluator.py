"""Networks run over fixed test examples: R-precision, redescription, samples.

Protocol of R-precision (paper 4.1.2): one image a test caption; its own caption
among 99 random captions of other test images, ranked by the cosine of DAMSM codes.
"""

import dataclasses

import jax
import numpy as np
from etils import epath

from mirrorgan_jax import figures, hosts, sharding
from mirrorgan_jax.data import pipeline
from mirrorgan_jax.metrics import r_precision
from mirrorgan_jax.models import resize
from mirrorgan_jax.training import gan_objective


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The fixed test examples of an evaluation.

    Attributes:
      indices: [n] images of the test split.
      captions: [n] which of an image's captions is its own.
      tokens: [n, T] int32.
      length: [n] int32.
      pools: [n, P] caption numbers, the own one first.
    """

    indices: np.ndarray
    captions: np.ndarray
    tokens: np.ndarray
    length: np.ndarray
    pools: np.ndarray

    def __len__(self):
        return len(self.indices)


def make_protocol(split, *, count, num_words, pool_size, seed):
    """Chooses images, captions and pools; a pure function of its arguments.

    Args:
      split: the test split.
      count: images; 0 takes all.
      num_words: words kept of a caption.
      pool_size: captions a pool; a smaller split takes what it has.
      seed: of the choice.
    """
    rng = np.random.default_rng([seed, len(split)])
    count = min(count or len(split), len(split))
    indices = np.sort(rng.permutation(len(split))[:count])
    captions = np.array([rng.integers(len(split.captions[i])) for i in indices])
    tokens = np.zeros((count, num_words), np.int32)
    length = np.zeros(count, np.int32)
    for row, (index, caption) in enumerate(zip(indices, captions, strict=True)):
        ids = split.captions[index][caption][:num_words]
        tokens[row, : len(ids)], length[row] = ids, len(ids)
    pools = r_precision.caption_pools(count, pool_size=min(pool_size, count), seed=seed)
    return Protocol(indices, captions, tokens, length, pools)


class Evaluator:
    """Runs networks over the protocol's examples, batch by batch, on the mesh.

    Args:
      split: the test split.
      protocol: `Protocol`.
      mesh: device mesh.
      batch_size: global batch size; rounded up to fill the mesh's data axis.
      text_encoder: STEM's module.
      image_encoder: the DAMSM image tower's module.
      generator: GLAM's module; None where nothing is generated.
      z_dim, condition_dim: Z and D' of the generator.
      seed: of the noise.
    """

    def __init__(
        self,
        split,
        protocol,
        mesh,
        *,
        batch_size,
        text_encoder,
        image_encoder,
        generator=None,
        z_dim=0,
        condition_dim=0,
        seed=0,
    ):
        self.split, self.protocol, self._mesh = split, protocol, mesh
        data = mesh.shape["data"]
        self._batch_size = -(-min(batch_size, len(protocol)) // data) * data
        self._key = jax.random.key(seed)

        def encode_text(variables, batch):
            return text_encoder.apply(
                variables, batch["tokens"], batch["length"], train=False
            )[1]

        def encode_images(variables, images):
            return image_encoder.apply(variables, images, train=False)[1]

        def generate(ema, stem, key, batch):
            captions = gan_objective.encode_captions(
                text_encoder, stem, batch["tokens"], batch["length"]
            )
            # Noise belongs to an example, whatever batch it comes in.
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(batch["position"])
            z, eps = jax.vmap(
                lambda k: gan_objective.noise(k, 1, z_dim, condition_dim)
            )(keys)
            out = generator.apply(
                ema, z[:, 0], eps[:, 0], captions.sentence, captions.words,
                captions.mask, train=False,
            )  # fmt: skip
            return out.images

        # Whole on every device: every process can read the results.
        whole = sharding.replicated(mesh)
        self._encode_text = jax.jit(encode_text, out_shardings=whole)
        self._encode_images = jax.jit(encode_images, out_shardings=whole)
        self._generate = jax.jit(generate, out_shardings=whole)

    def _batches(self, rows):
        """(number of real rows, global batch) of the protocol's rows, in order."""
        p, size = self.protocol, self._batch_size
        local = sharding.local_rows(self._mesh, size)
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            padded = np.resize(chosen, size)
            batch = {
                "tokens": p.tokens[padded],
                "length": p.length[padded],
                "position": padded.astype(np.int32),
            }
            batch = {key: value[local] for key, value in batch.items()}
            yield len(chosen), sharding.global_batch(self._mesh, local, batch, size)

    def _all(self, rows=None):
        return np.arange(len(self.protocol)) if rows is None else np.asarray(rows)

    def sentence_codes(self, stem):
        """[n, D] codes of the captions."""
        return np.concatenate(
            [
                np.asarray(self._encode_text(stem, batch))[:count]
                for count, batch in self._batches(self._all())
            ]
        )

    def real_batches(self, image_size, num_words, order=None):
        """(number of real rows, batch) of the real test images, in `order` of rows."""
        p, order = self.protocol, self._all(order)
        for batch in pipeline.eval_batches(
            self.split,
            indices=p.indices[order],
            captions=p.captions[order],
            batch_size=self._batch_size,
            image_size=image_size,
            num_words=num_words,
        ):
            valid = int(batch.pop("valid").sum())
            local = sharding.local_rows(self._mesh, self._batch_size)
            batch = {key: value[local] for key, value in batch.items()}
            yield (
                valid,
                sharding.global_batch(self._mesh, local, batch, self._batch_size),
            )

    def real_images(self, rows, image_size):
        """[n, S, S, 3] uint8 real images of some rows, on every process."""
        p = self.protocol
        batches = pipeline.eval_batches(
            self.split,
            indices=p.indices[rows],
            captions=p.captions[rows],
            batch_size=min(self._batch_size, len(rows)),
            image_size=image_size,
            num_words=p.tokens.shape[1],
        )
        return np.concatenate([batch["image"][batch["valid"]] for batch in batches])

    def real_codes(self, image_variables, image_size):
        """[n, D] codes of the real test images."""
        codes = []
        for count, batch in self.real_batches(
            image_size, self.protocol.tokens.shape[1]
        ):
            images = resize.from_uint8(batch["image"])
            codes.append(
                np.asarray(self._encode_images(image_variables, images))[:count]
            )
        return np.concatenate(codes)

    def generated(self, ema, stem, rows=None):
        """Yields (number of real rows, tuple of [b, q, q, 3] images of every stage)."""
        for count, batch in self._batches(self._all(rows)):
            yield count, self._generate(ema, stem, self._key, batch)

    def generated_codes(self, ema, stem, image_variables, progress=None):
        """[n, D] codes of one generated image a caption, last stage."""
        codes = []
        for count, images in self.generated(ema, stem):
            codes.append(
                np.asarray(self._encode_images(image_variables, images[-1]))[:count]
            )
            if progress:
                progress.update(count)
        return np.concatenate(codes)

    def r_precision(self, image_codes, sentence_codes):
        """`metrics.r_precision` of the protocol's pools."""
        return r_precision.r_precision(image_codes, sentence_codes, self.protocol.pools)


def mismatched_rows(class_ids):
    """For each row another row of another class: images of other captions.

    Args:
      class_ids: [n] classes of the rows.

    Returns:
      [n] permutation; rows share a class only where one class holds most of them.
    """
    order = np.argsort(class_ids, kind="stable")
    # Sorted by class, a step of the largest class leaves every class.
    step = np.unique(class_ids, return_counts=True)[1].max()
    rows = np.empty_like(order)
    rows[order] = np.roll(order, -step)
    return rows


def cross_entropies(evaluator, gate, stream, *, image_size, num_words):
    """Mean cross entropy a word of the test captions, matched and shuffled.

    Returns:
      {"matched", "shuffled", "margin"} in nats.
    """
    totals, weight = np.zeros(2), 0
    gate = jax.jit(gate)
    # Data sets are often sorted by class, and the gate shuffles among neighbours.
    order = np.random.default_rng(0).permutation(len(evaluator.protocol))
    for count, batch in evaluator.real_batches(image_size, num_words, order):
        images = resize.from_uint8(batch["image"])
        if count < len(images):
            # Repeated rows would be their own neighbours.
            batch = jax.tree.map(lambda x: x[:count], batch)  # noqa: B023
            images = images[:count]
        if count < 2:
            continue
        values = gate(stream, images, batch["tokens"], batch["length"])
        totals += count * np.array(jax.device_get(values), np.float64)
        weight += count
    matched, shuffled = totals / max(weight, 1)
    return {"matched": matched, "shuffled": shuffled, "margin": shuffled - matched}


def stage_images(evaluator, ema, stem, rows):
    """Tuple of [n, q, q, 3] images in [-1, 1] of every stage, coarse to fine."""
    batches = [
        [np.asarray(stage)[:count] for stage in images]
        for count, images in evaluator.generated(ema, stem, rows)
    ]
    return tuple(np.concatenate(stage) for stage in zip(*batches, strict=True))


def sample_rows(count, samples):
    """Rows of a sample grid: spread over the test split."""
    return np.unique(np.linspace(0, count - 1, min(samples, count)).astype(int))


def sample_grid(evaluator, ema, stem, rows):
    """The sample grid of some examples: real image, every stage, caption."""
    split, p = evaluator.split, evaluator.protocol
    images = stage_images(evaluator, ema, stem, rows)
    texts = [split.texts[p.indices[r]][p.captions[r]] for r in rows]
    real = evaluator.real_images(rows, images[-1].shape[1])
    return figures.sample_grid(images, texts, real=real.astype(np.float32) / 127.5 - 1)


def write_sample(workdir, name, grid):
    """Writes a sample grid to `samples/<name>.png` below the workdir."""
    path = epath.Path(workdir) / "samples" / f"{name}.png"
    if hosts.is_first():
        figures.write_png(path, grid)
    return path
