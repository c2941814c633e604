"""Says what a run, a checkpoint or a model holds, without loading an array.

  mirrorgan inspect runs/toybirds
  mirrorgan inspect runs/toybirds/gan/checkpoints/2450 --arrays
  mirrorgan inspect model --diff=runs/toybirds

Steps, items and networks with their numbers and bytes, the metrics, and the keys of the
configuration that differ from its preset. Of a run the newest checkpoint of its last
stage is described. --diff says in what another one differs.
"""

import collections
import sys

from absl import flags
from etils import epath

from mirrorgan_jax.cli import common

# Parts of a network's tree.
_KINDS = ("params", "batch_stats", "opt_state")
_LONGEST = 80  # characters of a value


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_boolean(
        "arrays", False, "Every array with its shape and type.", flag_values=values
    )
    flags.DEFINE_string(
        "diff", None, "Another run, checkpoint or model: says what differs.",
        flag_values=values,
    )  # fmt: skip


def _opened(path):
    """(lines on what it is, `inspection.Contents`)."""
    from mirrorgan_jax.inference import bundle, sources
    from mirrorgan_jax.workdir import inspection

    stages = inspection.stages(path) if epath.Path(path).is_dir() else {}
    if stages:
        lines = [f"{path}: a run"]
        for stage, steps in stages.items():
            lines.append(f"  {stage:7} steps {', '.join(map(str, steps))}")
        stage, steps = list(stages.items())[-1]
        folder = epath.Path(path) / stage / "checkpoints" / str(steps[-1])
        contents = inspection.checkpoint(folder)
        evaluation = epath.Path(path) / "report" / "evaluation.json"
        if evaluation.exists():
            contents = contents._replace(evaluation=evaluation.read_text())
        return [*lines, f"{folder}:"], contents
    if inspection.is_checkpoint(path):
        return [f"{path}: a checkpoint"], inspection.checkpoint(path)
    return [f"{path}: a model"], bundle.contents(sources.opened(path))


def _network(path):
    """(network, kind) of an array, of a path such as
    "discriminators/D64/params/down_0/conv/kernel"."""
    parts = path.split("/")
    at = next((i for i, part in enumerate(parts) if part in _KINDS), None)
    return ("", path) if at is None else ("/".join(parts[:at]), parts[at])


def _counted(count, one):
    return f"{count:,} {one}{'s' * (count != 1)}"


def _items(contents, arrays):
    """Lines on items, networks and, where wanted, arrays."""
    for item, tree in contents.items.items():
        size = sum(a.size for a in tree.values())
        held = sum(a.bytes for a in tree.values())
        yield (
            f"  {item}: {_counted(len(tree), 'array')}, {_counted(size, 'number')},"
            f" {held / 2**20:.2f} MiB"
        )
        networks = collections.defaultdict(collections.Counter)
        for path, array in tree.items():
            network, kind = _network(path)
            networks[network][kind] += array.size
        for network, kinds in networks.items():
            parts = ", ".join(f"{kind} {count:,}" for kind, count in kinds.items())
            yield f"    {network + ': ' if network else ''}{parts}"
        if arrays:
            width = max(map(len, tree), default=0)
            for path, array in tree.items():
                yield (
                    f"      {path:{width}}  {array.dtype} {list(array.shape)}"
                    f" {array.bytes:,} bytes"
                )


def _evaluation(text, path):
    """Lines with the first number of each measure."""
    from mirrorgan_jax.metrics import result

    found = result.loads(text, path, "evaluate the run again")
    yield f"  evaluation of step {found.step}: {result.protocol_text(found.protocol)}"
    for one in found.metrics.values():
        if isinstance(one, result.Result):
            first = one.columns[0]
            cells = (
                f"{source} {result.cell(row, first, one.columns)}"
                for source, row in one.rows.items()
            )
            yield f"    {one.title}, {first}: {'; '.join(cells)}"


def _settings(config):
    """Lines on the keys that differ from the preset."""
    from mirrorgan_jax.settings import base as configs

    found = configs.flat(configs.restored(config).to_dict())
    usual = configs.flat(configs.base_config(config["preset"]).to_dict())
    changed = [k for k, v in found.items() if k not in usual or usual[k] != v]
    yield (
        f"  configuration: preset {config['preset']}, from which {len(changed)} of"
        f" {len(found)} keys differ"
    )
    for key in changed:
        shown = repr(found[key])
        shown = shown[:_LONGEST] + "..." * (len(shown) > _LONGEST)
        yield f"    {key} = {shown} ({usual.get(key)!r})"


def described(path, *, arrays=False):
    """Lines on a run, a checkpoint or a model.

    Args:
      path: folder or zip, or what `Model.from_pretrained` takes.
      arrays: name every array.

    Raises:
      FileNotFoundError, ValueError: there is none, or a part of it is damaged.
    """
    lines, contents = _opened(path)
    lines += _items(contents, arrays)
    lines.append(f"  step {contents.step}, {len(contents.words)} words")
    if contents.metrics:
        shown = (f"{name} {value:.4g}" for name, value in contents.metrics.items())
        lines.append(f"  metrics: {', '.join(shown)}")
    if contents.evaluation is not None:
        lines += _evaluation(contents.evaluation, path)
    return [*lines, *_settings(contents.config)]


def difference(path, other):
    """Lines on what two of them differ in, nothing where it is nothing."""
    from mirrorgan_jax.settings import base as configs

    (_, mine), (_, theirs) = _opened(path), _opened(other)
    pairs = [("step", mine.step, theirs.step)]
    if mine.words != theirs.words:
        pairs.append(("words", len(mine.words), len(theirs.words)))
    before, after = configs.flat(mine.config), configs.flat(theirs.config)
    for key in sorted(set(before) | set(after)):
        pairs.append((key, before.get(key, "absent"), after.get(key, "absent")))
    for item in sorted(set(mine.items) & set(theirs.items)):
        left, right = mine.items[item], theirs.items[item]
        for name in sorted(set(left) | set(right)):
            shapes = [
                f"{a.dtype} {list(a.shape)}" if a else "absent"
                for a in (left.get(name), right.get(name))
            ]
            pairs.append((f"{item}: {name}", *shapes))
    for item in sorted(set(mine.items) ^ set(theirs.items)):
        pairs.append(
            (item, *("there" if item in c.items else "absent" for c in (mine, theirs)))
        )
    lines = [f"  {name}: {a!r}, there {b!r}" for name, a, b in pairs if a != b]
    return [f"{path}, and there {other}:", *lines] if lines else ["no difference"]


def main(values: flags.FlagValues, path: str) -> None:
    """Does what the flags ask for."""
    if values.diff:
        print("\n".join(difference(path, values.diff)))
    else:
        print("\n".join(described(path, arrays=values.arrays)))


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, arguments=("PATH",))


if __name__ == "__main__":
    sys.exit(cli())
