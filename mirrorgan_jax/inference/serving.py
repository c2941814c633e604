"""A model as one compiled function that jax alone runs, on CPUs, GPUs and TPUs."""

import json

import jax
import numpy as np
from etils import epath
from jax import export

from mirrorgan_jax.inference import functions
from mirrorgan_jax.models import build
from mirrorgan_jax.workdir import files

FUNCTION, WORDS, EXAMPLE = "draw.stablehlo", "words.json", "example.py"
PLATFORMS = ("cpu", "cuda", "tpu")

# `{shapes}` are filled in; it needs jax and numpy, and nothing of ours.
_EXAMPLE = '''"""Draws a caption:  python example.py 'a small red bird' [SEED]"""

import json
import re
import sys

import jax
import numpy as np
from jax import export

caption, seed = sys.argv[1], int((sys.argv[2:] or ["0"])[0])
ids = {{w: i for i, w in enumerate(json.load(open("words.json"))["words"])}}
known = [ids[w] for w in re.findall(r"\\w+", caption.lower()) if w in ids]
tokens = np.zeros((1, {num_words}), np.int32)
tokens[0, : len(known)] = known[:{num_words}]
noise = np.random.default_rng(seed).standard_normal((1, {z} + {d})).astype(np.float32)
draw = jax.jit(export.deserialize(open("draw.stablehlo", "rb").read()).call)
length = np.array([min(len(known), {num_words})], np.int32)
image = np.asarray(draw(tokens, length, noise[:, :{z}], noise[:, {z}:])[-1][0])
pixels = np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8)
head = b"P6 %d %d 255\\n" % pixels.shape[1::-1]
open("image.ppm", "wb").write(head + pixels.tobytes())
'''


def drawing(model):
    """`draw(tokens, length, z, eps)`: images of every stage, weights inside.

    Args:
      model: `inference.model.Model`.

    Returns:
      A function of tokens [B, T] int32 (0 at padding), length [B] int32, z [B, Z] and
      eps [B, D'] float32, that gives a tuple of [B, q, q, 3] in [-1, 1], coarse to
      fine.
    """
    text_encoder = build.text_encoder(model.config, len(model.vocab))
    generator = build.generator(model.config)
    stem, ema = (
        jax.device_get(model.networks[name]) for name in ("text_encoder", "generator")
    )

    def draw(tokens, length, z, eps):
        features = functions.encode(text_encoder, stem, tokens, length)
        return functions.generate(generator, ema, features, z, eps).images

    return draw


def exported(model):
    """`jax.export.Exported` of `drawing`, for any batch and every platform."""
    (batch,) = export.symbolic_shape("b")
    c, shape = model.config, jax.ShapeDtypeStruct
    return export.export(jax.jit(drawing(model)), platforms=PLATFORMS)(
        shape((batch, model.num_words), np.int32),
        shape((batch,), np.int32),
        shape((batch, c.gan.z_dim), np.float32),
        shape((batch, c.gan.condition_dim), np.float32),
    )


def write(model, folder):
    """Writes the function, its words and an example; returns their paths.

    Args:
      model: `inference.model.Model`.
      folder: where, made when absent.
    """
    folder, c = epath.Path(folder), model.config.gan
    example = _EXAMPLE.format(num_words=model.num_words, z=c.z_dim, d=c.condition_dim)
    contents = {
        FUNCTION: bytes(exported(model).serialize()),
        WORDS: json.dumps(model.vocab.to_json(), indent=1).encode("utf-8"),
        EXAMPLE: example.encode("utf-8"),
    }
    for name, data in contents.items():
        files.write_bytes(folder / name, data)
    return [folder / name for name in contents]
