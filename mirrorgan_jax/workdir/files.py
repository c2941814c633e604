"""Whole-file writes on any storage etils.epath knows: a file is there or not."""

from etils import epath


def can_append(path):
    """Whether the file at `path` can grow: objects on a bucket cannot."""
    return "://" not in str(path)


def write_bytes(path, data):
    """Writes a file so that a reader, or a kill, never sees a part of it.

    Args:
      path: where; the folder is made when absent. May be `gs://...`.
      data: bytes.
    """
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not can_append(path):
        # An object on a bucket appears whole once its upload has ended.
        path.write_bytes(data)
        return
    # One fixed name: a killed write leaves one file, which the next one replaces.
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def write_together(folder, contents):
    """Writes files of a folder that belong together, the last one last.

    All of them are on disk before the first takes its place, so that a full disk or a
    kill meanwhile leaves what was there.

    Args:
      folder: where; made when absent. May be `gs://...`, where each appears by itself.
      contents: {name: bytes}.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not can_append(folder):
        for name, data in contents.items():
            write_bytes(folder / name, data)
        return
    unfinished = {name: folder / f".{name}.unfinished" for name in contents}
    for name, data in contents.items():
        unfinished[name].write_bytes(data)
    for name, path in unfinished.items():
        path.replace(folder / name)


def write_text(path, text):
    """Writes UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))
