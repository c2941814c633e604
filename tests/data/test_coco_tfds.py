"""MS COCO as TFDS prepares it: the same data as the official layout, or refused."""

import io
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from support import data_settings
from tensorflow_datasets.object_detection import coco_captions

from mirrorgan_jax.data import datasets, images
from mirrorgan_jax.data.sources import coco, coco_tfds, records, tfds_shards

SPLITS = {"train": range(10, 15), "val": (3, 1), "test": (2, 8), "restval": (7, 5, 6)}
FORMATS = tfds_shards.FORMATS


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Hashes are remembered in the user's folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def _folder(split):
    return "train2014" if split == "train" else "val2014"


def _name(split, key):
    return f"COCO_{_folder(split)}_{key:012}.jpg"


def _picture(key):
    """A JPEG with a gradient; one of them is grey."""
    shape = (20, 24 + key) if key == 12 else (20, 24 + key, 3)
    pixels = np.linspace(0, 10 * key, np.prod(shape)).astype(np.uint8).reshape(shape)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def _captions(key):
    """Six of one picture, five of the others."""
    return [f"A thing {key}, seen {n} times. " for n in range(6 if key == 11 else 5)]


class CocoCaptions(coco_captions.CocoCaptions, skip_registration=True):
    """TFDS's own builder, with its features, of pictures that nobody downloads."""

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(split, keys)
            for split, keys in SPLITS.items()
        }

    def _generate_examples(self, split, keys):
        box = tfds.features.BBox(ymin=0.1, xmin=0.2, ymax=0.5, xmax=0.6)
        thing = {"id": 1, "area": 9, "bbox": box, "label": 7, "is_crowd": False}
        for key in keys:
            texts = [
                {"id": 100 * key + n, "text": text}
                for n, text in enumerate(_captions(key))
            ]
            yield (
                _name(split, key),
                {
                    "image": io.BytesIO(_picture(key)),
                    "image/filename": _name(split, key),
                    "image/id": key,
                    "objects": [thing] * (key % 3),
                    "captions": texts,
                },
            )


def _prepare(data_dir, kind):
    """The folder that TFDS has prepared, two shards a split."""
    builder = CocoCaptions(data_dir=data_dir, file_format=kind)
    builder.download_and_prepare(
        download_dir=data_dir / "downloads",
        download_config=tfds.download.DownloadConfig(num_shards=2),
    )
    return pathlib.Path(builder.data_dir)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder of each format, which tests do not change."""
    root = tmp_path_factory.mktemp("tfds")
    return {kind: _prepare(root / kind, kind) for kind in FORMATS}


@pytest.fixture(params=FORMATS)
def whole(prepared, request):
    """A folder of each format in its turn."""
    return prepared[request.param]


@pytest.fixture
def own(whole, tmp_path):
    """A copy of `whole` that a test may change."""
    return pathlib.Path(shutil.copytree(whole, tmp_path / "own"))


@pytest.fixture
def tfrecord(prepared, tmp_path):
    """A folder of TFRecords that a test may change."""
    return pathlib.Path(shutil.copytree(prepared["tfrecord"], tmp_path / "own"))


def _shard(folder, split, number=0):
    return sorted(folder.glob(f"coco_captions-{split}.*"))[number]


def _change(folder, **changes):
    path = folder / coco_tfds.INFO
    info = json.loads(path.read_text())
    info.update(changes)
    path.write_text(json.dumps({k: v for k, v in info.items() if v is not None}))


def _settings(source, root="", **changes):
    return data_settings.settings(root, "coco", source, **changes)


def _read(source, **changes):
    return coco.read(_settings(source, **changes), 0)


def _refusal(source, **changes):
    with pytest.raises(records.DataError) as error:
        _read(source, **changes)
    (problem,) = error.value.problems
    return problem


def _official(root):
    """The same pictures and captions in COCO's own layout."""
    for part in ("train2014", "val2014"):
        keys = [
            (split, key)
            for split, keys in SPLITS.items()
            for key in keys
            if _folder(split) == part
        ]
        (root / part).mkdir(parents=True)
        for split, key in keys:
            (root / part / _name(split, key)).write_bytes(_picture(key))
        document = {
            "images": [{"id": k, "file_name": _name(s, k)} for s, k in keys],
            "annotations": [
                {"id": 100 * k + n, "image_id": k, "caption": caption}
                for _, k in keys
                for n, caption in enumerate(_captions(k))
            ],
        }
        (root / "annotations").mkdir(exist_ok=True)
        name = f"annotations/captions_{part}.json"
        (root / name).write_text(json.dumps(document))
    return root


def _by_name(split, vocab):
    """{name: (words of captions, decoded picture)} of a loaded split."""
    examples = split.pictures.examples(range(len(split)))
    return {
        pathlib.PurePosixPath(name).name: (
            [[vocab.words[i] for i in caption] for caption in own],
            images.decode_example(example, [0, 0, 0, 0]).numpy().tobytes(),
        )
        for name, own, example in zip(
            split.names, split.captions, examples, strict=True
        )
    }


def test_it_is_the_same_data_as_the_official_layout(whole, tmp_path):
    found, wanted = (
        datasets.load(_settings(source, tmp_path / "data"), seed=0)
        for source in (whole, _official(tmp_path / "coco"))
    )
    assert (len(found.train), len(found.test)) == (5, 7)
    for split in records.SPLITS:
        mine, theirs = getattr(found, split), getattr(wanted, split)
        assert _by_name(mine, found.vocab) == _by_name(theirs, wanted.vocab)
        assert not mine.boxes.any() and not mine.crop_to_box
    numbers = [*found.train.class_ids, *found.test.class_ids]
    assert len(set(numbers)) == len(numbers)


def test_pictures_are_read_as_their_files_at_random(whole):
    found = _read(whole)
    assert not found.problems
    keys = [int(record.where.rpartition(" ")[2]) for record in found.records]
    assert sorted(keys) == [1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14]
    for record, key in reversed([*zip(found.records, keys, strict=True)]):
        assert record.read() == _picture(key)
    first = found.records[0]
    assert first.name == _name("train", keys[0])
    assert first.where == f"{_shard(whole, 'train').name}: image {keys[0]}"


def test_what_was_found_is_said(whole, monkeypatch):
    found = _read(whole)
    assert found.notes == [
        "COCO 2014 of TFDS's coco_captions, 5 train and 7 test pictures (not the"
        " paper's 82,783 and 40,504 of 2014); every picture is a class of its own",
        "coco_captions: 61 captions, of which 1 beyond the first 5 of a picture are"
        " left out",
    ]
    assert {len(record.captions) for record in found.records} == {5}
    monkeypatch.setitem(coco.PICTURES, "2014", {"train": 5, "test": 7})
    assert "(the paper's split)" in _read(whole).notes[0]


def test_splits_of_tfds_have_the_papers_sizes():
    train, *others = coco_tfds.SPLITS.values()
    assert {"train": train, "test": sum(others)} == coco.PICTURES["2014"]


def test_the_folders_above_are_taken_too(whole):
    sources = [whole, *list(whole.parents)[:3]]
    assert [source.name for source in sources[:3]] == ["1.1.0", "2014", "coco_captions"]
    assert len({coco.fingerprint(_settings(source), 0) for source in sources}) == 1
    assert [coco_tfds.find(source) for source in sources] == [whole] * 4


def test_of_two_versions_none_is_guessed(own, tmp_path):
    home = tmp_path / "data/coco_captions/2014"
    for version in ("1.0.0", "1.1.0"):
        shutil.copytree(own, home / version)
    for look in (coco.read, coco.fingerprint):
        with pytest.raises(records.DataError) as error:
            look(_settings(tmp_path / "data"), 0)
        assert error.value.problems == (
            "2 prepared coco_captions: coco_captions/2014/1.0.0,"
            " coco_captions/2014/1.1.0; give the folder of one",
        )
    assert not _read(home / "1.0.0").problems


def test_the_official_layout_beside_it_comes_first(own, tmp_path):
    root = _official(tmp_path / "data")
    shutil.copytree(own, root / "coco_captions/2014/1.1.0")
    assert _read(root).notes[0].startswith("COCO 2014, 5 train and 7 test")


def test_preparation_that_has_not_ended_is_told(own):
    (own / coco_tfds.INFO).unlink()
    first = _shard(own, "restval").name
    assert _refusal(own) == (
        f"annotations/captions_train2014.json: missing, but {first} is there without"
        " dataset_info.json: let TFDS prepare it to its end"
    )


def test_missing_split_is_said(own):
    info = json.loads((own / coco_tfds.INFO).read_text())
    kept = [split for split in info["splits"] if split["name"] != "restval"]
    _change(own, splits=[*kept, {"name": "extra", "shardLengths": ["1"]}])
    found = _read(own)
    assert not found.problems
    assert len([r for r in found.records if r.split == "test"]) == 4
    assert "5 train and 4 test" in found.notes[0]
    assert found.notes[1:3] == [
        "dataset_info.json: no split 'restval': its 30,504 pictures are not in the test"
        " split",
        "dataset_info.json: split 'extra' is left out",
    ]
    _change(own, splits=[split for split in kept if split["name"] != "train"])
    assert _read(own).problems == ["dataset_info.json: no split 'train'"]


def test_missing_shard_is_refused_or_a_subset(own):
    gone = _shard(own, "train", 1)
    gone.unlink()
    said = f"1 of the 8 shards that dataset_info.json lists are missing ({gone.name})"
    advice = "; data.subset = True goes on with the others"
    assert _read(own).problems == [f"{said}{advice}"]
    found = _read(own, subset=True)
    assert not found.problems and f"a subset: {said}" in found.notes
    assert 0 < len([r for r in found.records if r.split == "train"]) < 5


@pytest.mark.parametrize("how", ["cut", "tail", "half", "bit", "page", "empty", "more"])
def test_damaged_shard_is_one_sentence(own, how):
    path = _shard(own, "train")
    data = path.read_bytes()
    half = len(data) // 2
    if path.name.count("array_record"):
        half = data.index(b"JFIF") + 200  # most of the file is padding
    path.write_bytes(
        {
            "cut": data[:-1],
            "tail": data[:-20],
            "half": data[:half],
            "bit": data[:half] + bytes([data[half] ^ 4]) + data[half + 1 :],
            "page": b"<!doctype html>" * 200,
            "empty": b"",
            "more": _shard(own, "test").read_bytes(),
        }[how]
    )
    (problem,) = [p for p in _read(own).problems if "is in" not in p]
    assert problem.startswith(f"{path.name}: ")
    assert "damaged" in problem


def test_length_that_no_file_has_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "shard"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"data")
    data = path.read_bytes()
    for length in (2**62, 2**20, 0):
        path.write_bytes(length.to_bytes(8, "little") + data[8:])
        with pytest.raises(ValueError, match="^cut off or damaged at record 0$"):
            list(tfds_shards.examples(path, "tfrecord", 1))


def test_picture_that_has_changed_since_is_not_read(own):
    found = _read(own)
    path = _shard(own, "train")
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(ValueError, match="has changed meanwhile|damaged at record 0"):
        found.records[0].read()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "coco"}, "the data set 'coco' is not 'coco_captions'"),
        ({"fileFormat": "riegeli"}, "fileFormat 'riegeli' is not read; allowed are tf"),
        ({"fileFormat": ["tfrecord"]}, "fileFormat ['tfrecord'] is not read; allowed"),
        ({"splits": None}, 'a JSON object with a list "splits" is needed'),
        ({"splits": [3]}, 'split None: a name and a list "shardLengths" of whole num'),
        ({"splits": [{"name": "train", "shardLengths": ["x"]}]}, "split 'train': a na"),
        ({"splits": [{"name": "train", "shardLengths": [-1]}]}, "split 'train': a nam"),
        ({"splits": [{"name": "train", "shardLengths": 4}]}, "split 'train': a name"),
        (
            {"splits": [{"name": "train", "filepathTemplate": "/{SPLIT}"}]},
            "split 'train': filepathTemplate '/{SPLIT}' must be '{DATASET}-{SPLIT}.",
        ),
    ],
)  # fmt: skip
def test_description_that_is_not_of_coco_captions_is_refused(
    tfrecord, changes, sentence
):
    _change(tfrecord, **changes)
    assert _refusal(tfrecord).startswith(f"dataset_info.json: {sentence}")


def test_description_that_is_no_json_is_refused(tfrecord):
    (tfrecord / coco_tfds.INFO).write_bytes(b'{"name": ')
    assert _refusal(tfrecord).startswith("dataset_info.json: column 10: broken JSON")


def test_description_without_a_format_is_of_tfrecords(tfrecord):
    _change(tfrecord, fileFormat=None)
    assert not _read(tfrecord).problems


def _rewrite(path, **features):
    """Changes features of the first example of a TFRecord shard."""
    stored = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    example = tf.train.Example.FromString(stored[0])
    for name, value in features.items():
        example.features.feature[name.replace("__", "/")].CopyFrom(value)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for data in [example.SerializeToString(), *stored[1:]]:
            writer.write(data)


def _bytes(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ({"image__id": _ints()}, "record 0: feature 'image/id': one int is needed"),
        ({"image__id": _ints(3)}, "image 3: it is in coco_captions-train.tf"),
        ({"image__filename": _bytes(b"../a.jpg")}, "image/filename '../a.jpg' is not"),
        ({"image": _bytes()}, "feature 'image': one bytes is needed"),
        ({"captions__text": _bytes()}, "no caption"),
        ({"captions__text": _bytes(b"?!")}, "caption '?!' has no words"),
        ({"captions__text": _bytes(b"\xff")}, "caption b'\\xff' is no text in UTF-8"),
        ({"captions__text": _ints(3)}, "caption 3 is no text in UTF-8"),
    ],
)  # fmt: skip
def test_example_that_is_wrong_is_named(tfrecord, features, sentence):
    path = _shard(tfrecord, "train")
    _rewrite(path, **features)
    found = _read(tfrecord)
    (problem,) = found.problems
    assert sentence in problem
    named = _shard(tfrecord, "val") if "train" in sentence else path
    assert problem.startswith(f"{named.name}: ")


def test_what_is_no_example_is_named(tfrecord):
    path = _shard(tfrecord, "test")
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff" * 50)
    assert _read(tfrecord).problems == [
        f"{path.name}: record 0: not a serialised example"
    ]


def test_contents_decide_which_prepared_copy_is_used(own):
    def fingerprint(**changes):
        return coco.fingerprint(_settings(own, **changes), 0)

    first = fingerprint()
    (own / "features.json").write_text("{}")
    assert fingerprint() == first != fingerprint(subset=True)
    path = _shard(own, "val")
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    second = fingerprint()
    _change(own, version="1.1.1")
    assert len({first, second, fingerprint()}) == 3
