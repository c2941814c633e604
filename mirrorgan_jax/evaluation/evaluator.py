"""Networks run over fixed test examples: R-precision, redescription, samples.

Protocol of R-precision (paper 4.1.2): one image a test caption; its own caption
among 99 random captions of other test images, ranked by the cosine of DAMSM codes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from mirrorgan_jax.metrics import r_precision
from mirrorgan_jax.models import glam, resize
from mirrorgan_jax.models import stem as stem_models
from mirrorgan_jax.parallel import mesh as meshes


class Probe(NamedTuple):
    """What is measured of an image.

    Attributes:
      function: pure `function(variables, images, batch)` of [B, S, S, 3] images in
        [-1, 1] and the batch of their captions; returns a tree of [B, ...] arrays.
      variables: its first argument.
    """

    function: Callable[..., Any]
    variables: Any


class Evaluator:
    """Runs networks over the protocol's examples, batch by batch, on the mesh.

    Args:
      split: the test split.
      protocol: `protocols.Protocol`.
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

        def encode_images(variables, images, batch):
            del batch
            return image_encoder.apply(variables, images, train=False)[1]

        def generate(ema, stem, key, batch):
            captions = stem_models.encode_captions(
                text_encoder, stem, batch["tokens"], batch["length"]
            )
            # Noise belongs to an example, whatever batch it comes in.
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(batch["position"])
            z, eps = jax.vmap(lambda k: glam.noise(k, 1, z_dim, condition_dim))(keys)
            out = generator.apply(
                ema, z[:, 0], eps[:, 0], captions.sentence, captions.words,
                captions.mask, train=False,
            )  # fmt: skip
            return out.images

        # Whole on every device: every process can read the results.
        whole = meshes.replicated(mesh)
        self._encode_text = jax.jit(encode_text, out_shardings=whole)
        self._encode_images, self._compiled = encode_images, {}
        # Generated images stay on the devices that go on with them.
        rows = meshes.batch_sharding(mesh)
        self._generate = jax.jit(generate, out_shardings=rows)
        self._gather = jax.jit(lambda images: images, out_shardings=whole)

    def _batches(self, rows):
        """(number of real rows, global batch) of the protocol's rows, in order."""
        p, size = self.protocol, self._batch_size
        local = meshes.local_rows(self._mesh, size)
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            padded = np.resize(chosen, size)
            batch = {
                "tokens": p.tokens[padded],
                "length": p.length[padded],
                "position": padded.astype(np.int32),
            }
            batch = {key: value[local] for key, value in batch.items()}
            yield len(chosen), meshes.global_batch(self._mesh, local, batch, size)

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
        from mirrorgan_jax.data import pipeline

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
            local = meshes.local_rows(self._mesh, self._batch_size)
            batch = {key: value[local] for key, value in batch.items()}
            yield (
                valid,
                meshes.global_batch(self._mesh, local, batch, self._batch_size),
            )

    def real_images(self, rows, image_size):
        """[n, S, S, 3] uint8 real images of some rows, on every process."""
        from mirrorgan_jax.data import pipeline

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

    def _probed(self, probes, batches, progress):
        """{name: tree of [n, ...]} of what probes make of batches of images."""
        whole = meshes.replicated(self._mesh)
        for probe in probes.values():
            if probe.function not in self._compiled:
                self._compiled[probe.function] = jax.jit(
                    probe.function, out_shardings=whole
                )
        parts = []
        for count, images, batch in batches:
            found = {
                name: self._compiled[probe.function](probe.variables, images, batch)
                for name, probe in probes.items()
            }
            parts.append(jax.tree.map(lambda x: np.asarray(x)[:count], found))  # noqa: B023
            if progress:
                progress.update(count)
        return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)

    def probe_real(self, probes, image_size, progress=None):
        """What probes make of the real test images, each once.

        Args:
          probes: {name: `Probe`}.
          image_size: of the centre crops.
          progress: `telemetry.Progress` or None.

        Returns:
          {name: tree of [num_images, ...] NumPy arrays}.
        """
        p = self.protocol
        batches = (
            (count, resize.from_uint8(batch["image"]), batch)
            for count, batch in self.real_batches(
                image_size, p.tokens.shape[1], np.arange(p.num_images)
            )
        )
        return self._probed(probes, batches, progress)

    def probe_generated(self, probes, ema, stem, progress=None):
        """{name: tree of [n, ...]} of one generated image a caption (`probe_real`)."""
        batches = (
            (count, images[-1], batch)
            for count, images, batch in self._generated(ema, stem, self._all())
        )
        return self._probed(probes, batches, progress)

    def code_probe(self, image_variables):
        """The `Probe` of an image's DAMSM code [D]."""
        return Probe(self._encode_images, image_variables)

    def real_codes(self, image_variables, image_size):
        """[num_images, D] codes of the real test images."""
        probes = {"code": self.code_probe(image_variables)}
        return self.probe_real(probes, image_size)["code"]

    def generated_codes(self, ema, stem, image_variables):
        """[n, D] codes of one generated image a caption, last stage."""
        probes = {"code": self.code_probe(image_variables)}
        return self.probe_generated(probes, ema, stem)["code"]

    def _generated(self, ema, stem, rows):
        for count, batch in self._batches(rows):
            yield count, self._generate(ema, stem, self._key, batch), batch

    def stage_images(self, ema, stem, rows):
        """Tuple of [n, q, q, 3] images in [-1, 1] of every stage, coarse to fine."""
        batches = [
            [np.asarray(stage)[:count] for stage in self._gather(images)]
            for count, images, _ in self._generated(ema, stem, rows)
        ]
        return tuple(np.concatenate(stage) for stage in zip(*batches, strict=True))

    def r_precision(self, image_codes, sentence_codes, **options):
        """`metrics.r_precision` of the protocol's pools, for the first images."""
        pools = self.protocol.pools[: len(image_codes)]
        return r_precision.r_precision(image_codes, sentence_codes, pools, **options)
