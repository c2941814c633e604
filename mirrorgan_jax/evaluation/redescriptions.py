"""Mirror accuracy on toybirds: what redescriptions keep of a caption (section 3.3)."""

import numpy as np

from mirrorgan_jax.evaluation import evaluator as evaluators
from mirrorgan_jax.evaluation import protocol
from mirrorgan_jax.metrics import mirror
from mirrorgan_jax.training import stream_step


def margin(evaluator, module, variables, config):
    """Cross entropies of a captioner on matched and shuffled real images."""
    return evaluators.cross_entropies(
        evaluator,
        stream_step.make_gate(module),
        variables,
        image_size=config.stream.image_size,
        num_words=config.text.num_words,
    )


def _words_right(truth, vocab, tokens, log_probs):
    """Share of the captions' attribute words that the captioner would choose too."""
    # Token ids of each value of an attribute, among the words of the vocabulary.
    groups = {
        attribute: [
            [vocab.id(word) for word in truth.synonyms[value] if word in vocab]
            for value in values
        ]
        for attribute, values in truth.values.items()
    }
    right = total = 0
    for row, scores in zip(tokens, log_probs, strict=True):
        for mention in truth.find(vocab.decode(row).split()):
            if not all(groups[mention.attribute]):
                continue  # a value that no caption of this data set names
            values = truth.values[mention.attribute]
            choice = mirror.word_choices(
                scores[mention.position][None], groups[mention.attribute]
            )[0]
            right += values[choice] == mention.value
            total += 1
    return right / total if total else float("nan")


def entry(evaluator, truth, vocab, found, margins):
    """Entry of mirror accuracy.

    Args:
      evaluator: the evaluator whose protocol the redescriptions follow.
      truth: of the data set.
      vocab: the vocabulary.
      found: {captioner: {"generated" or "real": what its probe returned}}.
      margins: {captioner: what `margin` returned}.
    """
    p = evaluator.protocol

    def stated(ids):
        said = truth.find(vocab.decode(ids))
        return {mention.attribute: mention.value for mention in said}

    asked = [stated(row) for row in p.tokens]
    other = protocol.mismatched_rows(evaluator.split.class_ids[p.indices])
    rows = {}

    def row(values, order):
        ids = values["ids"][order]
        said = [
            stated(redescribed[:length])
            for redescribed, length in zip(ids, p.length, strict=False)
        ]
        result = mirror.survival(asked[: len(said)], said)
        result["words"] = _words_right(
            truth, vocab, p.tokens[: len(said)], values["log_probs"][order]
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
