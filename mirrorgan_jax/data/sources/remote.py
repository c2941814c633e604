"""Files on a storage that etils.epath reads by address, such as gs://bucket/raw."""

import contextlib
import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent import futures
from typing import IO, NamedTuple

from etils import epath

from mirrorgan_jax.data.sources import archives, digests, records

# Requests under way at once: each waits for the network, not for a core.
THREADS = 32
_CHUNK = 2**20
# Times of change are in whole seconds and by another clock than ours: of what has
# changed this lately (seconds), a later change could have the same time.
_SETTLED = 60
# Codes of TensorFlow's errors, which are no OSErrors.
_NOT_FOUND, _DENIED = 5, (7, 16)


class File(NamedTuple):
    """A file as its storage lists it.

    Attributes:
      path: its address.
      size: in bytes.
      changed: when, in whole seconds; 0: the storage does not say.
    """

    path: epath.Path
    size: int
    changed: int


def is_remote(source: str | os.PathLike) -> bool:
    """Whether it is an address, "gs://...", and no path of this machine."""
    return "://" in os.fspath(source)


def located(source: str | os.PathLike) -> epath.Path:
    """The path of an address.

    Raises:
      ValueError: its storage is not known.
    """
    try:
        return epath.Path(source)
    except KeyError:
        raise ValueError(
            "no known kind of address: give a folder or an archive of this machine, or"
            " of a bucket (gs://bucket/raw)"
        ) from None


@contextlib.contextmanager
def _as_os_errors():
    """OSErrors for what a storage's own library raises."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # Each library has its own kinds.
        code = getattr(error, "error_code", None)
        if code == _NOT_FOUND:
            raise FileNotFoundError("missing") from None
        text = " ".join(str(error).split()) or type(error).__name__
        what = "no permission" if code in _DENIED else "cannot be reached"
        raise OSError(f"{what}: {text}") from None


def is_folder(path: epath.Path) -> bool:
    """Whether it is a folder; else it is a file.

    Raises:
      FileNotFoundError: it is not there.
      OSError: it cannot be reached; says why.
    """
    with _as_os_errors():
        return path.stat().is_directory


def _children(folder):
    with _as_os_errors():
        # Some storages list the folder itself, an object of no bytes.
        return sorted(path for path in folder.iterdir() if path != folder)


def _state(path):
    with _as_os_errors():
        return path.stat()


def listed(root: epath.Path) -> dict[str, File]:
    """The files of a folder and of all folders in it, by their names relative to it.

    Raises:
      OSError: it cannot be read.
      ValueError: a name leads out of the folder.
    """
    found, folders = {}, [("", root)]
    with futures.ThreadPoolExecutor(THREADS) as pool:
        while folders:
            children = pool.map(_children, [folder for _, folder in folders])
            entries = {
                f"{start}{path.name}": path
                for (start, _), paths in zip(folders, children, strict=True)
                for path in paths
                if archives.wanted(path.name)
            }
            for name in filter(records.unsafe_path, entries):
                shown = records.printable(name)
                raise ValueError(f"{shown!r} leads out of the folder")
            folders = []
            states = pool.map(_state, entries.values())
            for (name, path), state in zip(entries.items(), states, strict=True):
                if state.is_directory:
                    folders.append((f"{name}/", path))
                else:
                    found[name] = File(path, state.length, state.mtime)
    return found


def read(file: File, size: int) -> bytes:
    """The first bytes of a file, at most `size`.

    Raises:
      OSError: it cannot be read, or has another size than it was listed with.
    """
    with _as_os_errors(), file.path.open("rb") as opened:
        data = opened.read(min(size, file.size + 1))
    if len(data) != min(size, file.size):
        raise OSError("it was changed while it was read")
    return data


def _chunks(path) -> Iterator[bytes]:
    with _as_os_errors(), path.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk


def _hash(path):
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def item(file: File) -> digests.Item:
    """What is to be hashed of a file: remembered once its time of change is settled."""
    settled = 0 < file.changed < time.time() - _SETTLED
    state = [file.size, file.changed] if settled else None
    return digests.Item(
        os.fspath(file.path), state, functools.partial(_hash, file.path)
    )


def copied(path: epath.Path) -> tuple[IO[bytes], str]:
    """A file without a name on this machine with the bytes of another, and their hash.

    Returns:
      The open file, at its beginning, and the SHA-256 of its bytes in hex.

    Raises:
      OSError: it cannot be read, or there is no place for it.
    """
    with contextlib.ExitStack() as opened:
        copy = opened.enter_context(tempfile.TemporaryFile())
        digest = hashlib.sha256()
        for chunk in _chunks(path):
            digest.update(chunk)
            copy.write(chunk)
        copy.seek(0)
        opened.pop_all()
        return copy, digest.hexdigest()
