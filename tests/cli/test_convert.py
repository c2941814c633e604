"""Weights from and to PyTorch's names by the command."""

import numpy as np
import pytest
from safetensors import numpy as safetensors
from support import parity, random_runs, tiny, torch_file

from mirrorgan_jax import run as runs
from mirrorgan_jax.cli import convert
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.weights import files, pretrained
from mirrorgan_jax.workdir import layout

# As AttnGAN's first stage has it: what PyTorch's code has a place for.
ONE_STAGE = {
    "gan.stages": 1, "gan.base_size": 64, "gan.lambda_stream": 0.0,
    "stem.image_size": 64, "stream.image_size": 64,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["zip", "legacy", "old"])
def test_file_becomes_safetensors_of_the_same_names(tmp_path, capsys, kind):
    state = parity.load("05a_d_net64").state()
    wrapped = {"state_dict": {f"module.{k}": v for k, v in state.items()}}
    path = tmp_path / "netD0.pth"
    path.write_bytes(torch_file.saved(wrapped, kind))
    out = tmp_path / "netD0.safetensors"
    assert convert.cli(["convert", str(path), str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    numbers = sum(value.size for value in state.values())
    assert said == [
        f"{path}: discriminator of 64 pixels, ndf 4, word_dim 16;"
        f" {len(state)} tensors, {numbers:,} numbers",
        f"{path}: taken from its entry 'state_dict'",
        f"{path}: names without the module. of DataParallel",
        f"written: {out}",
    ]
    found = safetensors.load_file(out)
    assert found.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value)


def test_unknown_networks_are_converted_and_said(tmp_path, capsys):
    path = torch_file.write(tmp_path / "a.pth", {"x": np.ones(3, np.float32)})
    out = tmp_path / "a.safetensors"
    assert convert.cli(["convert", str(path), str(out)]) == 0
    assert "none of the networks that are read" in capsys.readouterr().out
    np.testing.assert_array_equal(safetensors.load_file(out)["x"], 1)


def exported(folder, capsys):
    """({name: tensors}, said) of a folder that `export` wrote."""
    found = {p.stem: files.read(p).tensors for p in folder.glob("*.safetensors")}
    return found, capsys.readouterr().out


@pytest.mark.full
def test_runs_networks_go_out_come_in_and_go_out_the_same(tmp_path, tiny_data, capsys):
    changes = {**ONE_STAGE, "data.root": str(tiny_data)}
    words = runs.load_data(tiny.tiny_config(**changes)).vocab.words
    donor = random_runs.write(tmp_path / "donor", words, **changes)
    folder = tmp_path / "out"
    assert convert.cli(["convert", f"--workdir={donor}", f"--out={folder}"]) == 0
    given, said = exported(folder, capsys)
    assert given.keys() == {"netG", "netD0", "text_encoder", "caption_rnn"}
    assert (
        "not written: image_encoder: PyTorch's code has none such: stem.encoder" in said
    )
    assert (
        "not written: caption_cnn: PyTorch's code has none such: stream.encoder" in said
    )
    assert (folder / "vocabulary.txt").read_text().splitlines() == list(words)

    # A run of no steps that starts from them is a finished one.
    paths = {name: str(folder / f"{name}.safetensors") for name in given}
    config = tiny.tiny_config(
        **changes,
        **{f"{stage}.num_steps": 0 for stage in ("stem", "stream", "gan")},
        **{
            "weights.text_encoder": paths["text_encoder"],
            "weights.generator": paths["netG"],
            "weights.discriminators": paths["netD0"],
            "eval.samples": 0,
        },
    )
    workdir = tmp_path / "imported"
    runs.run(config, workdir, ["stem", "gan"])
    said = capsys.readouterr().out
    assert f"gan: starts from {paths['netG']}: MirrorGAN's generator, 1 stages" in said
    assert "stem: without steps random values stay in the image encoder" in said
    assert "gan: without steps" not in said
    mesh = meshes.create_mesh()
    for load in (
        lambda place: layout.load_generator(config, place, mesh)[1],
        lambda place: layout.load_discriminators(config, place, mesh),
        lambda place: layout.load_stem(config, place, mesh)["text"],
    ):
        wanted = load(donor)
        assert not tiny.changed(wanted, load(workdir))
    again = tmp_path / "again"
    convert.export(workdir, again, "safetensors")
    back, said = exported(again, capsys)
    assert back.keys() == {"netG", "netD0", "text_encoder"}
    assert "not written: caption_rnn: no stream checkpoint\n" in said
    for name, tensors in back.items():
        assert tensors.keys() == given[name].keys()
        for key, value in tensors.items():
            np.testing.assert_array_equal(value, given[name][key])

    # Once there, the run needs the files no more; the record still names them.
    for path in folder.iterdir():
        path.unlink()
    runs.run(config, workdir, ["stem", "gan"])
    starts = (workdir / "starts" / "gan.json").read_text()
    assert paths["netG"] in starts and paths["netD0"] in starts


def test_networks_without_a_counterpart_say_why(tmp_path, capsys):
    random_runs.write(tmp_path / "run")
    assert convert.export(tmp_path / "run", tmp_path / "out", "safetensors") == [
        "text_encoder", "caption_rnn"
    ]  # fmt: skip
    said = capsys.readouterr().out
    for part in (
        "netG: PyTorch's code has none such: gan.base_size = 16, where it has 64;"
        " gan.sentence_conv = False, where it has True;"
        " gan.condition_dim = 4, where it has 100",
        "netD0: PyTorch's code has none such: images of 16 pixels",
    ):
        assert f"not written: {part}\n" in said


def test_pth_is_what_torch_loads(tmp_path):
    torch = pytest.importorskip("torch")
    random_runs.write(tmp_path / "run")
    convert.export(tmp_path / "run", tmp_path / "a", "pth")
    convert.export(tmp_path / "run", tmp_path / "b", "safetensors")
    found = torch.load(tmp_path / "a" / "text_encoder.pth", weights_only=True)
    wanted = files.read(tmp_path / "b" / "text_encoder.safetensors").tensors
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name].numpy(), value)
    own = files.read(tmp_path / "a" / "text_encoder.pth").tensors
    assert own.keys() == wanted.keys()


def test_pth_without_torch_is_a_sentence(tmp_path, monkeypatch, capsys):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "torch" else find(n)
    )
    argv = ["convert", f"--workdir={tmp_path}", "--out=a", "--format=pth"]
    assert convert.cli(argv) == 1
    error = capsys.readouterr().err
    assert 'pip install "mirrorgan_jax[torch]"' in error and error.count("\n") == 1


def test_folder_without_checkpoints_is_a_sentence(tmp_path, capsys):
    argv = ["convert", f"--workdir={tmp_path}", f"--out={tmp_path / 'a'}"]
    assert convert.cli(argv) == 1
    assert "there is no stem checkpoint in" in capsys.readouterr().err


def test_record_of_a_start_is_what_pretrained_says(tmp_path):
    from mirrorgan_jax.workdir import provenance

    file = pretrained.File("weights.generator", "a.pth", "0" * 64, "a generator")
    provenance.write_start(tmp_path, "gan", [file._asdict()])
    provenance.write(tmp_path, {"gan": tmp_path, "stem": tmp_path})
    (read,) = provenance.read_start(tmp_path, "gan")
    assert (read["path"], read["sha256"], read["words"]) == ("a.pth", "0" * 64, None)
    written = (tmp_path / "report" / "run.json").read_text()
    assert '"starts"' in written and "a.pth" in written
