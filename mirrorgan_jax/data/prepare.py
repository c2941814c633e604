"""Preparation: records of a data set into ArrayRecord, once, all or nothing.

Every picture is checked before anything is written, so one error lists everything
that is wrong. A prepared data set is a folder that was renamed into its place as
the last act; what a killed preparation left is removed by the next one.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from mirrorgan_jax import data, progress
from mirrorgan_jax.data import captions, formats, images
from mirrorgan_jax.data.sources import records
from mirrorgan_jax.parallel import hosts

VERSION = "1.0.0"
# Pictures at the limit of size take half a GB each while they are checked.
_THREADS = 8
_CHUNK = 1024  # pictures whose checks are planned at once


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the records it is given under the name of their source."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(self, name: str, found: records.Found, ground: str, **kwargs):
        self.name, self._found, self._ground = name, found, ground
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Pictures with captions for text-to-image generation.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "captions": tfds.features.Sequence(tfds.features.Text()),
                    "class_id": np.int32,
                    "class_name": tfds.features.Text(),
                    # x, y, width, height; empty when there is no box.
                    "box": tfds.features.Sequence(np.float32),
                    "attributes": tfds.features.Sequence(np.int32),
                    "name": tfds.features.Text(),
                }
            ),
            # All but the pictures once more, to be read without reading those.
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        self.info.metadata["notes"] = list(self._found.notes)
        if self._found.vocabulary is not None:
            self.info.metadata["vocabulary"] = list(self._found.vocabulary)
        return {split: self._generate_examples(split) for split in records.SPLITS}

    def _generate_examples(self, split):
        rows = self.info.metadata.setdefault(split, [])
        found = [record for record in self._found.records if record.split == split]
        counted = progress.counted(found, len(found), f"writing {split}")
        pictures = hashlib.sha256()
        stored = _by_threads(self._stored, found, held=_THREADS)
        for number, (record, picture) in enumerate(zip(counted, stored, strict=True)):
            example = {
                "captions": list(record.captions),
                "class_id": int(record.class_id),
                "class_name": record.class_name,
                "box": [float(v) for v in record.box or ()],
                "attributes": [int(a) for a in record.attributes],
                "name": record.name,
            }
            rows.append(example)
            digest, encoded = picture
            pictures.update(digest)
            yield number, {"image": io.BytesIO(encoded), **example}
        digests = self.info.metadata.setdefault("pictures", {})
        digests[split] = pictures.hexdigest()

    def _stored(self, record):
        """Hash of a picture as it is in its file, and what is stored of it.

        What it is stored as depends on Pillow's version.
        """
        picture = record.read()
        return hashlib.sha256(picture).digest(), images.normalise(picture, self._ground)


def _by_threads(function: Callable, items: Sequence, *, held: int) -> Iterator:
    """`function` of the items in their order, with at most `held` results at once.

    Decoding and reading leave Python, so that threads use all cores, and the network.
    """
    workers = min(os.cpu_count() or 1, _THREADS)
    with futures.ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), held):
            yield from pool.map(function, items[start : start + held])


def _place(record: records.Record) -> str:
    """Where a record is listed, and its name where that does not say it."""
    where, name = record.where, record.name
    return where if where == name else f"{where}: {name}"


def _picture_problem(record: records.Record) -> str | None:
    """What is wrong with a picture or its box."""
    try:
        width, height = images.check(record.read())
    except (FileNotFoundError, KeyError):
        return f"{_place(record)}: missing"
    except OSError as error:
        return f"{_place(record)}: cannot be read: {formats.sentence(error)}"
    except Exception as error:  # A damaged zip member raises its own kinds.
        return f"{_place(record)}: {formats.sentence(error)}"
    if record.box is not None:
        problem = images.box_problem(record.box, width, height)
        if problem:
            return f"{record.box_where}: {record.name}: {problem}"
    return None


def _picture_problems(found: Sequence[records.Record]) -> Iterator[str]:
    """What is wrong with the pictures and their boxes, in the order of the records."""
    problems = _by_threads(_picture_problem, found, held=_CHUNK)
    for problem in progress.counted(problems, len(found), "checking"):
        if problem:
            yield problem


def _record_problems(found: Sequence[records.Record]) -> Iterator[str]:
    """What a source lets pass that training could not use."""
    for record in found:
        where = _place(record)
        if record.split not in records.SPLITS:
            allowed = ", ".join(records.SPLITS)
            yield f"{where}: unknown split {record.split!r}; allowed: {allowed}"
        if not record.captions:
            yield f"{where}: no caption"
        known, count = len(record.attributes), len(found[0].attributes)
        if known != count:
            yield f"{where}: {known} attributes, {count} for {found[0].name}"


def _caption_problems(found: Sequence[records.Record], rule: str) -> Iterator[str]:
    """Captions that the rule of words does not read, of any source."""
    for record in found:
        for caption in record.captions:
            problem = captions.problem(caption, rule)
            if problem:
                yield f"{_place(record)}: {problem}"


def _say(name: str, notes: Sequence[str]) -> None:
    for note in notes:
        hosts.say(f"data {name}: {note}")


def _read(settings, seed: int) -> records.Found:
    """What a source found; raises one DataError if anything is wrong."""
    source = data.source(settings.name)
    found = source.read(settings, seed)
    _say(settings.name, found.notes)  # before what is wrong, and before pictures
    problems = found.problems or [*_record_problems(found.records)]
    problems = [*problems, *_caption_problems(found.records, settings.words)]
    if source.NEEDS:
        problems = [*problems, *_picture_problems(found.records)]
    present = {record.split for record in found.records}
    if not problems:
        absent = [split for split in records.SPLITS if split not in present]
        problems = [f"no picture of split {split!r}" for split in absent]
    if problems:
        raise records.DataError(settings.source or settings.name, problems)
    return found


def _choices(settings) -> str:
    """The end of the folder's name: what preparation itself is told to do."""
    return "" if settings.ground == "white" else f"_on_{settings.ground}"


def _existing(settings, root: epath.Path) -> epath.Path:
    """The one prepared data set of this name, for when the raw data is not given."""
    name, end = settings.name, _choices(settings)
    found = [
        p.parent
        for p in (root / name).glob(f"*{end}/{VERSION}/dataset_info.json")
        if end or "_on_" not in p.parent.parent.name
    ]
    if len(found) != 1:
        raise ValueError(
            f"config.data.source of {name!r} is empty and {len(found)} prepared data"
            f" sets lie under {root / name}; give the source, or a data.root that"
            " holds one"
        )
    return found[0]


def prepare(settings: ml_collections.ConfigDict, *, seed: int) -> epath.Path:
    """Prepares a data set unless it is there already.

    Args:
      settings: the `data` group of the configuration. Its `root` is created if
        absent; without the `source` that it needs, what is prepared is taken.
      seed: of the run, for a source that draws.

    Returns:
      The prepared folder.

    Raises:
      DataError: everything that is wrong with the raw data; nothing is written.
      ValueError: the data set is unknown, or neither given nor prepared; or its root
        is an address.
    """
    source = data.source(settings.name)
    images.hide_accelerators()
    root = data.root(settings)
    if source.NEEDS and not settings.source:
        return _existing(settings, root)
    folder = source.fingerprint(settings, seed) + _choices(settings)
    target = root / settings.name / folder / VERSION
    if not (target / "dataset_info.json").exists():
        with _alone(root, settings.name), _silent_pillow():
            # Another process may have prepared it while this one waited.
            if not (target / "dataset_info.json").exists():
                _write(settings, seed, root, target)
                return target
    _say(settings.name, _notes(target))
    return target


def _notes(target: epath.Path) -> list[str]:
    """What was said when this data set was prepared."""
    return json.loads((target / "metadata.json").read_text()).get("notes", [])


def _write(settings, seed: int, root: epath.Path, target: epath.Path) -> None:
    found = _read(settings, seed)
    if target.parent.exists():
        for left in target.parent.iterdir():  # by a killed preparation
            left.rmtree() if left.is_dir() else left.unlink()
    downloads = target.parent / "downloads"
    try:
        with _quiet():
            _Builder(
                settings.name,
                found,
                settings.ground,
                data_dir=root,
                config=tfds.core.BuilderConfig(name=target.parent.name),
            ).download_and_prepare(download_dir=downloads)
        if downloads.exists():
            downloads.rmtree()  # Nothing is downloaded; TFDS makes it all the same.
    except BaseException:
        if target.parent.exists():
            target.parent.rmtree()
        raise


@contextlib.contextmanager
def _silent_pillow():
    """Pillow warns of what is harmless, or refused in a sentence of ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextlib.contextmanager
def _quiet():
    """Silences what TFDS says about downloads; our bars go to stderr."""
    tfds.disable_progress_bar()
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _alone(root: epath.Path, name: str):
    """Lets one process of this machine at a time prepare under `root`.

    The lock is on the folder itself, so it leaves no file and dies with its process.
    Folders of ours that are empty afterwards are removed.
    """
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    handle = os.open(os.fspath(root), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # Some network file systems refuse.
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        for path in [root / name] + [root] * created:
            with contextlib.suppress(OSError):
                os.rmdir(path)  # Only an empty folder goes.
        os.close(handle)
