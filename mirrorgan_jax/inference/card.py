"""The card of a model: what it is, how to use it, how it was made and measured."""

import json

_DATA = {
    "toybirds": "procedurally drawn birds with generated captions (toybirds, which"
    " mirrorgan_jax draws itself)",
    "cub": "CUB-200-2011 with the captions of Reed et al., class-disjoint split",
    "coco": "MS COCO 2014 captions",
    "folder": "pictures of its maker's own",
}
_NETWORKS = {
    "generator": "GLAM, the moving average of its weights",
    "text_encoder": "STEM",
    "captioner": "STREAM, which redescribes",
    "image_encoder": "the image tower of DAMSM, for R-precision and matching",
}


def _front_matter(licence):
    """The lines that model hubs read; JSON strings are YAML strings."""
    lines = [
        "---",
        f"license: {json.dumps(licence)}",
        "library_name: mirrorgan_jax",
        "pipeline_tag: text-to-image",
        "language: en",
        "tags: [text-to-image, gan, mirrorgan, jax, flax]",
        "---",
    ]
    return "\n".join(lines)


def text(name, config, vocab, networks, *, step, licence, made=(), results=None):
    """A model card, Markdown with the front matter that model hubs read.

    Args:
      name: of the model.
      config: its configuration.
      vocab: its `text.Vocabulary`.
      networks: names of `bundle.NETWORKS` that it has.
      step: training step of the generator's moving average.
      licence: identifier such as "apache-2.0", or "other".
      made: lines on how it was made: command, hardware, time.
      results: Markdown or text of its evaluation with the protocol, or None.
    """
    c = config.gan
    sizes = ", ".join(str(c.base_size * 2**i) for i in range(c.stages))
    held = [f"- `{n}`: {_NETWORKS[n]}" for n in _NETWORKS if n in networks]
    facts = [
        f"- Data: {_DATA.get(config.data.name, config.data.name)}",
        f"- Steps: {step} of the GAN at a batch of {c.batch_size} (STEM"
        f" {config.stem.num_steps}, STREAM {config.stream.num_steps}), seed"
        f" {config.seed}",
        f"- Images: stages of {sizes} pixels",
        f"- Words: {len(vocab) - 1}, at most {config.text.eval_words} a caption; others"
        " are left out, and said",
        *(f"- {line}" for line in made),
    ]
    measured = results or "Not measured."
    lines = [
        _front_matter(licence),
        "",
        f"# {name}",
        "",
        "MirrorGAN (Qiao et al., CVPR 2019) in JAX: images from captions, and captions"
        " from the images again.",
        "",
        "```python",
        "import mirrorgan_jax",
        "",
        f"model = mirrorgan_jax.from_pretrained({json.dumps(name)})",
        f"out = model({json.dumps(_example(vocab))}, n=4, seed=0)",
        'out.images[0].save("image.png")',
        "print(out)",
        "```",
        "",
        "## What it holds",
        "",
        *held,
        "",
        "## How it was made",
        "",
        *facts,
        "",
        "## What was measured",
        "",
        measured,
        "",
        "## What it does not do",
        "",
        "It draws what its training pictures show, from the words of their captions. A"
        " caption of other things is drawn as far as its words are known. Attention and"
        " redescriptions say what the networks use, not what is true of an image.",
    ]
    return "\n".join(lines) + "\n"


def _example(vocab):
    """A caption of known words."""
    caption = "this small bird has a red crown and black wings"
    known = [word for word in caption.split() if word in vocab]
    return " ".join(known if len(known) > 3 else vocab.words[1:6])
