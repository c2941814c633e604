"""The files of a raw data set: a folder, a zip or a tar, read alike and with care.

What people download comes from strangers: nothing is unpacked onto the disk, a name
that leaves the data set is refused, and everything that is read has a limit.
"""

import abc
import contextlib
import functools
import hashlib
import os
import pathlib
import stat
import tarfile
import unicodedata
import weakref
import zipfile
from collections.abc import Iterable

from etils import epath

from mirrorgan_jax.data.sources import archives, digests, records, remote

LIMIT = 256 * 2**20  # bytes of one file, unless a reader knows better


def open_source(source: str | os.PathLike) -> "Files":
    """The files of a folder, a .zip or a .tar (.gz, .tgz, .bz2, .xz).

    Args:
      source: a path, or an address such as gs://bucket/raw. A remote archive is copied
        into a file without a name, which goes with the `Files`.

    Raises:
      records.DataError: it is none of these, damaged, cannot be reached, or holds what
        no data set needs (links that lead out of it, members of one name, names with
        "..").
    """
    try:
        return _remote(source) if remote.is_remote(source) else _local(source)
    except FileNotFoundError:
        reason = "missing"
    except (ValueError, OSError, *archives.DAMAGED) as error:
        reason = str(error)
    raise records.DataError(source, [f"{records.printable(source)}: {reason}"])


def _local(source):
    path = pathlib.Path(source).expanduser()
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return _Folder(path)
    if not stat.S_ISREG(mode):
        raise ValueError("neither a file nor a folder")
    return _archive(path, path.open("rb"))


def _remote(source):
    path = remote.located(source)
    if remote.is_folder(path):
        return _Remote(path)
    return _archive(path, *remote.copied(path))


def _archive(path, file, digest=None):
    """The files of an archive, which is open and closed with them."""
    with contextlib.ExitStack() as opened:
        opened.enter_context(file)
        for is_kind, kind in (zipfile.is_zipfile, _Zip), (archives.is_tar, _Tar):
            if is_kind(file):
                found = kind(path, file, digest)
                opened.pop_all()
                return found
        file.seek(0)
        raise ValueError(f"neither folder nor zip nor tar{kind_of(file.read(512))}")


def kind_of(begin: bytes) -> str:
    """ ", but ..." where the first bytes of a file say what it is instead."""
    head = begin.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        return ", but a pointer of Git LFS: `git lfs pull` fetches the file itself"
    if head.startswith((b"<!doctype html", b"<html")):
        return ", but a web page: the download asked for something"
    if not begin:
        return ", but empty"
    return ""


def evened(name):
    """A name without what the same file is often spelt differently by."""
    parts = unicodedata.normalize("NFC", name.replace("\\", "/")).split("/")
    *folders, last = [part for part in parts if part not in ("", ".")] or [""]
    stem, dot, ending = last.rpartition(".")
    return "/".join([*folders, f"{stem}{dot}{ending.lower()}"])


class Files(abc.ABC):
    """The regular files of a data set by their names relative to it.

    Attributes:
      where: what the source is called in messages.
      names: POSIX names, sorted; what operating systems leave behind is left out, and
        the one folder around everything in an archive.
    """

    def __init__(self, path: pathlib.Path | epath.Path, members: dict[str, object]):
        self.where = records.printable(path)
        self._path = path
        self._members = members
        self.names = tuple(sorted(members))

    def read(self, name: str, limit: int = LIMIT) -> bytes:
        """Contents of a file.

        Raises:
          KeyError: there is none of this very name.
          OSError: it cannot be read.
          ValueError: it is larger than `limit` bytes, encrypted or damaged.
        """
        try:
            data = self._read(self._members[name], limit + 1)
        except (RuntimeError, *archives.DAMAGED) as error:
            reason = str(error).partition("\n")[0]
            if "password" in reason:
                reason = "encrypted: a data set has no password"
            raise ValueError(f"cannot be unpacked: {reason}") from None
        if len(data) > limit:
            raise ValueError(f"larger than {limit / 2**20:,.0f} MiB")
        return data

    def find(self, name: str) -> str | None:
        """The file that a listed name means, or None.

        The very name, or the one file that it is apart from "./", backslashes, the
        letter case of the ending and the composition of accents.

        Raises:
          ValueError: it could be one of several.
        """
        if name in self._members:
            return name
        found = self._by_evened_name.get(evened(name), ())
        if len(found) > 1:
            listed = " or ".join(map(records.printable, found[:3]))
            raise ValueError(f"{records.printable(name)} could be {listed}")
        return found[0] if found else None

    @functools.cached_property
    def _by_evened_name(self):
        found = {}
        for name in self.names:
            found.setdefault(evened(name), []).append(name)
        return found

    def digest(
        self,
        names: Iterable[str] | None = None,
        *,
        remembered: str | os.PathLike | None = digests.FOLDER,
    ) -> str:
        """Hash of names and contents: another one where a single byte differs.

        Args:
          names: files that count; None: all.
          remembered: folder of notes that spare reading what has the size and the time
            of change that it had; None: everything is read.
        """
        counted = self.names if names is None else sorted(names)
        own = self._path if remote.is_remote(self._path) else self._path.absolute()
        with digests.Remembered(remembered, os.fspath(own)) as memory:
            parts = self._digests(counted, memory)
        total = hashlib.sha256()
        for name, part in parts:
            total.update(f"{name} {part}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    def outside(self, name: str) -> os.PathLike | None:
        """Where a file lies by itself; None: only within an archive."""
        return None

    @abc.abstractmethod
    def _read(self, member: object, size: int) -> bytes:
        """The first bytes of a member, at most `size`."""

    @abc.abstractmethod
    def _digests(self, names, memory):
        """(name, hash) of the files, by what is remembered where that is true."""


class _Folder(Files):
    def __init__(self, path):
        self._root = path.resolve()
        super().__init__(path, dict(self._walk("")))

    def _walk(self, folder):
        with os.scandir(self._root / folder) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
        for entry in entries:
            name = f"{folder}{entry.name}"
            if not archives.wanted(name):
                continue
            if entry.is_symlink() and not self._inside(name):
                raise ValueError(
                    f"{records.printable(name)} is a link that leads out of the folder:"
                    " put the files themselves there"
                )
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(f"{name}/")
            elif entry.is_file():
                yield name, self._root / name

    def _inside(self, name):
        return (self._root / name).resolve().is_relative_to(self._root)

    def _read(self, member, size):
        with member.open("rb") as file:
            return file.read(size)

    def outside(self, name):
        return self._path / name

    def _digests(self, names, memory):
        items = [digests.local(self._members[name]) for name in names]
        found = memory.digests(items, os.cpu_count())
        return list(zip(names, found, strict=True))


class _Remote(Files):
    def __init__(self, path):
        super().__init__(path, remote.listed(path))

    def _read(self, member, size):
        return remote.read(member, size)

    def outside(self, name):
        return self._members[name].path

    def _digests(self, names, memory):
        items = [remote.item(self._members[name]) for name in names]
        found = memory.digests(items, remote.THREADS)
        return list(zip(names, found, strict=True))


class _Archive(Files):
    """An archive is one file to the hashes; that of a copy is known."""

    def __init__(self, path, file, digest, members):
        weakref.finalize(self, file.close)
        self._digest = digest
        archives.checked(name for name, _ in members)
        super().__init__(path, archives.without_top(members))

    def _digests(self, names, memory):
        digest = self._digest
        if digest is None:
            (digest,) = memory.digests([digests.local(self._path)], threads=1)
        return [("", digest), *((name, "") for name in names)]


class _Zip(_Archive):
    def __init__(self, path, file, digest):
        self._zip = zipfile.ZipFile(file)
        found = [(self._name(info), info) for info in self._zip.infolist()]
        found = [
            (name, info)
            for name, info in found
            if archives.wanted(name) and not name.endswith("/")
        ]
        super().__init__(path, file, digest, found)

    @staticmethod
    def _name(info):
        """The name, where its writer did not say that it is UTF-8 too."""
        name = info.filename.replace("\\", "/")
        if info.flag_bits & 0x800 or name.isascii():
            return name
        raw = name.encode("cp437")
        for encoding in ("utf-8", "gb18030"):
            with contextlib.suppress(UnicodeDecodeError):
                return raw.decode(encoding)
        return name

    def _read(self, member, size):
        if member.flag_bits & 1:
            raise ValueError("encrypted: a data set has no password")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError("a link, not a file")
        with self._zip.open(member) as file:
            return file.read(size)


class _Tar(_Archive):
    def __init__(self, path, file, digest):
        self._file = archives.plain_tar(file)
        with tarfile.open(fileobj=self._file, mode="r:") as archive:
            found = [
                (name, (member.offset_data, member.size))
                for member in archive
                if member.isreg()
                and not member.issparse()
                and archives.wanted(name := member.name.removeprefix("./"))
            ]
            # Without the empty block behind the last member, more was to come.
            if os.pread(self._file.fileno(), 512, archive.offset) != bytes(512):
                raise ValueError("the archive is cut off")
        super().__init__(path, self._file, digest, found)

    def _read(self, member, size):
        begin, length = member
        # No seek: threads share the file.
        data = os.pread(self._file.fileno(), min(length, size), begin)
        if len(data) < min(length, size):
            raise ValueError("cut off")
        return data
