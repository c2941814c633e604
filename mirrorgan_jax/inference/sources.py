"""Where models come from: the package, a folder, a zip, a bucket, the hub."""

import importlib.resources
import re
import zipfile
from typing import Any, NamedTuple

from etils import epath

# Models that travel in the package, under `mirrorgan_jax/pretrained/NAME`.
SHIPPED = ("toybirds",)
# Of a JSON file or a card; weights are as large as the model's own list says.
LARGEST_TEXT = 16 * 2**20
_HUB = re.compile(r"(hf://)?([A-Za-z0-9][\w.-]*/[\w.-]+)")


class Files(NamedTuple):
    """Files of one model, read whole.

    Attributes:
      name: what messages call it.
      read: `read(name, most) -> bytes`, at most one more than `most`.
    """

    name: str
    read: Any


def shipped(name):
    """The folder of a model that travels in the package, of `SHIPPED`."""
    return importlib.resources.files("mirrorgan_jax") / "pretrained" / name


def _folder(path, name=None):
    path = epath.Path(path)

    def read(file, most):
        try:
            with (path / file).open("rb") as opened:
                return opened.read(most + 1)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} has no {file}") from None

    return Files(str(name or path), read)


def _zip(path):
    """A zip whose model lies at its top or in its one folder."""
    path = epath.Path(path)
    try:
        with path.open("rb") as opened:
            names = zipfile.ZipFile(opened).namelist()
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no whole zip ({error})") from None
    found = [n for n in names if n.split("/")[-1] == "config.json"]
    found = [n for n in found if n.count("/") <= 1 and not n.startswith("__MACOSX")]
    if len(found) != 1:
        raise ValueError(
            f"{path} holds {len(found)} models: one config.json is wanted, at its top"
            " or in its one folder"
        )
    top = found[0].removesuffix("config.json")

    def read(file, most):
        # What an archive says of sizes is not believed: reading stops where it must.
        with path.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            try:
                with archive.open(top + file) as member:
                    return member.read(most + 1)
            except KeyError:
                raise FileNotFoundError(f"{path} has no {top}{file}") from None
            except (zipfile.BadZipFile, RuntimeError) as error:
                raise ValueError(f"{path}: {top}{file} is damaged ({error})") from None

    return Files(str(path), read)


def opened(source, *, revision=None):
    """`Files` of a model.

    Args:
      source: the name of a shipped model (`SHIPPED`), a folder or a `.zip`, local or on
        a bucket, or OWNER/NAME of the Hugging Face hub, which `hf://OWNER/NAME` says
        where a folder has that name.
      revision: of the hub: a branch, a tag or a commit.

    Raises:
      FileNotFoundError: nothing of that name is there.
      ValueError: an archive is damaged, or a revision is given for something else.
      ModuleNotFoundError: the hub needs `huggingface_hub`.
    """
    source = str(source)
    path = epath.Path(source).expanduser()
    named = _HUB.fullmatch(source)
    local = not source.startswith("hf://") and path.exists()
    if named and not local and source not in SHIPPED:
        from mirrorgan_jax.inference import hub

        return Files(source, hub.reader(named[2], revision))
    if revision is not None:
        raise ValueError(f"revision = {revision!r}: {source} is not of the hub")
    if source in SHIPPED and not local:
        return _folder(shipped(source), name=source)
    if not path.exists():
        raise FileNotFoundError(
            f"no model {source!r}: there is no such folder or zip; shipped are"
            f" {', '.join(SHIPPED)}, of the Hugging Face hub models are OWNER/NAME"
        )
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".zip" or zipfile.is_zipfile(path):
        return _zip(path)
    raise ValueError(f"{source} is neither a model's folder nor a zip")
