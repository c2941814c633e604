"""Mirror accuracy on toybirds: what redescriptions keep of a caption (section 3.3)."""

import dataclasses
import functools

import numpy as np
from etils import epath

from mirrorgan_jax.data.toybirds import birds, mentions
from mirrorgan_jax.evaluation import evaluator as evaluators
from mirrorgan_jax.evaluation import protocol
from mirrorgan_jax.metrics import mirror
from mirrorgan_jax.models import build
from mirrorgan_jax.training import loop, stages, stream_step
from mirrorgan_jax.workdir import layout

# The held-out captioner's random numbers are no other stage's.
_SEED = 1000


def held_out_settings(config):
    """Configuration of the captioner that no generator has seen.

    It differs from STREAM in its trunk, which is wider and starts from random weights
    instead of STEM's, and in its seed.
    """
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.stream.encoder_width = config.eval.heldout_width
        config.stream.trunk_from_stem = False
        config.stream.num_steps = config.eval.heldout_steps
        config.weights.pretrained = ""
    return config


def held_out(config, dataset, mesh, workdir):
    """(module, variables) of the held-out captioner, trained where it is not yet."""
    folder = layout.home(config, workdir, "stream") / "heldout"
    config = held_out_settings(config)
    if layout.finished_steps(folder, "stream") < config.stream.num_steps:
        stage = stages.stream_stage(config, dataset, mesh, folder)
        loop.run_stage(
            dataclasses.replace(stage, seed=stage.seed + _SEED),
            workdir=folder,
            config=config.to_dict(),
            vocab=list(dataset.vocab.words),
            mesh=mesh,
        )
    variables = layout.load_stream(config, folder, mesh)
    return build.captioner(config, len(dataset.vocab)), variables


def captioners(config, dataset, mesh, workdir):
    """{name: (module, variables)} of the captioners that a run has."""
    found = {}
    folder = layout.home(config, workdir, "stream")
    if layout.finished_steps(folder, "stream"):
        variables = layout.load_stream(config, epath.Path(workdir), mesh)
        found["STREAM"] = build.captioner(config, len(dataset.vocab)), variables
    if config.eval.heldout_steps:
        found["held-out captioner"] = held_out(config, dataset, mesh, workdir)
    return found


def margin(evaluator, module, variables, config):
    """Cross entropies of a captioner on matched and shuffled real images."""
    return evaluators.cross_entropies(
        evaluator,
        stream_step.make_gate(module),
        variables,
        image_size=config.stream.image_size,
        num_words=config.text.num_words,
    )


@functools.cache
def _synonym_ids(vocab, attribute):
    """Token ids of each value of an attribute, among the words of a vocabulary."""
    return [
        [vocab.id(word) for word in birds.SYNONYMS[value] if word in vocab]
        for value in birds.ATTRIBUTES[attribute]
    ]


def _words_right(vocab, tokens, log_probs):
    """Share of the captions' attribute words that the captioner would choose too."""
    right = total = 0
    for row, scores in zip(tokens, log_probs, strict=True):
        words = vocab.decode(row).split()
        for mention in mentions.find(words):
            groups = _synonym_ids(vocab, mention.attribute)
            if not all(groups):
                continue  # a value that no caption of this data set names
            values = birds.ATTRIBUTES[mention.attribute]
            choice = mirror.word_choices(scores[mention.position][None], groups)[0]
            right += values[choice] == mention.value
            total += 1
    return right / total if total else float("nan")


def entry(evaluator, vocab, found, margins):
    """Entry of mirror accuracy.

    Args:
      evaluator: the evaluator whose protocol the redescriptions follow.
      vocab: the vocabulary.
      found: {captioner: {"generated" or "real": what its probe returned}}.
      margins: {captioner: what `margin` returned}.
    """
    p = evaluator.protocol
    asked = [mentions.stated(vocab.decode(row)) for row in p.tokens]
    other = protocol.mismatched_rows(evaluator.split.class_ids[p.indices])
    rows = {}

    def row(values, order):
        ids = values["ids"][order]
        said = [
            mentions.stated(vocab.decode(redescribed[:length]))
            for redescribed, length in zip(ids, p.length, strict=False)
        ]
        result = mirror.survival(asked[: len(said)], said)
        result["words"] = _words_right(
            vocab, p.tokens[: len(said)], values["log_probs"][order]
        )
        return {
            name: 100 * result[name]
            for name in ("survived", "contradicted", "unsaid", "agreement", "words")
        }

    for name, sources in found.items():
        for source, values in sources.items():
            rows[f"{source}, {name}"] = row(values, np.arange(len(values["ids"])))
    name = next(iter(found))
    # Log-probabilities follow the captions they were made with: no row of "words".
    chance = row(found[name]["generated"], other)
    del chance["words"]
    rows[f"generated from other captions, {name}"] = chance
    texts = ", ".join(
        f"{name} {values['matched']:.2f} on matched and {values['shuffled']:.2f} on"
        " shuffled real images"
        for name, values in margins.items()
    )
    return {
        "title": "Mirror accuracy",
        "unit": "%",
        "better": "higher",
        "protocol": (
            f"{len(p)} captions of the test split; greedy redescription with as many"
            " words as the caption, both parsed: share of the attributes asked for that"
            " are said again, contradicted, not said; agreement: of what both speak"
            " of, the share that agrees; words: at the caption's own attribute words,"
            " after the words before them, the share of values that the captioner"
            " would choose. The held-out captioner has another trunk and seed, and no"
            f" generator has seen it. Cross entropy a word, nats: {texts}"
        ),
        "columns": ["survived", "contradicted", "unsaid", "agreement", "words"],
        "rows": rows,
    }
