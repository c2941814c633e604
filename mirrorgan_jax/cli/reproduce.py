"""Trains the rows of a table of the paper and writes the table.

  mirrorgan reproduce --table=3 --config=toybirds32 --seeds=0,1,2
  mirrorgan reproduce --table=3 --config=toybirds32 --rows=attngan --only_collect

Every run is a variant of the configuration under a seed, in
<workdir>/seed<S>/<run>; STEM and STREAM are trained once a seed, in
<workdir>/seed<S>/pretrained. Rows of one setting share a run, whatever the table.
<workdir>/table<N>.md and .csv are written again after every run; the same command
goes on after a kill.
"""

import json
import re
import sys

from absl import flags
from etils import epath

from mirrorgan_jax.cli import common
from mirrorgan_jax.report import results, tables
from mirrorgan_jax.settings import variants

_MARK = "diverged.json"


def chosen_runs(number, rows=()):
    """Names of the runs that a table needs.

    Args:
      number: of the table, 1 to 3.
      rows: variants; () takes all of the table's.

    Raises:
      ValueError: a variant that the table has no row of.
    """
    own = [row.variant for row in results.TABLES[number].rows if row.variant]
    runs = list(dict.fromkeys(results.run_name(variant) for variant in own))
    for row in rows:
        if row not in variants.VARIANTS or results.run_name(row) not in runs:
            raise ValueError(
                f"--rows={row}: allowed for table {number} are {', '.join(own)}"
            )
    wanted = {results.run_name(row) for row in rows}
    return [run for run in runs if not wanted or run in wanted]


def parse_seeds(texts):
    """Seeds out of a flag's texts.

    Raises:
      ValueError: one is no whole number from 0, or there is none.
    """
    if not texts or not all(re.fullmatch(r"\d+", text) for text in texts):
        raise ValueError(
            f"--seeds={','.join(texts)}: allowed are whole numbers from 0 such as 0,1,2"
        )
    return list(dict.fromkeys(int(text) for text in texts))


def row_config(config, workdir, seed, run):
    """Configuration of a run, or with `run` "" that of the pretraining of its seed.

    Args:
      config: of the table; not changed. A folder in `weights.pretrained` is kept and
        serves all seeds.
      workdir: of the table.
      seed: of data, weights and everything random.
      run: of `chosen_runs`.
    """
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.seed = seed
        variants.apply(config, run or "mirrorgan")
        if run and not config.weights.pretrained:
            config.weights.pretrained = str(_folder(workdir, seed, "pretrained"))
    return config


def _folder(workdir, seed, run):
    return epath.Path(workdir) / f"seed{seed}" / run


def _read_json(path):
    try:
        return json.loads(path.read_text()) if path.exists() else None
    except ValueError:
        raise ValueError(
            f"{path} is no JSON: remove it and run its row again"
        ) from None


def outcome(config, workdir, seed, run):
    """The `results.Outcome` of a run, None where nothing was tried.

    Args:
      config: of the table: how many steps make a whole run.
      workdir, seed, run: as of `row_config`.
    """
    from mirrorgan_jax.workdir import layout

    folder = _folder(workdir, seed, run)
    steps, done = config.gan.num_steps, layout.finished_steps(folder, "gan")
    evaluation = _read_json(folder / "report" / "evaluation.json")
    if evaluation is not None:
        wanted = steps
        if config.weights.checkpoint == "best" and done >= steps:
            checkpoints = layout.opened(folder, "gan")
            wanted = checkpoints.best_step()
            checkpoints.close()
        if evaluation["step"] == wanted:
            return results.Outcome(evaluation)
    for home in (folder, _folder(workdir, seed, "pretrained")):
        mark = _read_json(home / _MARK)
        if mark is not None:
            return results.Outcome(note=mark["note"])
    if done:
        return results.Outcome(note=f"at step {done} of {steps}")
    return None


def collect(config, workdir, number):
    """{run: {seed: `results.Outcome`}} of everything that lies in a workdir.

    Args:
      config, workdir: of the table.
      number: of the table.
    """
    root = epath.Path(workdir)
    names = [path.name for path in root.iterdir()] if root.exists() else []
    seeds = sorted(int(n[4:]) for n in names if re.fullmatch(r"seed\d+", n))
    found = {}
    for run in chosen_runs(number):
        outcomes = {seed: outcome(config, workdir, seed, run) for seed in seeds}
        found[run] = {s: o for s, o in outcomes.items() if o is not None}
    return found


def write(config, workdir, number):
    """Writes `table<N>.md` and `table<N>.csv` of what lies in a workdir.

    Args:
      config, workdir, number: as of `collect`.

    Returns:
      The path of the Markdown file.
    """
    from mirrorgan_jax.parallel import hosts
    from mirrorgan_jax.workdir import files

    path = epath.Path(workdir) / f"table{number}.md"
    if hosts.is_first():
        found = collect(config, workdir, number)
        files.write_text(path, tables.markdown(number, found, config.data.name))
        files.write_text(path.with_suffix(".csv"), tables.csv_text(number, found))
    return path


def _check_settings(config, workdir, number):
    """Refuses a workdir whose finished rows were trained under other settings."""
    from mirrorgan_jax.workdir import layout

    for run, outcomes in collect(config, workdir, number).items():
        for seed in outcomes:
            folder = _folder(workdir, seed, run)
            done = layout.finished_steps(folder, "gan")
            if not done:
                continue
            title = f"{variants.VARIANTS[run].title}, seed {seed}"
            if done > config.gan.num_steps:
                raise ValueError(
                    f"{title}: {folder} is at step {done}, beyond config.gan.num_steps"
                    f" = {config.gan.num_steps}. Take {done} or another --workdir"
                )
            saved, _ = layout.read_settings(folder)
            now = row_config(config, workdir, seed, run)
            different = layout.different_settings("gan", saved.to_dict(), now.to_dict())
            if different:
                raise ValueError(
                    f"{title}: {folder} was made with other settings:"
                    f" {'; '.join(different)}. Take the old values or another"
                    " --workdir"
                )


def _attempt(config, folder, wanted, title):
    """Runs stages in a folder; whether they ended well.

    A run that diverges leaves a mark, which the next attempt takes away when it ends
    well. What else goes wrong names the run.
    """
    import jax

    from mirrorgan_jax import run as runs
    from mirrorgan_jax.parallel import hosts
    from mirrorgan_jax.workdir import files

    hosts.say(f"--- {title}: {', '.join(wanted)}")
    mark = folder / _MARK
    try:
        runs.run(config, str(folder), wanted)
    except FloatingPointError as error:
        where = re.match(r"stage (\w+), step (\d+)", str(error))
        note = f"{where[1]} diverged at step {where[2]}" if where else "diverged"
        hosts.say(f"{title}: {error}")
        if hosts.is_first():
            values = {"note": note, "reason": str(error)}
            files.write_text(mark, json.dumps(values) + "\n")
        return False
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{title}: {error}") from error
    finally:
        jax.clear_caches()  # the next run has other programs
    if hosts.is_first():
        mark.unlink(missing_ok=True)
    return True


def _pretrained(config, workdir, seed):
    """Trains STEM and STREAM of a seed where they are not yet; whether they are."""
    from mirrorgan_jax.workdir import layout

    if config.weights.pretrained:
        return True
    own = row_config(config, workdir, seed, "")
    folder = _folder(workdir, seed, "pretrained")
    wanted = [
        stage
        for stage in ("stem", "stream")
        if layout.finished_steps(folder, stage) < own[stage].num_steps
    ]
    return not wanted or _attempt(own, folder, wanted, f"pretraining, seed {seed}")


def sweep(config, workdir, number, *, seeds=(0,), rows=(), only_collect=False):
    """Does the runs of a table that are not done yet, and writes the table.

    Args:
      config: of the table; every row is a variant of it.
      workdir: folder of all runs and tables, local or a bucket.
      number: of the table, 1 to 3.
      seeds: that are run; the table holds whatever seeds the workdir has.
      rows: variants that are run; () is all of the table's.
      only_collect: run nothing.

    Returns:
      The path of the Markdown file.

    Raises:
      ValueError: an unknown row, or a run that cannot be done, by name.
      hosts.Terminated: SIGTERM; everything is saved.
    """
    from mirrorgan_jax import run as runs

    wanted = chosen_runs(number, rows)
    _check_settings(config, workdir, number)
    path = write(config, workdir, number)
    if only_collect:
        return path
    for seed in seeds:
        missing = []
        for run in wanted:
            found = outcome(config, workdir, seed, run)
            if found is None or found.evaluation is None:
                missing.append(run)
        if missing and not _pretrained(config, workdir, seed):
            write(config, workdir, number)
            continue
        for run in missing:
            own = row_config(config, workdir, seed, run)
            title = f"{variants.VARIANTS[run].title}, seed {seed}"
            _attempt(own, _folder(workdir, seed, run), runs.needed_stages(own), title)
            write(config, workdir, number)
    return path


def define(values: flags.FlagValues) -> None:
    """Defines the flags."""
    flags.DEFINE_enum(
        "table", None, ["1", "2", "3"], "Table of the paper.", flag_values=values
    )
    flags.DEFINE_string(
        "workdir", "runs/reproduce", "Folder of all runs, local or a bucket.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_list(
        "seeds", [], "Seeds that are run, such as 0,1,2; default the configuration's.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_list(
        "rows", [], "Variants of the table that are run; default all of them.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean(
        "only_collect", False, "Run nothing: write the table of what is there.",
        flag_values=values,
    )  # fmt: skip
    common.define_processes(values)


def main(values: flags.FlagValues) -> None:
    """Does what the flags ask for."""
    from mirrorgan_jax.parallel import hosts

    if values.table is None:
        raise ValueError("--table is missing: allowed are 1, 2, 3")
    config = common.configuration(values, "toybirds32")
    seeds = parse_seeds(values.seeds or [str(config.seed)])
    common.join(config, values)
    path = sweep(
        config,
        values.workdir,
        int(values.table),
        seeds=seeds,
        rows=values.rows,
        only_collect=values.only_collect,
    )
    if hosts.is_first():
        hosts.say(f"{path.read_text()}\ntable: {path}")


def cli(argv=None):
    """The command; returns its exit status."""
    return common.run(main, __doc__, define, argv, configured=True)


if __name__ == "__main__":
    sys.exit(cli())
