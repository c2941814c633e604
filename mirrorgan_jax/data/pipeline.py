"""The input pipeline: element i of a run is a pure function of (seed, i).

So a resume needs only the step number, and every process computes just its own rows
of the global batch. TensorFlow decodes and crops; the random choices are raw Philox
words keyed by (seed, i), which no library version changes.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from mirrorgan_jax import text
from mirrorgan_jax.data import cache, damage, datasets, formats, images, resized
from mirrorgan_jax.data.sources import records

_PREFETCH = 4
# Rounds of the cipher that shuffles. With four, some epochs of a few pictures stand
# nearly in the order of the files: of 60 epochs of 35 pictures one is correlated with
# it by 0.95, of 1,000 by 0.42; with eight by 0.40 and 0.09, as of true permutations.
# Larger sets keep the order that runs have begun with.
_ROUNDS, _ROUNDS_OF_SMALL, _SMALL = 4, 8, 2000
_FIELDS = {
    "record": tf.string,
    "box": tf.int32,
    "draw": tf.int64,
    "flip": tf.bool,
    "tokens": tf.int32,
    "length": tf.int32,
    "class_id": tf.int32,
    "index": tf.int32,
}
_KEPT = ("tokens", "length", "class_id", "index")


def element_choices(
    seed: int, element: int, captions: Sequence[Sequence[int]], num_words: int
) -> tuple[Sequence[int], tuple[int, int], bool]:
    """The random choices for element `element` of a run.

    Args:
      seed: of the run, 0 to 2**31 - 1.
      element: number of the element in the run.
      captions: token ids of each caption of the picture.
      num_words: longer captions lose random words.

    Returns:
      (token ids, draw [2] int64 for the crop, whether to flip).
    """
    key = np.array([seed, element], np.uint64)
    raw = np.random.Philox(key=key)
    choice, flip, left, top = (int(v) for v in raw.random_raw(4))
    ids = captions[choice % len(captions)]
    if len(ids) > num_words:
        order = np.argsort(raw.random_raw(len(ids)), kind="stable")
        ids = text.keep_words(ids, order[:num_words].tolist())
    return ids, (left >> 33, top >> 33), bool(flip >> 63)


def _words(split, indices, choices, num_words: int) -> tuple[np.ndarray, ...]:
    """The fields `_KEPT` of a block of elements."""
    ids = [choice[0] for choice in choices]
    return (
        np.array([text.pad(i, num_words) for i in ids], np.int32),
        np.array([len(i) for i in ids], np.int32),
        split.class_ids[indices],
        indices.astype(np.int32),
    )


def _block(split, indices, examples, choices, num_words: int) -> tuple[np.ndarray, ...]:
    """A block of elements, in the order of `_FIELDS`."""
    return (
        np.array(examples, object),
        split.pictures.boxes[indices],
        np.array([draw for _, draw, _ in choices], np.int64),
        np.array([flip for _, _, flip in choices], bool),
        *_words(split, indices, choices, num_words),
    )


def _finish_element(block: dict, *, image_size: int, random_crop: bool) -> dict:
    """The batch's fields of one element, its record decoded and cropped."""
    image = images.decode_example(block["record"], block["box"])
    draw = block["draw"] if random_crop else None
    image = images.crop_resized(image, image_size, draw)
    if random_crop:
        image = tf.cond(block["flip"], lambda: image[:, ::-1], lambda: image)
    image = tf.ensure_shape(image, [image_size, image_size, 3])
    return {"image": image, **{key: block[key] for key in _KEPT}}


def _load_block(load: Callable, num_words: int) -> Callable:
    """`load` as a TensorFlow function of element numbers and indices."""

    def numbered(elements, indices):
        values = tf.numpy_function(
            load, [elements, indices], list(_FIELDS.values()), stateful=False
        )
        block = dict(zip(_FIELDS, values, strict=True))
        shapes = {"box": [4], "draw": [2], "tokens": [num_words]}
        for key, value in block.items():
            value.set_shape([None, *shapes.get(key, [])])
        return block

    return numbered


def _told(batches: Iterator, split: datasets.Split) -> Iterator:
    """The batches; a picture that is not decoded becomes an error in a sentence."""
    try:
        yield from batches
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"{split.name}: a prepared picture is not decoded"
            f" ({formats.sentence(error.message)}); remove the folder"
            f" {records.printable(split.directory)}, and the next run prepares the"
            " data again"
        ) from None


def _decoded_batches(
    blocks, load, split, *, rows: int, image_size, num_words, random_crop
):
    """Blocks of element numbers and indices -> iterator of batches."""
    called = damage.Called(load)
    data = blocks.map(_load_block(called.weakly, num_words)).unbatch()
    data = data.map(
        lambda block: _finish_element(
            block, image_size=image_size, random_crop=random_crop
        ),
        num_parallel_calls=cache.threads(),
        deterministic=True,
    )
    data = data.batch(rows, drop_remainder=True).prefetch(_PREFETCH)
    batches = called.raising(cache.with_threads(data).as_numpy_iterator())
    return _told(batches, split)


def _cut(kept: resized.Resized, index: int, draw, flip: bool, out: np.ndarray) -> None:
    """Writes into `out` [S, S, 3] what `images.crop_resized` and the flip give."""
    (height, width), size = kept.shape(index), len(out)
    left, top = draw[0] % (width - size + 1), draw[1] % (height - size + 1)
    crop = kept.rows(index, top, size)[:, left : left + size]
    if flip:
        for channel in range(3):  # much faster than all of them at once
            out[:, :, channel] = crop[:, ::-1, channel]
    else:
        out[:] = crop


def _resized_batches(
    blocks, split, good, kept, choose, *, image_size: int, num_words: int
):
    """`_decoded_batches` from pictures that are kept resized."""
    fields = {"image": tf.uint8, **{key: _FIELDS[key] for key in _KEPT}}

    def load(elements, indices):
        indices = good.places(indices)
        choices = choose(elements, indices)
        crops = np.empty((len(indices), image_size, image_size, 3), np.uint8)
        for out, index, (_, draw, flip) in zip(crops, indices, choices, strict=True):
            _cut(kept, index, draw, flip, out)
        return (crops, *_words(split, indices, choices, num_words))

    called = damage.Called(load)
    weakly, types = called.weakly, list(fields.values())

    def numbered(elements, indices):
        values = tf.numpy_function(weakly, [elements, indices], types, stateful=False)
        return dict(zip(fields, values, strict=True))

    data = blocks.map(numbered).prefetch(_PREFETCH)
    return called.raising(cache.with_threads(data).as_numpy_iterator())


def _rows(rows: Sequence[int] | None, batch_size: int) -> np.ndarray:
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}: at least 1 is needed")
    rows = np.arange(batch_size) if rows is None else np.asarray(rows, np.int64)
    if not rows.size or rows.min() < 0 or rows.max() >= batch_size:
        raise ValueError(f"rows {rows.tolist()}: allowed are 0 to {batch_size - 1}")
    return rows.astype(np.int64)


def _kept(split, good, image_size: int, cache_mib, say) -> resized.Resized | None:
    """The resized pictures if they may be kept; says which it is."""
    needed = resized.needed_bytes(len(split), image_size) / 2**20
    free = resized.free_bytes(split.directory) / 2**20
    pictures = f"{split.name}: {len(split):,} pictures"
    key = f"(data.cache_mib = {cache_mib}"
    if needed > min(cache_mib, free / 2):
        say(
            f"{pictures} decoded anew every epoch: kept resized they would need about"
            f" {needed:,.0f} MiB of disk {key}, {free:,.0f} free)"
        )
        return None
    try:
        kept = split.pictures.resized(image_size, good)
    except OSError as error:
        say(f"{pictures} decoded anew every epoch: {formats.sentence(error)} {key})")
        return None
    side = images.resized_shorter_side(image_size)
    say(
        f"{pictures} kept resized to {side} pixels, {kept.nbytes / 2**20:,.0f} MiB of"
        f" disk {key})"
    )
    return kept


def train_batches(
    split: datasets.Split,
    *,
    batch_size: int,
    image_size: int,
    num_words: int,
    seed: int,
    cache_mib: float,
    bad_pictures: float = 0.0,
    start_step: int = 0,
    rows: Sequence[int] | None = None,
    say: Callable[[str], object] = print,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless shuffled batches with random crops, flips, captions and words.

    Element i is picture shuffle(i mod N) of epoch i // N, so batches run over the
    ends of epochs and no picture is left out.

    Args:
      split: where the elements come from.
      batch_size: B, of the global batch.
      image_size: S.
      num_words: T; longer captions keep a random subset of words in order.
      seed: 0 to 2**31 - 1.
      cache_mib: MiB of disk; a split whose resized pictures need more, or half of what
        is free, is decoded anew every epoch; 0: always.
      bad_pictures: share of the split's pictures that may be damaged on disk: in an
        element whose picture is, the next good one stands (`damage.GoodPictures`).
      start_step: number of the first batch.
      rows: positions in the global batch that this process needs; None is all.
      say: called with a line that tells which of the two is done, and with one for
        every damaged picture.

    Yields:
      `image` [R, S, S, 3] uint8, `tokens` [R, T], `length` [R], `class_id` [R] and
      `index` [R] int32, R = len(rows).

    Raises:
      ValueError: an argument is wrong, a picture cannot be read, or more are damaged
        than may be; in a sentence.
    """
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed = {seed}: allowed are 0 to 2**31 - 1")
    images.hide_accelerators()
    rows, count = _rows(rows, batch_size), len(split)

    def place(step):
        elements = step * batch_size + rows
        epochs = elements // count
        # The public function of this operation mishandles a vector of seeds.
        indices = tf.raw_ops.RandomIndexShuffle(
            index=elements % count,
            seed=tf.stack([tf.zeros_like(epochs), epochs * 0 + seed, epochs], axis=-1),
            max_index=tf.fill(tf.shape(elements), tf.constant(count - 1, tf.int64)),
            rounds=_ROUNDS_OF_SMALL if count < _SMALL else _ROUNDS,
        )
        return elements, indices

    def choose(elements, indices):
        return [
            element_choices(seed, int(e), split.captions[i], num_words)
            for e, i in zip(elements, indices, strict=True)
        ]

    def load(elements, indices):
        indices, examples = good.read(indices)
        choices = choose(elements, indices)
        return _block(split, indices, examples, choices, num_words)

    blocks = tf.data.Dataset.counter(start_step, dtype=tf.int64).map(place)
    sizes = {"image_size": image_size, "num_words": num_words}
    good = damage.GoodPictures(split.pictures, bad_pictures, say)
    kept = _kept(split, good, image_size, cache_mib, say)
    if kept is not None:
        return _resized_batches(blocks, split, good, kept, choose, **sizes)
    rows = len(rows)
    return _decoded_batches(blocks, load, split, rows=rows, random_crop=True, **sizes)


def eval_batches(
    split: datasets.Split,
    *,
    indices: Sequence[int],
    captions: Sequence[int],
    batch_size: int,
    image_size: int,
    num_words: int,
    rows: Sequence[int] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches of given pictures and captions: centre crop, no flip, the first words.

    Args:
      split: where the pictures come from.
      indices: picture of each element.
      captions: number of the caption of each element.
      batch_size: B, of the global batch.
      image_size: S.
      num_words: T; of longer captions the first T words are taken.
      rows: positions in the global batch that this process needs; None is all.

    Yields:
      The fields of `train_batches` and `valid` [R] bool: the last batch is filled up
      with its last element, not valid.

    Raises:
      ValueError: an argument is wrong, or a picture cannot be read: none is left out.
    """
    indices, captions = np.asarray(indices, np.int64), np.asarray(captions, np.int64)
    if indices.shape != captions.shape or indices.ndim != 1:
        raise ValueError(f"shapes {indices.shape}, {captions.shape}: equal [n] needed")
    if indices.size and not 0 <= indices.min() <= indices.max() < len(split):
        raise ValueError(f"indices reach {indices.max()}; {len(split)} pictures")
    rows, count = _rows(rows, batch_size), len(indices)
    if not count:
        return
    images.hide_accelerators()
    steps = -(-count // batch_size)
    elements = (np.arange(steps)[:, None] * batch_size + rows).reshape(-1)
    places = np.minimum(elements, count - 1)

    def load(places, indices):
        ids = [
            split.captions[i][captions[p]][:num_words]
            for p, i in zip(places, indices, strict=True)
        ]
        choices = [(caption, (0, 0), False) for caption in ids]
        examples = split.pictures.examples(indices)
        return _block(split, indices, examples, choices, num_words)

    blocks = tf.data.Dataset.from_tensor_slices((places, indices[places]))
    batches = _decoded_batches(
        blocks.batch(len(rows)),
        load,
        split,
        rows=len(rows),
        image_size=image_size,
        num_words=num_words,
        random_crop=False,
    )
    valid = (elements < count).reshape(steps, len(rows))
    for batch, mask in zip(batches, valid, strict=True):
        yield {**batch, "valid": mask}
