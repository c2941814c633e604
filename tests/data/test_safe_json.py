"""JSON from strangers: read as it is meant, or refused with its place."""

import json
import time

import pytest

from mirrorgan_jax.data.sources import records, safe_json

BACKSLASH = chr(92)
HALF = BACKSLASH + "ud83d"
PAIR = HALF + BACKSLASH + "ude00"


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2.5, 1e300, True, None], "": {"a": "b"}},
        [[]] * 3,
        "ein Vögelchen \U0001f600",
        [{"key": i} for i in range(50)],
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_read_as_python_reads_it(value, ascii_only):
    data = json.dumps(value, ensure_ascii=ascii_only)
    assert safe_json.loads(data.encode(), "f") == value
    assert safe_json.loads(data, "f") == value


def test_escapes_are_no_halves_where_a_pair_or_a_backslash_stands():
    assert safe_json.loads(f'["{PAIR}"]', "f") == ["\U0001f600"]
    assert safe_json.loads(f'["{BACKSLASH}{HALF}"]', "f") == [HALF]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "f:7: column 1: broken JSON: expecting value"),
        (b'{"a": 1', "f:7: column 8: broken JSON"),
        (b'{"a": 1}\n}', "f:7: line 2, column 1: broken JSON: extra data"),
        (b'["\x01"]', "f:7: column 3: broken JSON: invalid control character"),
        (b"[" * 100_000, "f:7: column 33: nested deeper than 32 levels"),
        (b"[" * 33 + b"]" * 33, "f:7: column 33: nested deeper than 32 levels"),
        (b'{"a":' * 100_000, "f:7: column 161: nested deeper than 32 levels"),
        (b"[1, " + b"9" * 400 + b"]", "f:7: column 5: a number of 400 characters"),
        (b"[0." + b"3" * 400 + b"]", "f:7: column 2: a number of 402 characters"),
        (b"[-1e999]", "f:7: column 2: the number '-1e999' is too large"),
        (b'["NaN", NaN]', "f:7: column 9: NaN is no number of JSON"),
        (b"[-Infinity]", "f:7: column 2: -Infinity is no number of JSON"),
        (b'{"a": 1,\n "\\u0061": 2}', "f:7: line 2, column 2: the key 'a' stands"),
        (b'[{"x": {"a": 1}, "a": 2, "x": 3}]', "f:7: column 26: the key 'x' stands"),
        (f'["ok {HALF}"]', f"f:7: column 6: {HALF} is half of a surrogate pair"),
        (f'["{HALF}{PAIR}"]', f"f:7: column 3: {HALF} is half of a surrogate pair"),
        ('["\ud83d"]', "f:7: byte 3: not UTF-8 (0xed)"),
        (b'[1,\n"\xff"]', "f:7: line 2, byte 2: not UTF-8 (0xff)"),
        (b"\xef\xbb\xbf[]", "f:7: column 1: a byte order mark; save the file"),
        ("[]".encode("utf-16"), "f:7: UTF-16; save the file as UTF-8"),
        (b"[" + b"[]," * 4_000_000, "f:7: more than 8,000,000 values"),
    ],
)
def test_what_is_no_json_or_too_much_is_refused_with_its_place(data, sentence):
    with pytest.raises(ValueError) as error:
        safe_json.loads(data, "f:7")
    assert str(error.value).startswith(sentence)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).isascii()


def test_depth_and_numbers_up_to_their_limits_are_read():
    assert safe_json.loads(b"[" * 32 + b"]" * 32, "f")
    assert safe_json.loads(b"9" * 100, "f") == int("9" * 100)


def test_size_is_limited():
    assert safe_json.loads(b"[1]", "f", limit=3) == [1]
    with pytest.raises(ValueError, match="f: 3 bytes; allowed are 2"):
        safe_json.loads(b"[1]", "f", limit=2)


@pytest.mark.parametrize(
    "data",
    [
        b'[NaN, "' + b'\\"' * 500_000,
        b'["' + b'\\"' * 500_000,
        b'[NaN, "' + b"\\\\" * 500_000 + b'"',
        b'["' + HALF.encode() * 200_000 + b'"]',
        b"[" + b"1" * 1_000_000 + b"]",
    ],
)
def test_faults_of_long_texts_are_found_in_one_pass(data):
    start = time.process_time()
    with pytest.raises(ValueError):
        safe_json.loads(data, "f")
    assert time.process_time() - start < 2


def test_values_are_shown_short_and_printable():
    assert records.shown("\x1b[2Jé") == r"'\x1b[2Jé'"
    assert records.shown(["a" * 1000]).startswith("['aaa")
    assert len(records.shown(["a" * 1000])) < 70
