"""The one map from PyTorch's parameter names to our trees.

A network's map is a dict from a PyTorch module prefix ("" for the network
itself) to the path of the flax module that holds the same parameters. Leaves
follow from PyTorch's leaf name and rank, so that one table serves both ways:

    4-d weight  (O, I, kh, kw)  <-> kernel (kh, kw, I, O)
    2-d weight  (O, I)          <-> kernel (I, O)
    2-d weight of a table       <-> embedding, unchanged
    1-d weight                  <-> scale (batch norm)
    running_mean, running_var   <-> batch_stats mean, var
    weight_ih_l0[_reverse] ...  <-> input_kernel, hidden_kernel (transposed),
                                    input_bias, hidden_bias
"""

import re

import numpy as np

from mirrorgan_jax.models import inception

_RECURRENT = {
    "weight_ih": "input_kernel",
    "weight_hh": "hidden_kernel",
    "bias_ih": "input_bias",
    "bias_hh": "hidden_bias",
}
_STATISTICS = {"running_mean": "mean", "running_var": "var"}


def _to_leaf(path, leaf, value):
    """(collection, path + leaf name, array in our layout) of one PyTorch tensor."""
    value = np.asarray(value)
    recurrent = re.fullmatch(r"(weight|bias)_(ih|hh)_l(\d+)(_reverse)?", leaf)
    if recurrent:
        name = _RECURRENT[f"{recurrent[1]}_{recurrent[2]}"]
        cell = ("backward" if recurrent[4] else "forward") + f"_{recurrent[3]}"
        return "params", (*path, cell, name), value.T if value.ndim == 2 else value
    if leaf in _STATISTICS:
        return "batch_stats", (*path, _STATISTICS[leaf]), value
    if leaf == "bias":
        return "params", (*path, "bias"), value
    if value.ndim == 4:
        return "params", (*path, "kernel"), value.transpose(2, 3, 1, 0)
    if value.ndim == 1:
        return "params", (*path, "scale"), value
    if path[-1].endswith("embedding"):
        return "params", (*path, "embedding"), value
    return "params", (*path, "kernel"), value.T


def _set(tree, path, value):
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def to_tree(tensors, modules, *, prefix=""):
    """Our tree of a PyTorch state dict.

    Args:
      tensors: mapping from PyTorch name to array.
      modules: mapping from module prefix to flax path (see the functions below).
      prefix: only names that start with it are read, without it.

    Returns:
      {"params": ..., "batch_stats": ...} (the latter only if there are any).

    Raises:
      ValueError: a tensor has no place in `modules`, or a module of `modules`
        found no tensor; both lists are in the message.
    """
    tree, unknown, found = {}, [], set()
    for name, value in tensors.items():
        if not name.startswith(prefix) or name.endswith("num_batches_tracked"):
            continue
        module, _, leaf = name[len(prefix) :].rpartition(".")
        if module not in modules:
            unknown.append(name)
            continue
        found.add(module)
        collection, path, array = _to_leaf(modules[module], leaf, value)
        _set(tree, (collection, *path), array)
    missing = sorted(set(modules) - found)
    if unknown or missing:
        raise ValueError(
            f"weights do not fit: no place for {unknown[:8] or 'none'}"
            f" ({len(unknown)}), nothing for {missing[:8] or 'none'} ({len(missing)})"
        )
    return tree


def _from_leaf(leaf, value):
    """(PyTorch leaf name, array in PyTorch's layout) of one of our leaves."""
    value = np.asarray(value)
    if leaf == "kernel":
        return "weight", value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
    if leaf in ("scale", "embedding"):
        return "weight", value
    if leaf in ("mean", "var"):
        return "running_" + leaf, value
    return leaf, value


def _leaves(tree, path=()):
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key in tree:
        yield from _leaves(tree[key], (*path, key))


def to_state_dict(tree, modules, *, prefix=""):
    """The PyTorch state dict of one of our trees: `to_tree` backwards.

    Raises:
      ValueError: a leaf has no place in `modules`.
    """
    recurrent = {ours: theirs for theirs, ours in _RECURRENT.items()}
    places = {tuple(path): module for module, path in modules.items()}
    tensors = {}
    for path, value in _leaves(tree):
        *module, leaf = path[1:]
        if leaf in recurrent:
            direction, layer = module.pop().rsplit("_", 1)
            suffix = "_reverse" if direction == "backward" else ""
            leaf, value = f"{recurrent[leaf]}_l{layer}{suffix}", np.asarray(value).T
        else:
            leaf, value = _from_leaf(leaf, value)
        if tuple(module) not in places:
            raise ValueError(f"no PyTorch name for {'/'.join(path)}")
        prefix_ = places[tuple(module)]
        tensors[prefix + (f"{prefix_}." if prefix_ else "") + leaf] = value
    return tensors


def text_encoder():
    """Map of the text encoder, LSTM or GRU."""
    return {"encoder": ("embedding",), "rnn": ()}


def conditioning():
    """Map of the conditioning augmentation."""
    return {"fc": ("dense",)}


def attention(*, sentence=True, sentence_conv=True):
    """Map of the global-local attention; without `sentence` that of AttnGAN."""
    modules = {"conv_context": ("word_projection",)}
    if sentence:
        modules["linear"] = ("sentence_projection",)
        if sentence_conv:
            modules["conv_sentence_vis"] = ("sentence_conv",)
    return modules


def _under(modules, prefix, path):
    """`modules`, one level deeper on both sides."""
    return {
        f"{prefix}.{module}" if module else prefix: (*path, *place)
        for module, place in modules.items()
    }


def _block(prefix, path, conv, norm):
    return {f"{prefix}.{conv}": (*path, "conv"), f"{prefix}.{norm}": (*path, "norm")}


def initial_stage(up_blocks=4):
    """Map of F_0."""
    modules = {"fc.0": ("dense",), "fc.1": ("norm",)}
    for i in range(up_blocks):
        modules |= _block(f"upsample{i + 1}", (f"up_{i}",), 1, 2)
    return modules


def next_stage(*, num_residual=2, sentence=True, sentence_conv=True, reduction=True):
    """Map of F_i, i > 0."""
    looked = attention(sentence=sentence, sentence_conv=sentence_conv)
    modules = _under(looked, "att", ("attention",))
    if reduction:
        modules["conv"] = ("reduce",)
    for i in range(num_residual):
        for half, (conv, norm) in enumerate(((0, 1), (3, 4))):
            prefix, place = f"residual.{i}.block", f"residual_{i}"
            modules[f"{prefix}.{conv}"] = (place, f"conv_{half}")
            modules[f"{prefix}.{norm}"] = (place, f"norm_{half}")
    return modules | _block("upsample", ("up",), 1, 2)


def generator(stages, *, up_blocks=4, **next_stages):
    """Map of the generator.

    Args:
      stages: number of stages.
      up_blocks: up-blocks of the first stage, log2(base_size / 4).
      **next_stages: `num_residual`, the residual blocks of each later stage;
        `sentence`, `sentence_conv` and `reduction`, whether the sentence's attention,
        the 1x1 convolution within it and the one behind both attentions exist: all do
        in the reference, none in AttnGAN.
    """
    modules = _under(conditioning(), "ca_net", ("conditioning",))
    for i in range(stages):
        stage = next_stage(**next_stages) if i else initial_stage(up_blocks)
        modules |= _under(stage, f"h_net{i + 1}", (f"stage_{i}",))
        modules[f"img_net{i + 1}.img.0"] = (f"image_{i}", "conv")
    return modules


def discriminator(image_size):
    """Map of the discriminator of 64, 128 or 256 pixel images.

    Raises:
      ValueError: PyTorch's code has no discriminator of that size.
    """
    deeper = {64: (), 128: (32,), 256: (32, 64)}
    if image_size not in deeper:
        raise ValueError(f"image_size = {image_size} is not one of {sorted(deeper)}")
    modules = {"img_code_s16.0": ("down_0", "conv")}
    for i in (1, 2, 3):
        modules |= _block("img_code_s16", (f"down_{i}",), 3 * i - 1, 3 * i)
    for i, scale in enumerate(deeper[image_size]):
        modules |= _block(f"img_code_s{scale}", (f"down_{4 + i}",), 0, 1)
        refine = f"img_code_s{image_size // 4}_{i + 1}"
        modules |= _block(refine, (f"refine_{i}",), 0, 1)
    modules |= _block("COND_DNET.jointConv", ("joint",), 0, 1)
    modules["COND_DNET.outlogits.0"] = ("joint", "logit")
    modules["UNCOND_DNET.outlogits.0"] = ("logit",)
    return modules


def inception_v3(path=()):
    """Map of torchvision's (and timm's) inception_v3 trunk; ours lies at `path`."""
    return {
        ".".join((*unit, leaf)): (*path, *unit, leaf)
        for unit in inception.convolution_paths()
        for leaf in ("conv", "bn")
    }


def resnet(stage_sizes, path=(), *, numbered: bool = False):
    """Map of a torchvision (and timm) ResNet of bottlenecks; ours lies at `path`.

    Args:
      stage_sizes: blocks of every stage.
      path: flax path of our trunk.
      numbered: positions instead of names outside the blocks, as in a sequential
        container of the network's children (the reference's captioner).
    """
    modules = {
        "0" if numbered else "conv1": (*path, "conv1"),
        "1" if numbered else "bn1": (*path, "bn1"),
    }
    for i, size in enumerate(stage_sizes):
        stage = str(i + 4) if numbered else f"layer{i + 1}"
        for j in range(size):
            ours = (*path, f"layer{i + 1}_{j}")
            for leaf in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"):
                modules[f"{stage}.{j}.{leaf}"] = (*ours, leaf)
        modules[f"{stage}.0.downsample.0"] = (
            *path,
            f"layer{i + 1}_0",
            "downsample_conv",
        )
        modules[f"{stage}.0.downsample.1"] = (*path, f"layer{i + 1}_0", "downsample_bn")
    return modules


def image_encoder():
    """Map of the reference's CNN_ENCODER."""
    heads = {name: (name,) for name in ("emb_features", "emb_cnn_code")}
    return {**inception_v3(("trunk",)), **heads}


def caption_encoder(stage_sizes=(3, 8, 36, 3)):
    """Map of the reference's CAPTION_CNN."""
    trunk = resnet(stage_sizes, ("trunk",), numbered=True)
    modules = {f"resnet.{name}": path for name, path in trunk.items()}
    return {**modules, "linear": ("linear",), "bn": ("bn",)}


def caption_decoder():
    """Map of the reference's CAPTION_RNN, for any number of layers."""
    return {"embed": ("embedding",), "lstm": (), "linear": ("linear",)}
