"""Damaged lists of every form: read or refused in sentences, never more than that.

MIRRORGAN_FUZZ=N tries N mutated inputs; without it a few hundred of a fixed seed.
"""

import os
import random
import resource
import time

import pytest
from support import data_settings, forms

from mirrorgan_jax.data.sources import folder, records

COUNT = int(os.environ.get("MIRRORGAN_FUZZ", "300"))
_PIECES = [
    b'"', b"'", b",", b"|", b"\t", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf",
    b"[", b"]", b"{", b"}", b":", b"null", b"NaN", b"-1", b"9" * 400, b"1e999",
    b"\\ud83d", b"\xed\xa0\xbd", b"../", b"..\\", b"./", b"\x1b[2J", b"#0\t",
    b'"split": ["train"],', b'"captions": {},', b'"box": [1, 2],', b'"id": [],',
    b"[" * 5000, b'{"a":' * 5000, b"a" * 200_000, "\u2028\u00e4\u9ce5".encode(),
    b"train", b"file_name", b"captions", b"images", b"annotations", b".jpg",
]  # fmt: skip
# Small sets, so that many inputs take little time; the lists are what is damaged.
SEEDS = {
    name: {
        member: data if not member.endswith(".jpg") else b"picture"
        for member, data in contents.items()
    }
    for name, (contents, *_) in forms.FORMS.items()
}


def mutated(data, rng):
    """Some bytes changed, cut, repeated, moved, or replaced by what stings."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice([0, 1, 2, 8, 40, 300]))
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end] * rng.choice([1, 2, 50])
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at:end] = rng.choice(_PIECES)
        else:
            data[at:at] = rng.choice(_PIECES)
    return bytes(data)


class Changed:
    """A folder of one form on disk, one of whose lists is damaged at a time."""

    def __init__(self, root, name):
        self.root, self.contents = forms.write(root / name, SEEDS[name]), SEEDS[name]
        self.lists = [n for n in self.contents if not n.endswith(".jpg")]

    def read(self, rng):
        name = rng.choice(self.lists)
        path = self.root / name
        path.write_bytes(mutated(self.contents[name], rng))
        try:
            settings = data_settings.settings("", "folder", self.root)
            return folder.read(settings, 0)
        except records.DataError as error:
            return records.Found([], error.problems)
        finally:
            path.write_bytes(self.contents[name])


def test_damaged_lists_are_read_or_refused(tmp_path):
    rng, slowest, outcomes = random.Random(0), 0.0, {True: 0, False: 0}
    sets = [Changed(tmp_path, name) for name in SEEDS]
    for number in range(COUNT):
        chosen, begin = sets[number % len(sets)], time.perf_counter()
        state = rng.getstate()
        try:
            found = chosen.read(rng)
        except Exception as error:
            pytest.fail(f"input {number}, state {hash(state)}: {error!r}")
        slowest = max(slowest, time.perf_counter() - begin)
        assert found.records or found.problems, number
        outcomes[bool(found.problems)] += 1
        for sentence in [*found.problems, *found.notes]:
            assert sentence.isprintable() and len(sentence) < 1000, (number, sentence)
        for record in found.records:
            assert all(isinstance(caption, str) for caption in record.captions)
            assert record.captions and record.name in chosen.contents
    assert min(outcomes.values()) > COUNT / 20  # Both happen.
    assert slowest < 5
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{COUNT:,} inputs: {outcomes[True]:,} refused, {outcomes[False]:,} read,"
          f" slowest {slowest:.2f} s, peak {peak:.2f} GiB")  # fmt: skip
