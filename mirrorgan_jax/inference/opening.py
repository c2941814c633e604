"""How models come from a run or from a model's folder, and go into one."""

import json

import jax
from etils import epath

from mirrorgan_jax import text
from mirrorgan_jax.inference import bundle, card, sources
from mirrorgan_jax.parallel import mesh as meshes


def _first_device(chunk):
    """The mesh of a model, after a look at how many images it makes at a time."""
    if chunk < 1:
        raise ValueError(f"chunk = {chunk}: allowed are 1 and more")
    return meshes.create_mesh(devices=jax.local_devices()[:1])


def run(workdir, chunk):
    """The arguments of a `model.Model` of a run; see `Model.load`."""
    # Orbax takes a while to import, and only runs need it.
    from mirrorgan_jax.workdir import layout

    mesh = _first_device(chunk)
    if not epath.Path(workdir).exists():
        raise FileNotFoundError(f"workdir {workdir} does not exist")
    config, words = layout.read_settings(workdir)
    step, generator = layout.load_generator(config, workdir, mesh)
    stem = layout.load_stem(config, workdir, mesh)
    networks = {
        "generator": generator,
        "text_encoder": stem["text"],
        "image_encoder": stem["image"],
    }
    home = layout.home(config, workdir, "stream")
    if layout.is_finished(config, home, "stream"):
        networks["captioner"] = layout.load_stream(config, workdir, mesh)
    return {
        "config": config,
        "vocab": text.Vocabulary(words, config.data.words),
        "networks": networks,
        "name": workdir,
        "step": step,
        "mesh": mesh,
        "metrics": _metrics(epath.Path(workdir) / "report" / "evaluation.json"),
    }


def _metrics(path):
    """The text of a run's evaluation without the place of its pictures, or None."""
    try:
        found = json.loads(path.read_bytes()) if path.exists() else None
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return json.dumps(found | {"samples": ""}, indent=2) + "\n"


def pretrained(source, revision, chunk):
    """The arguments of a `model.Model` of a model's folder; see `from_pretrained`."""
    mesh = _first_device(chunk)
    found = bundle.read(sources.opened(source, revision=revision))
    networks = jax.device_put(found.networks, meshes.replicated(mesh))
    return found._replace(networks=networks)._asdict() | {"mesh": mesh}


def save(model, folder, model_card, licence, without):
    """Writes a model; see `Model.save_pretrained`."""
    optional = [name for name in bundle.NETWORKS if name not in bundle.REQUIRED]
    wrong = [name for name in without if name not in optional]
    if wrong:
        raise ValueError(f"without {wrong[0]!r}: allowed are {', '.join(optional)}")
    networks = {n: tree for n, tree in model.networks.items() if n not in without}
    if model_card is None:
        model_card = card.text(
            epath.Path(folder).name, model.config, model.vocab, networks,
            step=model.step, licence="other",
        )  # fmt: skip
    bundle.write(
        folder,
        model.config,
        model.vocab,
        jax.device_get(networks),
        step=model.step,
        card=model_card,
        licence=licence,
        metrics=model.metrics,
    )
