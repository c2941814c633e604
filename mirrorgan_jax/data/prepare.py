"""Preparation: records of a data set into ArrayRecord, once, all or nothing.

Every picture is checked before anything is written, so one error lists everything
that is wrong. A prepared data set is a folder that was renamed into its place as
the last act; what a killed preparation left is removed by the next one.
"""

import contextlib
import fcntl
import functools
import hashlib
import io
import logging
import os
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image

from mirrorgan_jax import progress
from mirrorgan_jax.data import images
from mirrorgan_jax.data.sources import cub, folder, records
from mirrorgan_jax.data.toybirds import birds

VERSION = "1.0.0"
_READERS = {"cub": cub, "folder": folder}
NAMES = ("toybirds", *_READERS)


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the records it is given; the subclasses only name the data sets."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(self, *, splits, totals, **kwargs):
        """`splits`: {name: records}; `totals`: {name: number of them}."""
        self._splits, self._totals = splits, totals
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
        return {name: self._generate_examples(name) for name in self._splits}

    def _generate_examples(self, split):
        rows = self.info.metadata.setdefault(split, [])
        for number, record in enumerate(
            progress.counted(
                self._splits[split], self._totals[split], f"writing {split}"
            )
        ):
            example = {
                "captions": list(record.captions),
                "class_id": int(record.class_id),
                "class_name": record.class_name,
                "box": [float(v) for v in record.box or ()],
                "attributes": [int(a) for a in record.attributes],
                "name": record.name,
            }
            rows.append(example)
            picture = io.BytesIO(images.normalise(record.read()))
            yield number, {"image": picture, **example}


class Toybirds(_Builder, skip_registration=True):
    """Drawn birds."""


class Cub(_Builder, skip_registration=True):
    """CUB-200-2011 with captions."""


class Folder(_Builder, skip_registration=True):
    """The user's own pictures."""


_BUILDERS = {"toybirds": Toybirds, "cub": Cub, "folder": Folder}


def check(source, found: list[records.Record], problems: list[str]) -> None:
    """Looks at every picture and box; raises one DataError if anything is wrong.

    Args:
      source: the raw data, named in the error.
      found: the records of a reader.
      problems: what the reader complains of already.
    """
    problems = list(problems)
    for record in progress.counted(found, len(found), "checking"):
        try:
            width, height = images.check(record.read())
        except (OSError, KeyError) as error:
            missing = isinstance(error, FileNotFoundError | KeyError)
            reason = "missing" if missing else f"cannot be read: {error}"
            problems.append(f"{record.where}: {record.name}: {reason}")
            continue
        except Exception as error:  # A damaged zip member raises its own kinds.
            problems.append(f"{record.where}: {record.name}: {error}")
            continue
        if record.box is not None:
            problem = images.box_problem(record.box, width, height)
            if problem:
                problems.append(f"{record.box_where}: {record.name}: {problem}")
    for split in records.SPLITS:
        if not problems and not any(r.split == split for r in found):
            problems.append(f"no picture of split {split!r}")
    if problems:
        raise records.DataError(source, problems)


def _png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _drawn(split: str, count: int, **options) -> Iterator[records.Record]:
    names = {i: f"species_{i:03d}" for ids in birds.SPLITS.values() for i in ids}
    for i in range(count):
        bird = birds.example(split, i, **options)
        yield records.Record(
            split=split,
            name=f"{split}/{i:06d}.png",
            captions=bird["captions"],
            class_id=int(bird["class_id"]),
            class_name=names[int(bird["class_id"])],
            read=functools.partial(_png, bird["image"]),
            where=f"{split}:{i}",
            box=tuple(float(v) for v in bird["box"]),
            attributes=[int(a) for a in bird["attributes"]],
        )


def _toybirds(*, seed, image_size, train_images_per_species, test_images_per_species):
    """Configuration name and a function giving splits and totals."""
    options = {
        split: {"seed": seed, "images_per_species": number, "size": image_size}
        for split, number in (
            ("train", train_images_per_species),
            ("test", test_images_per_species),
        )
    }
    # A hash of a few drawn birds: a better drawing is another data set.
    digest = hashlib.sha256(repr(sorted(options.items())).encode())
    for i in range(3):
        bird = birds.example("train", i, **options["train"])
        digest.update(bird["image"].tobytes() + repr(bird["captions"]).encode())
    config = (
        f"{image_size}px_{train_images_per_species}_{test_images_per_species}_"
        f"seed{seed}_{digest.hexdigest()[:8]}"
    )

    def contents():
        totals = {
            split: birds.num_examples(split, values["images_per_species"])
            for split, values in options.items()
        }
        return {s: _drawn(s, n, **options[s]) for s, n in totals.items()}, totals

    return config, contents


def _from_files(name: str, source):
    """Configuration name and a function giving the checked splits and totals."""
    reader = _READERS[name]

    def contents():
        found, problems = reader.read(source)
        check(source, found, problems)
        splits = {s: [r for r in found if r.split == s] for s in records.SPLITS}
        return splits, {s: len(r) for s, r in splits.items()}

    return reader.fingerprint(source), contents


def _existing(name: str, data_root: epath.Path) -> epath.Path:
    """The one prepared data set of this name, for when the raw data is not given."""
    found = [
        p.parent for p in (data_root / name).glob(f"*/{VERSION}/dataset_info.json")
    ]
    if len(found) != 1:
        raise ValueError(
            f"source of {name!r} is not given and {len(found)} prepared data sets lie "
            f"under {data_root / name}; give the source, or a data_root that holds one"
        )
    return found[0]


def prepare(name: str, *, data_root, source=None, seed: int = 0, **options):
    """Prepares a data set unless it is there already.

    Args:
      name: "toybirds", "cub" or "folder".
      data_root: folder of all prepared data sets; created if absent.
      source: the raw data of cub and folder; None takes what is prepared.
      seed: of the drawn birds.
      **options: toybirds only: image_size, train_images_per_species and
        test_images_per_species.

    Returns:
      The prepared folder as an epath.Path.

    Raises:
      DataError: everything that is wrong with the raw data; nothing is written.
    """
    if name not in NAMES:
        raise ValueError(f"data set {name!r}; allowed: {', '.join(NAMES)}")
    if name != "toybirds" and options:
        raise ValueError(f"options {sorted(options)}: {name!r} takes none")
    images.hide_accelerators()
    root = epath.Path(data_root).expanduser()
    if name == "toybirds":
        config, contents = _toybirds(seed=seed, **options)
    elif not source:
        return _existing(name, root)
    else:
        config, contents = _from_files(name, os.path.expanduser(source))
    target = root / name / config / VERSION
    if (target / "dataset_info.json").exists():
        return target
    with _alone(root):
        # Another process may have prepared it while this one waited.
        if not (target / "dataset_info.json").exists():
            _write(name, config, root, target, contents)
    return target


def _write(name, config, root, target, contents) -> None:
    splits, totals = contents()
    if target.parent.exists():
        for left in target.parent.iterdir():  # by a killed preparation
            left.rmtree() if left.is_dir() else left.unlink()
    downloads = target.parent / "downloads"
    try:
        with _quiet():
            _BUILDERS[name](
                splits=splits,
                totals=totals,
                data_dir=root,
                config=tfds.core.BuilderConfig(name=config),
            ).download_and_prepare(download_dir=downloads)
        if downloads.exists():
            downloads.rmtree()  # Nothing is downloaded; TFDS makes it all the same.
    except BaseException:
        if target.parent.exists():
            target.parent.rmtree()
        raise


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
def _alone(root: epath.Path):
    """Lets one process of this machine at a time prepare under `root`.

    The lock is on the folder itself, so it leaves no file and dies with its process.
    Folders of ours that are empty afterwards are removed.
    """
    if "://" in os.fspath(root):
        yield  # Buckets have no locks.
        return
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    handle = os.open(os.fspath(root), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # Some network file systems refuse.
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        for path in [root / name for name in NAMES] + [root] * created:
            with contextlib.suppress(OSError):
                os.rmdir(path)  # Only an empty folder goes.
        os.close(handle)
