"""What measures look at: networks run over the generated and the real images."""

from mirrorgan_jax import progress
from mirrorgan_jax.evaluation import probes, protocol, quick
from mirrorgan_jax.metrics import features, observed
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
    network = _feature_network(config, classifier)
    wanted = _probes(config, evaluator, stem, network, classifier, captioners)
    sides = _probed(evaluator, ema, stem, wanted)
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
    classes = evaluator.split.class_ids[p.indices]
    return observed.Observed(
        data=config.data.name,
        seed=config.seed,
        settings=config.eval.to_dict(),
        class_ids=classes,
        tokens=p.tokens,
        length=p.length,
        pools=p.pools,
        class_pools=p.class_pools,
        mismatched=protocol.mismatched_rows(classes),
        codes=sides["code"],
        sentences=evaluator.sentence_codes(stem["text"]),
        judge={
            "judge": f"DAMSM of this run ({config.stem.encoder})",
            "weights": features.digest(stem)[:12],
            "words of a caption": f"at most {config.text.eval_words}",
        },
        network=network,
        quality=sides.get("quality"),
        crop=config.stream.image_size,
        **_attributes(config, evaluator, truth, classifier, sides),
        redescriptions={name: sides[name] for name in captioners},
        cross_entropies=entropies,
        truth=truth,
        vocab=dataset.vocab,
    )


def _feature_network(config, classifier):
    """What Inception Score, FID and KID look through, or why there is nothing."""
    if classifier is not None and not config.eval.inception:
        return _reader(config, classifier)
    try:
        return features.load(config.eval.inception_kind, config.eval.inception)
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _reader(config, classifier):
    """The classifier as a feature network."""
    return features.from_classifier(classifier, f"{config.data.name} classifier")


def _probes(config, evaluator, stem, network, classifier, captioners):
    """{image size of the real crops: {name: probe}}."""
    # Real images in full, whatever a cascade that ends earlier makes: one reference.
    size = config.stream.image_size
    found = {config.stem.image_size: {"code": evaluator.code_probe(stem["image"])}}
    if not isinstance(network, str):
        own = config.data.image_size if classifier is not None else None
        found.setdefault(size, {})["quality"] = probes.features(network, own)
    if classifier is not None and config.eval.inception:
        own = config.data.image_size
        reader = probes.features(_reader(config, classifier), own)
        found.setdefault(own, {})["attributes"] = reader
    for name, (module, variables) in captioners.items():
        judge = probes.captioner(module, variables, config.text.eval_words)
        found.setdefault(size, {})[name] = judge
    return found


def _probed(evaluator, ema, stem, wanted):
    """{name: `Sides`} of what all probes make of generated and of real images."""
    p = evaluator.protocol
    total = len(p) + len(wanted) * p.num_images
    with progress.Progress(
        "evaluate", total, unit="image", enabled=hosts.is_first()
    ) as bar:
        every = {
            name: probe for some in wanted.values() for name, probe in some.items()
        }
        generated = evaluator.probe_generated(every, ema, stem["text"], bar)
        real = {}
        for size, some in wanted.items():
            real |= evaluator.probe_real(some, size, bar)
    return {name: {"generated": generated[name], "real": real[name]} for name in every}


def _attributes(config, evaluator, truth, classifier, sides):
    """What `Observed` holds of attributes, by name: heads have their own order."""
    if classifier is None:
        return {"attributes": None, "asked": {}}
    # The classifier is what quality was seen through, unless another one is given.
    seen = sides["attributes" if config.eval.inception else "quality"]
    names = [name for name, _ in classifier.heads]
    drawn = evaluator.split.attributes[evaluator.protocol.indices]
    columns = dict(zip(truth.values, drawn.T, strict=True))
    return {
        "attributes": {
            images: dict(zip(names, values["log_probs"], strict=True))
            for images, values in seen.items()
        },
        "asked": {name: columns[name] for name in truth.parts},
    }
