"""What measures look at: networks run over the generated and the real images."""

import numpy as np

from mirrorgan_jax import progress
from mirrorgan_jax.evaluation import probes, protocol, quick
from mirrorgan_jax.metrics import features, looks, observed
from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.training import stream_step


def observe(config, dataset, evaluator, ema, stem, captioners, classifier):
    """The `metrics.observed.Observed` of a generator.

    Args:
      config, dataset, captioners, classifier: as `run` takes them.
      evaluator: with a generator.
      ema: variables of the generator.
      stem: {"text", "image"}, those of STEM.
    """
    p, truth = evaluator.protocol, dataset.truth
    captioners = captioners if truth else {}
    networks = _networks(config)
    wanted = _probes(config, evaluator, stem, networks, classifier, captioners)
    classes = evaluator.split.class_ids[p.indices]
    mismatched = protocol.mismatched_rows(classes)
    sides = _probed(evaluator, ema, stem, wanted, captioners, mismatched)
    entropies = {
        name: quick.cross_entropies(
            evaluator,
            stream_step.make_gate(module),
            variables,
            image_size=config.stream.image_size,
            num_words=config.text.num_words,
        )
        for name, (module, variables) in captioners.items()
    }
    return observed.Observed(
        data=config.data.name,
        seed=config.seed,
        settings=config.eval.to_dict(),
        class_ids=classes,
        tokens=p.tokens,
        length=p.length,
        pools=p.pools,
        class_pools=p.class_pools,
        mismatched=mismatched,
        codes=sides["code"],
        sentences=evaluator.sentence_codes(stem["text"]),
        judge={
            "judge": f"DAMSM of this run ({config.stem.encoder})",
            "weights": features.digest(stem)[:12],
            "words of a caption": f"at most {config.text.eval_words}",
        },
        looks=_looks(config, networks, classifier, sides),
        **_attributes(evaluator, truth, classifier, sides),
        redescriptions={name: sides[name] for name in captioners},
        cross_entropies=entropies,
        truth=truth,
        vocab=dataset.vocab,
    )


def _networks(config):
    """{kind: feature network, or why it cannot be had} of those that are given."""
    found = {}
    for kind in features.KINDS:
        path = config.eval[kind]
        if not path:
            continue
        try:
            found[kind] = features.load(kind, path)
        except (ValueError, FileNotFoundError) as error:
            found[kind] = str(error)
    return found


def _reader(config, classifier):
    """The classifier as a feature network."""
    return features.from_classifier(classifier, f"{config.data.name} classifier")


def _probes(config, evaluator, stem, networks, classifier, captioners):
    """{image size of the real crops: {name: probe}}."""
    # Real images in full, whatever a cascade that ends earlier makes: one reference.
    size = config.stream.image_size
    found = {config.stem.image_size: {"code": evaluator.code_probe(stem["image"])}}
    for kind, network in networks.items():
        if not isinstance(network, str):
            found.setdefault(size, {})[kind] = probes.features(network)
    if classifier is not None:
        own = config.data.image_size
        reader = probes.features(_reader(config, classifier), own)
        found.setdefault(own, {})["attributes"] = reader
    for name, (module, variables) in captioners.items():
        judge = probes.captioner(module, variables, config.text.eval_words)
        found.setdefault(size, {})[name] = judge
    return found


def _probed(evaluator, ema, stem, wanted, captioners, mismatched):
    """{name: `Sides`} of what all probes make of generated and of real images, and of
    what captioners make of images of other captions."""
    p = evaluator.protocol
    every = {name: probe for some in wanted.values() for name, probe in some.items()}
    scores = {
        f"{name}, {observed.OTHERS}": probes.word_scores(module, variables)
        for name, (module, variables) in captioners.items()
    }
    total = len(p) + len(wanted) * p.num_images
    with progress.Progress(
        "evaluate", total, unit="image", enabled=hosts.is_first()
    ) as bar:
        generated = evaluator.probe_generated(
            every | scores, ema, stem["text"], bar,
            # The caption whose mismatched image this one is.
            others=np.argsort(mismatched),
        )  # fmt: skip
        real = {}
        for size, some in wanted.items():
            real |= evaluator.probe_real(some, size, bar)
    sides = {name: {"generated": generated[name], "real": real[name]} for name in every}
    for name in captioners:
        sides[name][observed.OTHERS] = {
            "ids": generated[name]["ids"][mismatched],
            "log_probs": generated[f"{name}, {observed.OTHERS}"][mismatched],
        }
    return sides


def _looks(config, networks, classifier, sides):
    """What `Observed` holds of feature networks: the classifier where none is given."""
    found = {
        kind: network
        if isinstance(network, str)
        else looks.Look(network, sides[kind], config.stream.image_size)
        for kind, network in networks.items()
    }
    if found or classifier is None:
        return found
    reader = _reader(config, classifier)
    return {
        reader.name: looks.Look(reader, sides["attributes"], config.data.image_size)
    }


def _attributes(evaluator, truth, classifier, sides):
    """What `Observed` holds of attributes, by name: heads have their own order."""
    if classifier is None:
        return {"attributes": None, "drawn": {}}
    names = [name for name, _ in classifier.heads]
    drawn = evaluator.split.attributes[evaluator.protocol.indices]
    columns = dict(zip(truth.values, drawn.T, strict=True))
    return {
        "attributes": {
            images: dict(zip(names, values["log_probs"], strict=True))
            for images, values in sides["attributes"].items()
        },
        "drawn": {name: columns[name] for name in truth.parts},
    }
