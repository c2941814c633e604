"""Imports run downwards: a room knows the rooms below it, and only those."""

import ast

from support import ROOT

LAYERS = (
    "cli",
    "run",
    "evaluation",
    "report metrics",
    "training inference weights",
    "data models losses workdir",
    "settings parallel text progress",
)
DEPTH = {room: depth for depth, row in enumerate(LAYERS) for room in row.split()}
# What rooms of one row know of each other, and what of the rows below some never know.
BESIDE = {"report": "metrics.result"}
NEVER = {("training", "data"), ("inference", "data")}
# Files of a few lines that start a command of cli/.
DOORS = ("__main__", "main", "sample", "figures", "reproduce", "report.__main__")
FILES = {
    ".".join(path.relative_to(ROOT / "mirrorgan_jax").with_suffix("").parts): path
    for path in sorted((ROOT / "mirrorgan_jax").rglob("*.py"))
}


def imports(module):
    """(place, dotted name) of every import in a module, those in functions too."""
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        names = [alias.name for alias in getattr(node, "names", ())]
        if isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module}.{name}" for name in names]
        elif not isinstance(node, ast.Import):
            continue
        place = f"{FILES[module].relative_to(ROOT)}:{node.lineno}"
        yield from ((place, name) for name in names)


def breaks(modules, rule):
    """A line for every import of the modules that `rule(module, name)` forbids."""
    return "".join(
        f"\n{place} imports {name}"
        for module in modules
        for place, name in imports(module)
        if rule(module, name)
    )


def allowed(module, name):
    """Whether a module, such as "training.loop", may import a dotted name."""
    own, _, other = name.partition(".")
    if own != "mirrorgan_jax" or not other or module == "__init__":
        return own != ""  # absolute names alone
    mine, theirs = module.partition(".")[0], other.partition(".")[0]
    if mine not in DEPTH or theirs not in DEPTH:
        return False
    below = DEPTH[mine] < DEPTH[theirs] and (mine, theirs) not in NEVER
    beside = mine in BESIDE and f"{other}.".startswith(f"{BESIDE[mine]}.")
    return below or mine == theirs or beside


def test_imports_run_downwards():
    rooms = [module for module in FILES if module not in DOORS]
    found = breaks(rooms, lambda module, name: not allowed(module, name))
    assert not found, found


def test_doors_know_commands_alone_and_nobody_knows_doors():
    def wrong(module, name):
        own, _, other = name.partition(".")
        command = own == "runpy" or (own == "mirrorgan_jax" and other[:3] == "cli")
        to_door = own == "mirrorgan_jax" and other in DOORS
        return to_door or (module in DOORS and not command)

    found = breaks(FILES, wrong)
    assert not found, found


def test_tensorflow_is_imported_in_data_alone():
    # And by the command that reads TensorFlow's own checkpoints.
    others = ("data.", "cli.convert")
    rooms = [module for module in FILES if not module.startswith(others)]
    tensorflow = ("tensorflow", "tensorflow_datasets")
    found = breaks(rooms, lambda _, name: name.partition(".")[0] in tensorflow)
    assert not found, found
