"""Mutated pickles: each is read as pickle reads it, or refused in a sentence.

MIRRORGAN_FUZZ=N tries N mutants in place of a few hundred.
"""

import contextlib
import io
import os
import pickle
import random
import struct
import time
import tracemalloc

import numpy as np

from mirrorgan_jax.data.sources import pickles

MUTANTS = int(os.environ.get("MIRRORGAN_FUZZ", "400"))
SECONDS, BYTES = 5, 2**30  # that one mutant may take

_NAMES = [f"{i:03d}.Red_Bird/Red_Bird_{i:04d}" for i in range(1, 30)]
VALUES = [
    _NAMES,
    [name.encode() for name in _NAMES],
    tuple(range(250, 270)),
    [np.int64(i) for i in (1, 2, 200)],
    np.array(_NAMES),
    np.array(_NAMES, dtype=object),
    np.array([name.encode() for name in _NAMES]),
    np.arange(30),
    [[[1, 2, 300], [4]], [[5]], {0: "<end>", 1: "a"}, {"<end>": 0, "a": 1}],
    {"x": [True, None, 1.5, -1, 2**40]},
]
SEEDS = [
    pickle.dumps(value, protocol)
    for value in VALUES
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
]
# What counts and what names things, to be put where it does harm.
PARTS = [
    *(struct.pack("<I", n) for n in (0, 2**16, 2**31 - 1, 2**32 - 1)),
    *(struct.pack("<Q", n) for n in (2**32, 2**63 - 1, 2**64 - 1)),
    *(b"(", b"]", b"}", b"\x85", b"\x86", b"t", b"R", b"b", b"0", b"h\x00", b"\r\n"),
    *(b"cos\nsystem\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"\x8c\x02os\x93"),
    *(b"\x8d", b"\x8e", b"\x96", b"\x8b", b"\x95", b"r", b"j", b"S'", b"I", b"U", b"T"),
]  # fmt: skip


def mutant(rng):
    """A pickle with one to six changes."""
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at:at] = rng.choice(PARTS) * rng.choice((1, 1, 1, 50))
        elif kind == 3:
            part = rng.choice(PARTS)
            data[at : at + len(part)] = part
        elif kind == 4:
            del data[at : at + rng.randint(1, 20)]
        elif kind == 5:
            other = rng.choice(SEEDS)
            start = rng.randrange(len(other))
            data[at:at] = other[start : start + rng.randint(1, 80)]
        elif rng.random() < 0.2:
            data = data.replace(b"\n", b"\r\n")
        else:
            data[at:at] = data[max(0, at - 30) : at] * rng.choice((1, 1, 30))
    return bytes(data)


def _is_plain(value):
    """Whether a value is of Python's own kinds alone, at every depth."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    return type(value) in (int, float, str, bytes, bool, type(None))


class _Plain(pickle.Unpickler):
    """Python's own reader, for what holds no names."""

    def find_class(self, module, name):
        raise LookupError(name)


def _is_read_as_pickle_reads_it(data, value):
    with contextlib.suppress(LookupError, ValueError, pickle.UnpicklingError, EOFError):
        return repr(_Plain(io.BytesIO(data), encoding="latin1").load()) == repr(value)
    return True  # There are names in it, or a frame that we do not need.


def test_mutated_pickles_are_read_or_refused():
    rng, outcomes = random.Random(0), {"read": 0, "refused": 0}
    tracemalloc.start()
    try:
        for number in range(MUTANTS):
            data = mutant(rng)
            begin = time.monotonic()
            try:
                value = pickles.load(data, "x.pickle")
            except ValueError as error:
                message = str(error)
                assert message.startswith("x.pickle: "), (number, data)
                assert message.isprintable() and len(message) < 400, (number, data)
                outcomes["refused"] += 1
            else:
                assert _is_plain(value), (number, data)
                assert _is_read_as_pickle_reads_it(data, value), (number, data)
                outcomes["read"] += 1
            assert time.monotonic() - begin < SECONDS, (number, data)
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()
    print(outcomes)
    assert min(outcomes.values()) > MUTANTS / 20
