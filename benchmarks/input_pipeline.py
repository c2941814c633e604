"""Speed and memory of the training pipeline, beside plain decoding of its JPEGs.

    python benchmarks/input_pipeline.py --pictures=600 --rounds=3

Draws photographs of CUB's size, prepares them as own pictures, and takes epochs of
batches, from pictures that are kept resized and from such that are decoded every epoch.
Plain decoding is TensorFlow's of the same bytes, on as many threads; the three take
turns, and the ratios are those of their best rounds.
"""

import json
import pathlib
import tempfile
import time

import numpy as np
from absl import app, flags
from PIL import Image

from mirrorgan_jax.settings import base as configs


def draw(folder, count, width, height):
    """Writes smooth random pictures with some noise and their list into a folder."""
    random, rows = np.random.default_rng(0), []
    for number in range(count):
        coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
        noisy = np.asarray(smooth) + random.normal(0, 6, (height, width, 1))
        picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        name, split = f"{number:05d}.jpg", "test" if number < 2 else "train"
        picture.save(folder / name, quality=90)
        text = f"a picture of number {number}"
        rows.append({"file_name": name, "text": text, "split": split})
    lines = "\n".join(map(json.dumps, rows))
    (folder / "metadata.jsonl").write_text(lines)


def resident_mib():
    """MiB of memory that this process holds now."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 2**10


def plain_rate(encoded):
    """Pictures a second of decoding alone."""
    import tensorflow as tf

    from mirrorgan_jax.data import cache, images

    data = tf.data.Dataset.from_tensor_slices(encoded)
    data = data.map(images.decode, num_parallel_calls=cache.threads())
    # The sum keeps nothing of the pictures, so that none is copied to Python.
    data = data.map(lambda image: tf.shape(image)[0]).batch(len(encoded))
    begin = time.perf_counter()
    for _ in cache.with_threads(data):
        pass
    return len(encoded) / (time.perf_counter() - begin)


def pipeline_rate(batches, steps):
    """(pictures a second, [MiB held at five times]) of so many batches."""
    count, held, begin = 0, [], time.perf_counter()
    for step in range(steps):
        count += len(next(batches)["image"])
        if step % max(1, steps // 5) == 0:
            held.append(resident_mib())
    return count / (time.perf_counter() - begin), held


def measure(*, pictures, rounds, width, height, image_size, batch_size):
    """Prints the figures; the arguments are the flags."""
    from mirrorgan_jax.data import datasets, pipeline

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "raw").mkdir()
        draw(folder / "raw", pictures, width, height)
        settings = configs.base_config().data
        settings.update(name="folder", source=str(folder / "raw"), root=name)
        split = datasets.load(settings, seed=0).train
        encoded = [p.read_bytes() for p in sorted((folder / "raw").glob("*.jpg"))]
        ways = {
            way: pipeline.train_batches(
                split,
                batch_size=batch_size,
                image_size=image_size,
                num_words=18,
                seed=0,
                cache_mib=cache_mib,
            )
            for way, cache_mib in (("kept", 10**6), ("decoded", 0))
        }
        for batches in ways.values():
            next(batches)
        plain_rate(encoded)
        best, steps = dict.fromkeys(["plain", *ways], 0.0), -(-pictures // batch_size)
        for _ in range(rounds):
            best["plain"] = max(best["plain"], plain_rate(encoded))
            for way, batches in ways.items():
                rate, held = pipeline_rate(batches, steps)
                best[way] = max(best[way], rate)
                held = ", ".join(f"{mib:.0f}" for mib in held)
                print(
                    f"{way}: {rate:.0f}/s; MiB held over the epoch: {held}", flush=True
                )
    print(
        f"{pictures} JPEGs of {width}x{height}, cropped to {image_size}, batches of"
        f" {batch_size}; plain decoding {best['plain']:.0f}/s"
    )
    for way in ways:
        print(f"{way}: {best[way]:.0f}/s, {best[way] / best['plain']:.0%} of it")


if __name__ == "__main__":
    PICTURES = flags.DEFINE_integer("pictures", 600, "Drawn pictures.", lower_bound=4)
    ROUNDS = flags.DEFINE_integer("rounds", 3, "Epochs of each.", lower_bound=1)
    SIZE = flags.DEFINE_integer("image_size", 256, "Pixels of a side of the crops.")
    BATCH = flags.DEFINE_integer("batch_size", 16, "Rows of a batch.", lower_bound=1)
    app.run(
        lambda argv: measure(
            pictures=PICTURES.value,
            rounds=ROUNDS.value,
            width=500,
            height=375,
            image_size=SIZE.value,
            batch_size=BATCH.value,
        )
    )
