"""A model's folder: the same images again, and nothing that is damaged or foreign."""

import hashlib
import json
import shutil
import zipfile

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors
from support import random_runs

import mirrorgan_jax
from mirrorgan_jax.inference import bundle, sources
from mirrorgan_jax.inference import model as api
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import files

CAPTIONS = ["this bird has a red wing", "blue bird"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return api.Model.load(random_runs.write(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "birds"
    model.save_pretrained(folder, licence="Free.")
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(whole, tmp_path / "birds")


def zipped(folder, path, top=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"{top}{file.name}")
    return path


def assert_same(model, other):
    for name in other.networks:
        for mine, theirs in zip(
            jax.tree.leaves(model.networks[name]),
            jax.tree.leaves(other.networks[name]),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, theirs)
    assert (other.step, other.vocab) == (model.step, model.vocab)
    # Where things lay on the machine of the run goes with nobody.
    assert other.config.to_dict() == configs.portable(model.config).to_dict()
    made, again = (m.generate(CAPTIONS, seed=3, n=2) for m in (model, other))
    np.testing.assert_array_equal(made.images[-1], again.images[-1])
    images = made.images[-1]
    assert model.redescribe(images, 5) == other.redescribe(images, 5)


def test_a_model_comes_back_bit_for_bit(model, whole):
    other = mirrorgan_jax.from_pretrained(whole)
    assert_same(model, other)
    assert other.digest() == model.digest()
    assert set(other.networks) == set(bundle.NETWORKS)


@pytest.mark.parametrize("top", ["", "birds/"])
def test_a_zip_is_its_folder(model, whole, tmp_path, top):
    path = zipped(whole, tmp_path / "birds.zip", top)
    assert_same(model, api.Model.from_pretrained(path))


def test_saving_again_replaces_the_model_and_nothing_else(model, whole, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="holds 'thesis.txt' and no model"):
        model.save_pretrained(tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    again = tmp_path / "again"
    model.save_pretrained(again)
    model.save_pretrained(again, without=["captioner", "image_encoder"])
    other = api.Model.from_pretrained(again)
    assert not other.has_stream and set(other.networks) == set(bundle.REQUIRED)
    assert not list(again.glob("captioner*"))
    with pytest.raises(ValueError, match="without 'generator': allowed are captioner"):
        model.save_pretrained(again, without=["generator"])


def test_another_librarys_model_is_not_written_over(model, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "README.md").write_text("theirs")
    with pytest.raises(ValueError, match="describes no model"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "theirs"


def test_a_disk_that_fills_up_leaves_the_model_that_was_there(
    model, folder, monkeypatch
):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write, left = type(folder).write_bytes, [3]

    def full(self, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(type(files.epath.Path(folder)), "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(folder, licence="Other.")
    monkeypatch.undo()
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert_same(model, api.Model.from_pretrained(folder))


def test_places_on_the_makers_machine_do_not_travel(model, tmp_path):
    config = model.config.copy_and_resolve_references()
    config.compilation_cache = config.data.root = config.data.source = "/home/me"
    config.weights.generator = config.eval.reference = "/home/me/file"
    mesh = meshes.create_mesh()
    own = api.Model(config, model.vocab, model.networks, "own", step=6, mesh=mesh)
    own.save_pretrained(tmp_path / "own")
    assert "/home/me" not in (tmp_path / "own" / "config.json").read_text()
    # Nor does a model that was made by hand write where it likes.
    _edit(tmp_path / "own", config=config.to_dict())
    assert api.Model.from_pretrained(tmp_path / "own").config.compilation_cache == ""


def test_the_card_says_what_people_and_hubs_ask(whole):
    card = (whole / "README.md").read_text()
    front, rest = card.removeprefix("---\n").split("---\n", 1)
    matter = dict(line.split(": ", 1) for line in front.splitlines())
    assert matter["library_name"] == "mirrorgan_jax"
    assert matter["pipeline_tag"] == "text-to-image"
    assert 'from_pretrained("birds")' in rest and "Not measured." in rest
    assert (whole / "LICENSE").read_text() == "Free."


def _described(folder):
    return json.loads((folder / "config.json").read_text())


def _edit(folder, **changes):
    described = _described(folder) | changes
    (folder / "config.json").write_text(json.dumps(described))


def _flip(folder, name, place=-3):
    data = bytearray((folder / name).read_bytes())
    data[place] ^= 1
    (folder / name).write_bytes(bytes(data))


def _lie(folder, data, name="generator.safetensors"):
    """Other contents, with a size and digest that fit."""
    (folder / name).write_bytes(data)
    listed = _described(folder)["files"]
    digest = hashlib.sha256(data).hexdigest()
    _edit(folder, files=listed | {name: {"bytes": len(data), "sha256": digest}})


def _renamed(folder):
    tensors = safetensors.load_file(folder / "generator.safetensors")
    first = next(iter(tensors))
    named = {("other" if k == first else k): v for k, v in tensors.items()}
    _lie(folder, safetensors.save(named))


def _reshaped(folder):
    tensors = safetensors.load_file(folder / "generator.safetensors")
    first = next(iter(tensors))
    _lie(folder, safetensors.save(tensors | {first: tensors[first].ravel()[:1]}))


DAMAGES = {
    "a byte of the weights": (
        lambda f: _flip(f, "generator.safetensors"),
        "generator.safetensors is damaged or another file",
    ),
    "a byte of the words": (
        lambda f: _flip(f, "vocab.json"),
        "vocab.json is damaged or another file",
    ),
    "weights cut short": (
        lambda f: (f / "captioner.safetensors").write_bytes(b"12345678"),
        "captioner.safetensors is damaged or another file: 8 bytes",
    ),
    "a file too long": (
        lambda f: (f / "vocab.json").write_bytes(b" " * 10**6),
        "vocab.json is damaged or another file",
    ),
    "weights missing": (
        lambda f: (f / "text_encoder.safetensors").unlink(),
        "has no text_encoder.safetensors",
    ),
    "no configuration": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "a page of a login": (
        lambda f: (f / "config.json").write_text("<!doctype html>"),
        "config.json is no JSON",
    ),
    "a deep JSON": (
        lambda f: (f / "config.json").write_text("[" * 10**5),
        "config.json is no JSON",
    ),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "is no JSON object"),
    "another library's": (
        lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
        'describes no model: "format" is None',
    ),
    "a newer format": (
        lambda f: _edit(f, version=2),
        "version 2: this mirrorgan_jax .* reads 1 to 1, a newer one may do",
    ),
    "no step": (lambda f: _edit(f, step="many"), '"step" is missing or no int'),
    "no files": (lambda f: _edit(f, files={}), "lists no vocab.json"),
    "another configuration": (
        lambda f: _edit(f, config={"preset": "paper"}),
        "no configuration of ours",
    ),
    "a value that no key takes": (
        lambda f: _edit(f, config=_described(f)["config"] | {"dtype": "int8"}),
        "no configuration of ours .*dtype",
    ),
    "a tensor of another name": (
        _renamed,
        r"missing are \['batch_stats.*unknown \['other'",
    ),
    "a tensor of another shape": (_reshaped, r"float32\[1\], float32\[.*is needed"),
    "a pickle for weights": (
        lambda f: _lie(f, b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00lsq\x01."),
        "generator.safetensors is no whole .safetensors file",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_a_sentence_that_names_the_file(folder, damage):
    act, said = DAMAGES[damage]
    act(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=said) as error:
        api.Model.from_pretrained(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_archives_without_a_model_are_refused(whole, tmp_path):
    cut = tmp_path / "cut.zip"
    cut.write_bytes(zipped(whole, tmp_path / "a.zip").read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut.zip is no whole zip"):
        api.Model.from_pretrained(cut)
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("a/b/config.json", "{}")
    with pytest.raises(ValueError, match="holds 0 models"):
        api.Model.from_pretrained(empty)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (sources.LARGEST_TEXT + 10**6))
    with pytest.raises(ValueError, match="config.json is larger than"):
        api.Model.from_pretrained(bomb)


def test_names_that_lead_nowhere_are_told_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no model 'toybird'.*shipped are"):
        mirrorgan_jax.from_pretrained("toybird")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="neither a model's folder nor a zip"):
        mirrorgan_jax.from_pretrained("notes.txt")
    with pytest.raises(ValueError, match="revision = 'main': .* is not of the hub"):
        mirrorgan_jax.from_pretrained("notes.txt", revision="main")
    with pytest.raises(ValueError, match="chunk = 0"):
        mirrorgan_jax.from_pretrained("notes.txt", chunk=0)
