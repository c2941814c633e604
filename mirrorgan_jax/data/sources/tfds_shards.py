"""Shards of TensorFlow Datasets: serialised examples, read at random access.

A shard is read once from its beginning to its end, which compares all checksums; of its
records only the places are kept. TensorFlow and ArrayRecord are imported inside.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mirrorgan_jax.data.sources import files, records

# Of a TFRecord: its length, then before and behind its data a checksum.
_LENGTH, _CHECKSUM = 8, 4
_FRAME = _LENGTH + 2 * _CHECKSUM

Read = Callable[[], bytes]


def _frames(path: pathlib.Path) -> list[tuple[int, int]]:
    """(offset, bytes of data) of the records of a TFRecord file.

    Looked at before TensorFlow reads it, which takes the memory that a length asks for.
    """
    found, begin, end = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while begin < end:
            file.seek(begin)
            size = int.from_bytes(file.read(_LENGTH), "little")
            after = begin + _FRAME + size
            if not 0 < size <= files.LIMIT or after > end:
                raise ValueError(f"cut off or damaged at record {len(found)}")
            found.append((begin, size))
            begin = after
    return found


def _tfrecord(path: pathlib.Path, begin: int, size: int) -> bytes:
    """The data of the record at an offset."""
    with path.open("rb") as file:
        file.seek(begin)
        frame = file.read(_FRAME + size)
    if len(frame) < _FRAME + size or int.from_bytes(frame[:_LENGTH], "little") != size:
        raise ValueError(f"{records.printable(path.name)} has changed meanwhile")
    return frame[_LENGTH + _CHECKSUM : -_CHECKSUM]


def _tfrecords(path: pathlib.Path) -> Iterator[tuple[Read, bytes]]:
    import tensorflow as tf

    frames, number = _frames(path), 0
    stored = tf.data.TFRecordDataset(os.fspath(path)).as_numpy_iterator()
    try:
        for frame, data in zip(frames, stored, strict=True):
            yield functools.partial(_tfrecord, path, *frame), data
            number += 1
    except tf.errors.OpError:  # its message holds the name of an operation
        raise ValueError(f"damaged at record {number}") from None


def _array_record(reader: Any, number: int) -> bytes:
    try:
        return reader.read([number])[0]
    except (RuntimeError, IndexError):
        raise ValueError(f"damaged at record {number}") from None


def _array_records(path: pathlib.Path) -> Iterator[tuple[Read, bytes]]:
    from array_record.python import array_record_module

    reader = array_record_module.ArrayRecordReader(os.fspath(path))
    for number in range(reader.num_records()):
        again = functools.partial(_array_record, reader, number)
        yield again, again()


_READERS = {"tfrecord": _tfrecords, "array_record": _array_records}
FORMATS = tuple(_READERS)


def examples(path: pathlib.Path, kind: str, count: int) -> Iterator[tuple[Read, bytes]]:
    """(reads it again, serialised example) of every record of a shard, in its order.

    Args:
      path: of the shard.
      kind: one of `FORMATS`.
      count: records that it should hold.

    Raises:
      OSError: it cannot be read.
      ValueError: it is damaged, cut off or holds another number of records; one
        sentence without the file. Reading again raises it where the shard has changed.
    """
    number = 0
    for found in _READERS[kind](path):
        yield found
        number += 1
    if number != count:  # An ArrayRecord that is cut off seems to be empty.
        raise ValueError(
            f"records: {number}, should be {count}: cut off, damaged or of another"
            " preparation"
        )


def values(example: bytes) -> dict[str, Sequence]:
    """{name: values} of a serialised example's features; bytes, floats or integers.

    Raises:
      ValueError: it is none.
    """
    import tensorflow as tf
    from google.protobuf import message

    try:
        features = tf.train.Example.FromString(example).features.feature
    except message.DecodeError:
        raise ValueError("not a serialised example") from None
    kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
    return {
        name: getattr(features[name], kind).value
        for name, kind in kinds.items()
        if kind is not None
    }
