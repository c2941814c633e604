"""Pickles of strangers: what split files hold is read, the rest is refused unread."""

import os
import pathlib
import pickle
import pickletools
import struct

import numpy as np
import pytest

from mirrorgan_jax.data.sources import pickles

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = [
    ["002.Red/Red_1", "a b", "\u00fc\u65e5", "q'\"\\", "a\nb", ""],
    [b"002.Red/Red_1", b"\x80\xff", b""],
    [0, 1, -1, 255, 256, 2**16, 2**31, -(2**31), 2**63 - 1, 2**64 - 1, -(2**63)],
    [True, False, None, 2.5, -1e300],
    (),
    ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    {"a": 1, 2: "b", b"c": [1, [2, {"d": ()}]]},
    [["<end>"] * 3, {}, []],
    list(range(3000)),
]
ARRAYS = [
    np.array(["002.Red/Red_1", "\u65e5"]),
    np.array(["a", "bc"], dtype=">U4"),
    np.array([b"a", b"bc"]),
    np.array([1, 200, -3]),
    np.arange(3, dtype=">i2"),
    np.arange(6, dtype=np.uint8)[::2],
    np.array([True, False]),
    np.array(["a", b"b", 3, None], dtype=object),
    np.array([], dtype=np.int64),
]
SCALARS = [np.int64(200), np.uint8(7), np.bool_(True), np.str_("ab"), np.bytes_(b"c")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", PLAIN)
def test_plain_values_are_read_as_pickle_reads_them(value, protocol):
    data = pickle.dumps(value, protocol)
    found = pickles.load(data, "x.pickle")
    assert repr(found) == repr(pickle.loads(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_arrays_become_lists_and_scalars_numbers(protocol):
    for array in ARRAYS:
        found = pickles.load(pickle.dumps(array, protocol), "x.pickle")
        assert found == array.tolist()
        assert list(map(type, found)) == list(map(type, array.tolist()))
    found = pickles.load(pickle.dumps([*SCALARS, *ARRAYS], protocol), "x.pickle")
    assert found[: len(SCALARS)] == [200, 7, True, "ab", b"c"]
    assert found[len(SCALARS) :] == [array.tolist() for array in ARRAYS]


def test_what_python_2_and_old_numpy_write_is_read():
    scalar = (
        b"(lp0\ncnumpy.core.multiarray\nscalar\np1\n(cnumpy\ndtype\np2\n(S'i8'\np3\nI0"
        b"\nI1\ntp4\nRp5\n(I3\nS'<'\np6\nNNNI-1\nI-1\nI0\ntp7\nbS'\\xc8\\x00\\x00\\x00"
        b"\\x00\\x00\\x00\\x00'\np8\ntp9\nRp10\nag10\naI01\naL7L\na."
    )
    assert pickles.load(scalar, "x") == [200, 200, True, 7]
    assert pickles.load(b"(lp0\nS'B\\xe4r\\'s\\n'\np1\naV\\u65e5\xe4\np2\na.", "x") == [
        "B\xe4r's\n",
        "\u65e5\xe4",
    ]
    short = b"\x80\x02]q\x01(U\x03a\xe4bq\x02T\x01\x00\x00\x00cq\x03h\x02e."
    assert pickles.load(short, "x") == ["a\xe4b", "c", "a\xe4b"]


def refused(data):
    """The one sentence that a pickle is refused with."""
    with pytest.raises(ValueError) as error:
        pickles.load(data, "train/filenames.pickle")
    message = str(error.value)
    assert message.startswith("train/filenames.pickle: ")
    assert message.isascii() and message.isprintable() and len(message) < 300
    return message


class Call:
    """Pickled, it is a call that the reader is asked to make."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_of_code_are_refused_with_name_and_offset(protocol, tmp_path):
    target = tmp_path / "made"
    message = refused(pickle.dumps([Call(os.mkdir, str(target))], protocol))
    assert "posix.mkdir is refused" in message and "byte " in message
    assert not target.exists()
    for value, name in [
        (eval, "eval"),
        (getattr, "getattr"),
        (pickle.loads, "loads"),
        (pathlib.PurePosixPath("x"), "Path"),
        (np.random.default_rng, "default_rng"),
        (np.memmap, "memmap"),
    ]:
        assert name in refused(pickle.dumps([value], protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        np.ones((2, 2), np.int64),
        np.ones(2),
        np.array(5),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.zeros(2, [("a", "i4")]),
        np.float64(1),
        [np.dtype("i8")],
        np.dtype("i8"),
        np.ndarray,
        (np.ndarray,),
        {1, 2},
        1j,
        10**30,
    ],
)
def test_other_values_than_split_files_need_are_refused(value, protocol):
    assert refused(pickle.dumps(value, protocol))


_DTYPE = b"cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR"
_STATE = b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        # A type that is told to hold pointers, and then eight bytes of ours.
        (
            b"cnumpy.core.multiarray\nscalar\n("
            + _DTYPE
            + b"(I3\nS'|'\nNNNI8\nI8\nI63\ntbS'AAAAAAAA'\ntR.",
            "flags that its name denies",
        ),
        (b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR"
         b"S'AAAAAAAA'\ntR.", "numpy.core.multiarray.scalar has arguments"),
        (_DTYPE + b"(I3\nS'<'\nN(S'a'\nt}I-1\nI-1\nI0\ntb.", "with fields"),
        (_DTYPE + b"(I3\nS'<'\nNNNI800\nI-1\nI0\ntb.", "its name denies"),
        (_DTYPE + _STATE + _STATE + b".", "BUILD of something else"),
        (_DTYPE + b"N\x85b.", "other parts"),
        (_DTYPE + b".", "a numpy.dtype is refused"),
        (b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.", "numpy.dtype 'V8' is refused"),
        (_ARRAY + b".", "without its items"),
        (_ARRAY + b"\x85.", "without its items"),
        (_ARRAY + b"(I1\n(I99999999\nt" + _DTYPE + b"I0\nS'a'\ntb.", "array of more"),
        (_ARRAY + b"(I1\n(I-1\nt" + _DTYPE + b"I0\nS''\ntb.", "-1 items"),
        (_ARRAY + b"(I1\n(I2\nI2\nt" + _DTYPE + b"I0\nS''\ntb.", "another shape"),
        (b"cnumpy._core.numeric\n_frombuffer\n(S''\ncnumpy\ndtype\n(S'U0'\nI0\nI1\ntR"
         b"(I900000\ntS'C'\ntR.", "0 bytes"),
        (b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.", "has arguments"),
        (b"cbuiltins\nbytes\n(I900000000\ntR.", "has arguments"),
        (b"I1\n(I2\ntR.", "REDUCE of something else"),
        (b"cos\x1b[2J\nsystem\n.", "os\\x1b[2J.system is refused"),
        (b"cos\n" + b"s" * 9999 + b"\n.", "is refused"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system is refused"),
        (b"\x80\x02K\x01\x97.", "NEXT_BUFFER is refused"),
        (b"\x80\x02(K\x01o.", "OBJ is refused"),
        (b"(ios\nsystem\n.", "INST is refused"),
        (b"S'a'\nP1\n.", "PERSID is refused"),
        (b"\x80\x09N.", "protocol 9"),
        (b"\xff", "opcode 0xff is refused"),
    ],
)  # fmt: skip
def test_hostile_use_of_numpys_names_is_refused(data, reason):
    assert reason in refused(data)


def _exploding(levels):
    return b"K\x00\x85q\x00" + b"".join(
        b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(levels)
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"](" * 100_000, "nested more than 20 deep"),
        (b")" + b"\x85" * 100_000 + b".", "nested more than 20 deep"),
        (b"(" * 100_000 + b"t" * 100_000 + b".", "nested more than 20 deep"),
        (b"\x80\x02" + _exploding(100) + b".", "nested more than 20 deep"),
        (b"\x80\x02}" + b"(" + _exploding(14) + b"Nu.", ") is no key"),
        (b"]q\x00h\x00a.", "contains itself"),
        (b"}q\x00K\x01h\x00s.", "contains itself"),
        (b"]q\x00\x85q\x01h\x00h\x01a0.", "changes after it was used"),
        (b"Nr\xff\xff\xff\xff.", "memo number 4294967295"),
        (b"Np-1\n.", "memo number -1"),
        (b"Np" + b"9" * 20 + b"\n.", "memo number"),
        (b"h\x05.", "memo number 5 was never set"),
        (b"\x8d" + struct.pack("<Q", 2**62) + b"a.", "4,611,686,018,427,387,904 bytes"),
        (b"\x8e" + struct.pack("<Q", 2**64 - 1) + b"a.", "are announced"),
        (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"a.", "2,147,483,647 bytes"),
        (b"\x8b" + struct.pack("<i", -1) + b"a.", "a length of -1"),
        (b"\x8a\xff" + b"\x01" * 255 + b".", "a number of 255 bytes"),
        (b"\x95" + struct.pack("<Q", 2**60) + b"N.", "a frame of"),
        (b"I" + b"9" * 100_000 + b"\n.", "no number of 1 to 20 digits"),
        (b"F" + b"z" * 100_000 + b"\n.", "is no number"),
        (b"S'a\\q'\n.", "unknown escape"),
        (b"S'a\n.", "no string in quotes"),
        (b"X\x01\x00\x00\x00\xff.", "utf-8"),
        (b"", "but empty"),
        (b"]", "ends before STOP"),
        (b"I5", "ends within a line"),
        (b"M\x01", "ends within a number"),
        (b"NN.", "STOP leaves 2 values"),
        (b"(.", "STOP leaves 0 values"),
        (b"a.", "a value is missing"),
        (b"e.", "MARK is missing"),
        (b"NNa.", "None where a list is needed"),
        (b"}(Nu.", "a key without a value"),
        (b"N.N.", "2 bytes follow STOP"),
    ],
)  # fmt: skip
def test_damaged_and_exploding_pickles_are_refused_in_a_sentence(data, reason):
    assert reason in refused(data)


def test_one_noted_string_does_not_fill_the_memory():
    data = b"S'" + b"a" * 10**6 + b"'\np0\n" + b"c_codecs\nencode\n(g0\nS'latin1'\ntR"
    assert "more than 67,108,864 bytes" in refused(
        b"(" + data + b"c_codecs\nencode\n(g0\nS'latin1'\ntR" * 100 + b"l."
    )
    assert "larger than a pickle may be, 64 MiB" in refused(bytes(2**26 + 1))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_changed_line_ends_are_said(protocol):
    whole = pickle.dumps(
        [[f"002.Red/Red_{i}" for i in range(20)], list(range(20))], protocol
    )
    assert pickles.load(whole, "x") == pickle.loads(whole)
    changed = whole.replace(b"\n", b"\r\n")
    assert changed != whole
    message = refused(changed)
    assert "line ends were changed to CRLF" in message and "as binary" in message


def test_names_do_not_end_in_half_a_line_end():
    assert "CRLF" in refused(pickle.dumps("002.Red/Red_1", 0).replace(b"\n", b"\r\n"))
    assert "CRLF" in refused(b"(lp0\nVRed_1\r\np1\naVRed_2\np2\na.")


def test_what_is_not_noted_may_be_forgotten():
    # Without memo, lists are freed while others, at their address, are filled.
    value = [np.array(["a", "b"], dtype=object), ["c"], ["d"], (["e"],)]
    for protocol in PROTOCOLS:
        data = pickletools.optimize(pickle.dumps(value * 20, protocol))
        expected = [["a", "b"], ["c"], ["d"], (["e"],)]
        assert pickles.load(data, "x")[:4] == expected


def test_what_is_no_pickle_at_all_is_said():
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    assert "Git LFS" in refused(lfs)
    assert "a web page" in refused(b"<!DOCTYPE html><html>")
    as_text = pickle.dumps(["a"], 2).decode("latin1").encode("utf-8")
    assert "took it for text" in refused(as_text)


def test_all_names_of_opcodes_are_known_or_refused():
    for opcode in pickletools.opcodes:
        with pytest.raises(ValueError):
            pickles.load(opcode.code.encode("latin1") + b"\xff" * 9, "x")
