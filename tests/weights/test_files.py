"""Files of weights: every format gives the arrays, everything else is a sentence."""

import hashlib
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from safetensors import numpy as safetensors
from support import torch_file
from support.torch_file import Raw

from mirrorgan_jax.weights import files

KINDS = ("zip", "legacy", "old")
TENSORS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a.bias": np.array([1e-30, -2.5], np.float32),
    "half": np.array([[0.5, 1.5]], np.float16),
    "double": np.array([1.25]),
    "bn.num_batches_tracked": np.array(7),
    "none": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
}


def read(tmp_path, data, name="x.pth"):
    path = tmp_path / name
    path.write_bytes(data)
    return files.read(path)


def refusal(tmp_path, data, name="x.pth"):
    with pytest.raises(ValueError) as error:
        read(tmp_path, data, name)
    said = str(error.value)
    assert said.startswith(f"{tmp_path / name}: ") and "\n" not in said
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_of_torch_gives_the_arrays(tmp_path, kind):
    data = torch_file.saved(TENSORS, kind)
    found = read(tmp_path, data)
    assert found.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        got = found.tensors[name]
        assert got.dtype == (np.float32 if value.dtype.kind == "f" else value.dtype)
        np.testing.assert_array_equal(got, value)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.notes == ("numbers of 64 bits were rounded to 32",)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    exact = np.array([1.5, -(2.0**100), 3.0], np.float32)
    zipped = torch_file.saved({"a": torch_file.BFloat16(exact)})
    header = b'{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}'
    plain = len(header).to_bytes(8, "little") + header
    plain += torch_file.BFloat16(exact).array.tobytes()
    for data in (zipped, plain):
        (found,) = read(tmp_path, data).tensors.values()
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, exact)


def test_safetensors_are_known_by_their_content(tmp_path):
    for dtype in (np.float16, np.float32, np.float64):
        data = safetensors.save({"a": np.arange(6, dtype=dtype).reshape(2, 3)})
        found = read(tmp_path, data, "x.bin").tensors["a"]
        np.testing.assert_array_equal(found, np.arange(6).reshape(2, 3))
        assert found.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_around_a_state_dict_is_taken_off_and_said(tmp_path, kind):
    inner = {"module.w": TENSORS["a.bias"]}
    value = {"epoch": 3, "state_dict": inner, "best": 0.5, "optimizer": {"lr": 0.1}}
    found = read(tmp_path, torch_file.saved(value, kind))
    assert list(found.tensors) == ["w"]
    assert found.notes == (
        "taken from its entry 'state_dict'", "names without the module. of DataParallel"
    )  # fmt: skip
    beside = read(tmp_path, torch_file.saved({"w": TENSORS["half"], "epoch": 3}, kind))
    assert beside.notes == ("no tensors, left out: 'epoch'",)


def tensor(shape=(2, 3), strides=(3, 1), offset=0, *, count=6, word="Float", more=b""):
    """Opcodes of one tensor by its parts."""
    parts = torch_file.storage(word, "0", count) + torch_file.plain(offset)
    parts += torch_file.plain(shape) + torch_file.plain(strides) + more
    return Raw(
        torch_file.name("torch._utils", "_rebuild_tensor") + b"(" + parts + b"tR"
    )


def held(opcodes):
    """A zip with a dictionary of one value, and a storage of six floats."""
    whole = b"}(" + torch_file.plain("a") + opcodes + b"u"
    data = np.arange(6, dtype="<f4").tobytes()
    return torch_file.zipped(whole, {"0": (6, data)})


def test_views_and_parameters_of_every_version(tmp_path):
    values = np.arange(6, dtype=np.float32)
    transposed = read(tmp_path, held(tensor((3, 2), (1, 3)))).tensors["a"]
    np.testing.assert_array_equal(transposed, values.reshape(2, 3).T)
    part = read(tmp_path, held(tensor((2,), (2,), 1))).tensors["a"]
    np.testing.assert_array_equal(part, [1, 3])
    name = torch_file.name("torch._utils", "_rebuild_parameter")
    wrapped = name + b"(" + tensor() + b"\x88}tR"
    np.testing.assert_array_equal(
        read(tmp_path, held(wrapped)).tensors["a"], values.reshape(2, 3)
    )
    # PyTorch 0.1: an object is made, then its state follows.
    parts = torch_file.storage("Float", "0", 6)
    parts += torch_file.plain(0) + torch_file.plain((2, 3)) + torch_file.plain((3, 1))
    old = torch_file.name("torch", "FloatTensor") + b")\x81(" + parts + b"tb"
    kind = torch_file.name("torch.nn.parameter", "Parameter")
    for opcodes in (
        old,
        kind + b"(" + old + b"t\x81",
        kind + b")\x81(" + old + b"NN\x88Ntb",
        kind + b"(" + old + b"t\x81\x88}\x86b",
    ):
        np.testing.assert_array_equal(
            read(tmp_path, held(opcodes)).tensors["a"], values.reshape(2, 3)
        )


def test_storage_that_is_cut_out_of_another(tmp_path):
    parts = torch_file.storage("Float", "0", 6, (("1", 2, 3),)) + torch_file.plain(1)
    parts += torch_file.plain((2,)) + torch_file.plain((1,))
    name = torch_file.name("torch._utils", "_rebuild_tensor")
    opcodes = b"}(" + torch_file.plain("a") + name + b"(" + parts + b"tRu"
    data = np.arange(6, dtype="<f4").tobytes()
    found = read(tmp_path, torch_file.in_a_row(opcodes, {"0": (6, data)}))
    np.testing.assert_array_equal(found.tensors["a"], [3, 4])


@pytest.mark.parametrize(
    ("opcodes", "said"),
    [
        (tensor((2, 4), (4, 1)), "shape (2, 4) does not lie in its storage of 6"),
        (tensor((2, 3), (3, 1), 1), "does not lie in its storage"),
        (tensor((7,), (0,)), "does not lie in its storage"),
        (tensor((2, 3), (2**39, 1)), "does not lie in its storage"),
        (tensor((2, 3), (-3, 1)), "parts that PyTorch does not write"),
        (tensor((2, 3), (3,)), "parts that PyTorch does not write"),
        (tensor((1,) * 9, (1,) * 9), "parts that PyTorch does not write"),
        (tensor(offset=True), "parts that PyTorch does not write"),
        (tensor(count=7), "should have 7 values of 4 bytes, but 24 bytes are there"),
        (tensor(word="Double"), "6 values of 8 bytes, but 24 bytes are there"),
        (tensor(word="ComplexFloat"), "torch.ComplexFloatStorage is refused"),
        (Raw(torch_file.storage("Float", "0", 6)), "a storage without a tensor"),
        (
            Raw(torch_file.name("torch", "FloatTensor") + b")\x81"),
            "a tensor without its values",
        ),
        (
            torch_file.call("torch._utils", "_rebuild_tensor", 1, 2, 3, 4),
            "parts that PyTorch does not write",
        ),
    ],
)
def test_tensors_that_are_none_are_refused(tmp_path, opcodes, said):
    assert said in refusal(tmp_path, held(opcodes))


def test_numbers_that_are_not_finite_are_named(tmp_path):
    data = torch_file.saved({"a.weight": np.array([1, np.nan], "f4")})
    assert "a.weight holds numbers that are not finite" in refusal(tmp_path, data)


HOSTILE = {
    "os.system": torch_file.call("os", "system", "touch pwned"),
    "posix.system": torch_file.call("posix", "system", "touch pwned"),
    "builtins.eval": torch_file.call("builtins", "eval", "1"),
    "__builtin__.eval": torch_file.call("__builtin__", "eval", "1"),
    "builtins.getattr": torch_file.call("builtins", "getattr", "a", "b"),
    "subprocess.Popen": torch_file.call("subprocess", "Popen", "ls"),
    "torch.storage._load_from_bytes": torch_file.call(
        "torch.storage", "_load_from_bytes", "x"
    ),
    "torch.load": torch_file.call("torch", "load", "x"),
    "torch.nn.modules.linear.Linear": torch_file.name(
        "torch.nn.modules.linear", "Linear"
    ),
    "numpy.core.multiarray._reconstruct": torch_file.name(
        "numpy.core.multiarray", "_reconstruct"
    ),
    "argparse.Namespace": torch_file.name("argparse", "Namespace"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("pack", [torch_file.zipped, torch_file.in_a_row])
def test_nothing_of_a_pickle_is_called(tmp_path, monkeypatch, name, pack):
    monkeypatch.chdir(tmp_path)
    for opcodes in (HOSTILE[name], b"}(X\x01\0\0\0a" + HOSTILE[name] + b"u"):
        said = refusal(tmp_path, pack(bytes(opcodes)))
        assert f"{name} is refused; only tensors in dictionaries are read" in said
    assert os.listdir() == ["x.pth"]


def test_a_whole_network_is_refused(tmp_path):
    name = torch_file.name("torch.nn.modules.linear", "Linear")
    parts = torch_file.plain("module") + name + torch_file.plain("a.py") + b"N"
    said = refusal(tmp_path, torch_file.zipped(b"(" + parts + b"tQ"))
    assert "Linear is refused" in said
    parts = torch_file.plain("module") + torch_file.plain("a.py") + b"N"
    assert "whole network" in refusal(tmp_path, torch_file.zipped(b"(" + parts + b"tQ"))


def plain_zip(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


GOOD = torch_file.saved(TENSORS)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
TAR = bytes(257) + b"ustar" + bytes(250)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no weights, but empty"),
        (LFS, "a pointer of Git LFS: `git lfs pull`"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras"),
        (pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
        (TAR, "a tar, as PyTorch 0.1 wrote"),
        (b"no weights at all", "something else or cut off"),
        (GOOD[:-30], "a zip that is cut off or damaged"),
        (GOOD[:200], "a zip that is cut off or damaged"),
        (plain_zip(a=b"1"), "a zip, but not of torch.save"),
        (plain_zip(**{"a/b": b"1"}), "it has no data.pkl"),
        (plain_zip(**{"a/data.pkl": b"", "a/constants.pkl": b""}), "TorchScript"),
        (torch_file.zipped(b"}", compress=True), "compressed or encrypted"),
        (torch_file.zipped(b"}", more={"archive/../x": b""}), "names that are strange"),
        (torch_file.zipped(b"}", more={"/etc/x": b""}), "names that are strange"),
        (torch_file.zipped(b"}", more={"b/x": b""}), "not in one folder"),
        (torch_file.zipped(b"}"), "a dictionary of nothing"),
        (torch_file.zipped(tensor(), {"0": (6, bytes(24))}), "but ndarray"),
        (torch_file.zipped(b"]"), "no tensors by name, but list"),
        (held(tensor()).replace(b"little", b"bigger"), "is damaged"),
        (torch_file.in_a_row(b"}", little=False), "big-endian"),
        (torch_file.saved(TENSORS, "legacy")[:-3], "cut off: "),
        (torch_file.saved(TENSORS, "legacy")[:300], "the file ends"),
        (torch_file.MAGIC + b"\x80\x02K\x07.", "version 7 of PyTorch's format"),
        (safetensors.save({"a": np.zeros(4)})[:-1], "no whole .safetensors file"),
    ],
)
def test_what_is_no_file_of_weights_is_said(tmp_path, data, said):
    assert said in refusal(tmp_path, data)


def test_folders_and_absent_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pth does not exist"):
        files.read(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="a folder; give the file"):
        files.read(tmp_path)


def test_a_few_bytes_do_not_become_many(tmp_path):
    """Thousands of tensors over one storage."""
    count = 2**16
    one = b"(" + torch_file.storage("Float", "0", count) + torch_file.plain(0)
    one += torch_file.plain((count,)) + torch_file.plain((1,)) + b"tR"
    name = torch_file.name("torch._utils", "_rebuild_tensor")
    parts = b"".join(torch_file.plain(str(i)) + name + one for i in range(100))
    data = torch_file.zipped(b"}(" + parts + b"u", {"0": (count, bytes(4 * count))})
    assert "share their bytes too many times over" in refusal(tmp_path, data)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_give_a_sentence_or_arrays(tmp_path, kind):
    whole = bytearray(torch_file.saved({"a": TENSORS["a.bias"]}, kind))
    rng = np.random.default_rng(0)
    for _ in range(400):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(0, 256)
        try:
            read(tmp_path, bytes(data))
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path}")
