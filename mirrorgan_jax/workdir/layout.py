"""What a run's folder holds: finished stages, their settings and their weights."""

from etils import epath

from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.workdir import checkpoints as checkpoint

# The metric of each stage that decides its best checkpoint; lower is better?
METRICS = {
    "stem": ("real_top1", False),
    "stream": ("matched", True),
    "gan": ("generated_top1", False),
}
# Keys that a run may change on its way; memory and speed are no settings of it.
_FREE_KEYS = (
    "num_steps", "gate_margin", "remat", "generator_remat", "discriminator_remat",
    "cache_mib", "bad_pictures", "lr_rule_batch", "contents",
)  # fmt: skip


def home(config, workdir, stage):
    """Folder of the run that a stage belongs to.

    STEM and STREAM may be another run's; the held-out captioner lies beside STREAM, in
    a folder of its own.
    """
    if stage == "heldout":
        return home(config, workdir, "stream") / "heldout"
    if stage != "gan" and config.weights.pretrained:
        return epath.Path(config.weights.pretrained)
    return epath.Path(workdir)


def saved_steps(workdir, stage):
    """The steps of the stage's checkpoints, in no order."""
    folder = checkpoint.directory(workdir, stage)
    if not folder.exists():
        return []
    return [int(p.name) for p in folder.iterdir() if p.name.isdigit()]


def finished_steps(workdir, stage):
    """Steps of the stage's newest checkpoint, 0 without one."""
    return max(saved_steps(workdir, stage), default=0)


def is_saved(workdir, stage):
    """Whether the stage has a checkpoint; that of a stage of no steps is step 0's."""
    return bool(saved_steps(workdir, stage))


def is_finished(config, workdir, stage):
    """Whether the stage has the checkpoint of its last step."""
    done = max(saved_steps(workdir, stage), default=-1)
    return done >= config[stage].num_steps


def absent(workdir, stage):
    """The sentence that a stage has no checkpoint in a folder."""
    return (
        f"there is no {stage} checkpoint in"
        f" {checkpoint.directory(workdir, stage)}: run --stage={stage} first"
    )


def different_settings(name, saved, config):
    """["key = now, was then"] of a stage's settings, data and captions.

    Args:
      name: the stage.
      saved: configuration beside the checkpoint, a dictionary.
      config: the present one.
    """
    saved = configs.restored(saved).to_dict()
    pairs = [("seed", saved["seed"], config["seed"])]
    for group in ("text", "data", name):
        for key in sorted(set(saved[group]) | set(config[group])):
            if key in _FREE_KEYS or key.endswith(("_every_steps", "root", "source")):
                continue
            old, new = saved[group].get(key), config[group].get(key)
            pairs.append((f"{group}.{key}", old, new))
    if config[name]["lr_rule"] != "none":
        batches = [configs.rule_batch(values[name]) for values in (saved, config)]
        pairs.append((f"{name}.lr_rule_batch", *batches))
    different = [f"{k} = {n!r}, was {o!r}" for k, o, n in pairs if o != n]
    return different + different_contents(saved["data"], config["data"])


def different_contents(saved, now):
    """["the data's train captions are others"] where hashes of data differ.

    Args:
      saved, now: dictionaries of the group `data`; what only one of them has a hash of
        is not compared, as in checkpoints of before there were any.
    """
    before, after = (
        dict(part.rsplit(" ", 1) for part in group["contents"].split(", ") if part)
        for group in (saved, now)
    )
    return [
        f"the data's {part} are others"
        for part in before
        if part in after and before[part] != after[part]
    ]


def check_resumable(name, saved, saved_vocab, config, vocab):
    """Refuses to go on with a run under settings that it was not started with.

    Args:
      name: the stage.
      saved: configuration beside the checkpoint, a dictionary.
      saved_vocab: list of words beside it.
      config, vocab: the present ones.

    Raises:
      ValueError: every key that differs, with both values.
    """
    different = different_settings(name, saved, config)
    for key in ("dtype", "matmul_precision"):
        if saved[key] != config[key]:
            different.append(f"{key} = {config[key]!r}, was {saved[key]!r}")
    if list(saved_vocab) != list(vocab):
        different.append(f"a vocabulary of {len(vocab)} words, was {len(saved_vocab)}")
    if different:
        raise ValueError(
            f"the {name} checkpoints of this workdir were made with other settings:"
            f" {'; '.join(different)}. Take the old values or another --workdir"
        )


def checkpoints(workdir, stage):
    """The `Checkpoints` of a stage, which keep the best by its metric."""
    metric, lower = METRICS[stage]
    return checkpoint.Checkpoints(workdir, stage, metric=metric, lower_is_better=lower)


def opened(workdir, stage):
    """`checkpoints` of a stage that has some.

    Raises:
      FileNotFoundError: it has none.
    """
    if not is_saved(workdir, stage):
        raise FileNotFoundError(absent(workdir, stage))
    return checkpoints(workdir, stage)


def read_settings(workdir, stage="gan"):
    """(config, vocabulary words) beside the newest checkpoint of a stage.

    Raises:
      FileNotFoundError: the stage has no checkpoint.
    """
    saved_steps = opened(workdir, stage)
    try:
        saved, words = saved_steps.restored_json(saved_steps.latest_step())
    finally:
        saved_steps.close()
    return configs.restored(saved), list(words)


def load_stem(config, workdir, mesh):
    """{"text", "image"}: variables of the finished STEM stage.

    Raises:
      FileNotFoundError: STEM has no checkpoint.
      ValueError: it is not finished, or was made with other settings.
    """
    tree = _load(config, workdir, "stem", mesh)
    return {
        tower: {key: tree[tower][key] for key in ("params", "batch_stats")}
        for tower in ("text", "image")
    }


def load_stream(config, workdir, mesh):
    """Variables of the finished STREAM stage; as `load_stem`."""
    tree = _load(config, workdir, "stream", mesh)["captioner"]
    return {key: tree[key] for key in ("params", "batch_stats")}


def load_discriminators(config, workdir, mesh):
    """{"D64": {params, batch_stats}, ...} of the discriminators."""
    state = _load_item(config, workdir, "gan", "state", mesh)[1]
    return {
        name: {key: tree[key] for key in ("params", "batch_stats")}
        for name, tree in state["discriminators"].items()
    }


def load_generator(config, workdir, mesh):
    """(step, {params, batch_stats} of the generator's moving average)."""
    return _load_item(config, workdir, "gan", "ema", mesh)


def _load(config, workdir, stage, mesh):
    folder = home(config, workdir, stage)
    done, wanted = finished_steps(folder, stage), config[stage].num_steps
    if is_saved(folder, stage) and done < wanted:
        raise ValueError(
            f"stage {stage} is at step {done} of {wanted}: finish it with"
            f" --stage={stage}, or set config.{stage}.num_steps = {done}"
        )
    return _load_item(config, folder, stage, "state", mesh)[1]


def _load_item(config, workdir, stage, item, mesh):
    saved_steps = opened(workdir, stage)
    try:
        best = config.weights.checkpoint == "best"
        step = saved_steps.best_step() if best else saved_steps.latest_step()
        saved, _ = saved_steps.restored_json(step)
        different = different_settings(stage, saved, config.to_dict())
        if different:
            raise ValueError(
                f"the {stage} checkpoint of {workdir} was made with other settings:"
                f" {'; '.join(different)}. Take the old values or another --workdir"
            )
        return step, saved_steps.restored_tree(step, item, mesh)
    finally:
        saved_steps.close()
