"""Networks run over fixed examples: R-precision, redescription, samples.

Protocol of R-precision (paper 4.1.2): one image a caption; its own caption among 99
random captions of other images of the split, ranked by the cosine of DAMSM codes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from mirrorgan_jax.inference import functions
from mirrorgan_jax.metrics import r_precision
from mirrorgan_jax.models import resize


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
      split: the test split, or that which chooses.
      protocol: `protocol.Protocol`.
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
        self.split, self.protocol = split, protocol
        self._batches = functions.Batches(mesh, min(batch_size, len(protocol)))
        self._key, self._compiled = jax.random.key(seed), {}

        def encode_text(variables, tokens, length):
            return functions.encode(text_encoder, variables, tokens, length).sentence

        def generate(ema, stem, key, batch):
            features = functions.encode(
                text_encoder, stem, batch["tokens"], batch["length"]
            )
            # Noise belongs to an example, whatever batch it comes in.
            z, eps = functions.noise(z_dim, condition_dim, key, batch["position"])
            return functions.generate(generator, ema, features, z, eps).images

        def encode_images(variables, images, batch):
            del batch
            return functions.image_code(image_encoder, variables, images)

        self._encode_text = self._batches.compiled(encode_text)
        self._encode_images = encode_images
        # Generated images stay on the devices that go on with them.
        self._generate = self._batches.compiled(generate, split=True)
        self._gather = self._batches.compiled(lambda images: images)

    def _all(self, rows=None):
        return np.arange(len(self.protocol)) if rows is None else np.asarray(rows)

    def sentence_codes(self, stem):
        """[n, D] codes of the captions."""
        p = self.protocol
        return self._batches.map(self._encode_text, stem, p.tokens, p.length)

    def real_batches(self, image_size, num_words, order=None):
        """(number of real rows, batch) of the real images, in `order` of rows."""
        from mirrorgan_jax.data import pipeline

        p, order = self.protocol, self._all(order)
        for batch in pipeline.eval_batches(
            self.split,
            indices=p.indices[order],
            captions=p.captions[order],
            batch_size=self._batches.size,
            image_size=image_size,
            num_words=num_words,
        ):
            valid = int(batch.pop("valid").sum())
            yield valid, self._batches.place(batch)

    def real_images(self, rows, image_size):
        """[n, S, S, 3] uint8 real images of some rows, on every process."""
        from mirrorgan_jax.data import pipeline

        p = self.protocol
        batches = pipeline.eval_batches(
            self.split,
            indices=p.indices[rows],
            captions=p.captions[rows],
            batch_size=min(self._batches.size, len(rows)),
            image_size=image_size,
            num_words=p.tokens.shape[1],
        )
        return np.concatenate([batch["image"][batch["valid"]] for batch in batches])

    def _probed(self, probes, batches, progress):
        """{name: tree of [n, ...]} of what probes make of batches of images."""
        for probe in probes.values():
            if probe.function not in self._compiled:
                self._compiled[probe.function] = self._batches.compiled(probe.function)

        def found():
            for count, images, batch in batches:
                yield (
                    count,
                    {
                        name: self._compiled[probe.function](
                            probe.variables, images, batch
                        )
                        for name, probe in probes.items()
                    },
                )
                if progress:
                    progress.update(count)

        return functions.joined(found())

    def probe_real(self, probes, image_size, progress=None):
        """What probes make of the real images, each once.

        Args:
          probes: {name: `Probe`}.
          image_size: of the centre crops.
          progress: `progress.Progress` or None.

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

    def probe_generated(self, probes, ema, stem, progress=None, others=None):
        """{name: tree of [n, ...]} of one generated image a caption (`probe_real`).

        Args:
          probes, progress: as of `probe_real`.
          ema, stem: variables of the generator and of STEM's text encoder.
          others: [n] for each image another caption, "other_tokens" of the batch; None
            where no probe reads it.
        """
        batches = (
            (count, images[-1], batch)
            for count, images, batch in self._generated(ema, stem, self._all(), others)
        )
        return self._probed(probes, batches, progress)

    def code_probe(self, image_variables):
        """The `Probe` of an image's DAMSM code [D]."""
        return Probe(self._encode_images, image_variables)

    def real_codes(self, image_variables, image_size):
        """[num_images, D] codes of the real images."""
        probes = {"code": self.code_probe(image_variables)}
        return self.probe_real(probes, image_size)["code"]

    def generated_codes(self, ema, stem, image_variables):
        """[n, D] codes of one generated image a caption, last stage."""
        probes = {"code": self.code_probe(image_variables)}
        return self.probe_generated(probes, ema, stem)["code"]

    def _generated(self, ema, stem, rows, others=None):
        p = self.protocol
        wanted = {
            "tokens": p.tokens[rows],
            "length": p.length[rows],
            "position": rows.astype(np.int32),
        }
        if others is not None:
            wanted["other_tokens"] = p.tokens[others[rows]]
        for count, (batch,) in self._batches.of(wanted):
            yield count, self._generate(ema, stem, self._key, batch), batch

    def stage_images(self, ema, stem, rows):
        """Tuple of [n, q, q, 3] images in [-1, 1] of every stage, coarse to fine."""
        return functions.joined(
            (count, self._gather(images))
            for count, images, _ in self._generated(ema, stem, np.asarray(rows))
        )

    def r_precision(self, image_codes, sentence_codes, **options):
        """`metrics.r_precision` of the protocol's pools, for the first images."""
        pools = self.protocol.pools[: len(image_codes)]
        return r_precision.r_precision(image_codes, sentence_codes, pools, **options)
