"""Models of a hub on the loopback address: whole, cut, wrong, absent, out of reach."""

import errno

import pytest
from support import hub_server, random_runs

from mirrorgan_jax.inference import bundle, sources
from mirrorgan_jax.inference import model as api

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
NAME = "birds/toy"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    model = api.Model.load(random_runs.write(tmp_path_factory.mktemp("run")))
    folder = tmp_path_factory.mktemp("models") / "toy"
    model.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(files, tmp_path, monkeypatch):
    found = hub_server.Hub(dict(files), NAME)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub_server.serving(found) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )  # fmt: skip
        yield found


def opened(name=NAME, **options):
    return bundle.read(sources.opened(name, **options))


def downloads(hub):
    return [name for name, _ in hub.served]


def test_a_model_is_fetched_once_and_as_far_as_it_is_needed(hub):
    found = bundle.read(sources.opened(NAME), networks=("captioner",))
    assert found.name == NAME and set(found.networks) == {*bundle.REQUIRED, "captioner"}
    wanted = {"config.json", "vocab.json"}
    wanted |= {f"{network}.safetensors" for network in found.networks}
    assert set(downloads(hub)) == wanted and len(hub.served) == len(wanted)
    bundle.read(sources.opened(f"hf://{NAME}"), networks=("captioner",))
    assert len(hub.served) == len(wanted)


def test_a_folder_of_that_name_comes_first(hub, tmp_path):
    (tmp_path / "birds" / "toy").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="birds/toy has no config.json"):
        opened()
    assert not hub.served
    opened("hf://birds/toy")


def test_an_interrupted_download_is_fetched_again(hub):
    hub.cut["generator.safetensors"] = 1000
    opened()
    assert downloads(hub).count("generator.safetensors") == 2
    assert downloads(hub).count("text_encoder.safetensors") == 1


def test_other_bytes_than_the_models_are_refused(hub):
    hub.files["vocab.json"] = hub.files["vocab.json"].replace(b"red", b"rad")
    with pytest.raises(ValueError, match=f"{NAME}/vocab.json is damaged or another"):
        opened()


def test_what_is_not_there_is_named_with_its_address(hub):
    with pytest.raises(FileNotFoundError, match="no folder birds/none.*127.0.0.1"):
        opened("birds/none")
    with pytest.raises(FileNotFoundError, match=f"{NAME} has no such revision"):
        opened(revision="v9")
    del hub.files["vocab.json"]
    with pytest.raises(FileNotFoundError, match=f"{NAME} has no vocab.json"):
        opened()


def test_without_a_network_what_was_fetched_opens_and_the_rest_says_what_to_do(
    hub, monkeypatch
):
    opened()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    opened()
    with pytest.raises(OSError, match="cannot be reached and .*cache.* has no copy: f"):
        opened("birds/other")


def test_a_full_disk_is_said(hub, monkeypatch):
    def full(*unused, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(OSError, match="cache is full; HF_HOME names another place"):
        opened()
