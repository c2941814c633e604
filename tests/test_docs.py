"""What README, CONTRIBUTING and docs/ print is there, and works as it is printed."""

import ast
import contextlib
import inspect
import io
import json
import re
import shlex

import pytest
from support import ROOT

from mirrorgan_jax.cli import verbs
from mirrorgan_jax.inference import model as models
from mirrorgan_jax.inference import output as outputs
from mirrorgan_jax.settings import base as configs

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in DOCUMENTS}
PACKAGE = "mirrorgan_jax"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
# What calls in the Python blocks return.
_RETURNS = {
    models.Model.load: models.Model,
    models.Model.from_pretrained: models.Model,
    models.Model.generate: outputs.Generated,
    models.Model.__call__: outputs.Output,
}


def blocks(text, language):
    """The fenced blocks of a language."""
    return [body for name, body in _FENCE.findall(text) if name == language]


def spans(text):
    """What stands between single backticks, outside blocks."""
    return [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", text))]


def commands(text):
    """Every command of the shell blocks, and those within sentences, as words."""
    lines = [line for body in blocks(text, "bash") for line in _lines(body)]
    heads = rf"(?:mirrorgan|python -m {PACKAGE}(?:\.\w+)*|bash launch/\S+)"
    # A verb alone is a name; with flags or arguments it is a command.
    lines += [x for x in spans(text) if re.fullmatch(rf"{heads} (?!\w+$).+", x)]
    found = []
    for line in lines:
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]  # a variable of the environment
            # An ellipsis stands for a value, or for whatever else is needed.
            words = [word for word in words if not word.endswith("...")]
            if words:
                found.append(words)
    return found


def _lines(body):
    return [x for x in body.replace("\\\n", " ").splitlines() if x.strip()]


CASES = [
    pytest.param(words, id=f"{name}: {' '.join(words)}"[:100])
    for name, text in TEXTS.items()
    for words in commands(text)
]


def parsed(verb, arguments):
    """(exit status, what was said) of a verb: its own parser takes the flags, its work
    is left out."""
    if verb not in verbs.VERBS:
        return 1, f"mirrorgan has no verb {verb!r}"
    command = verbs.module(verb)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.chdir(ROOT)
        patch.setattr(command, "main", lambda values, *arguments: None)
        return command.cli([f"mirrorgan {verb}", *arguments]), said.getvalue()


def refused(verb, arguments):
    """Why a verb does not take its arguments; "" where it does."""
    status, said = parsed(verb, arguments)
    return (said or f"status {status}") if status else ""


def mentions(text, flag):
    """Whether a text has a flag, and not only the beginning of a longer one."""
    return re.search(rf"{re.escape(flag)}(?![\w-])", text)


def script_problem(script, arguments):
    """What a file of launch/ does not take, nor hand on to `train`; "" for nothing."""
    text = (ROOT / script).read_text()
    handed = ("--config", "--workdir", "--stage")
    flags = [word for word in arguments if word.startswith(handed)]
    own = [word for word in arguments if word.startswith("--") and word not in flags]
    unknown = [word for word in own if not mentions(text, word)]
    if script == "launch/tpu_pod.sh":
        actions = re.search(r"^  (create\|[\w|]+)\) ;;", text, re.MULTILINE)[1]
        unknown += {*arguments[:1]} - {*actions.split("|")}
    if unknown:
        return f"{script} knows no {unknown[0]}"
    # Scripts have a configuration where none is named.
    return refused("train", ["--config=cub", *flags]) if flags else ""


def pip_problem(arguments):
    """An extra of this package that it has not; "" for none."""
    asked = [re.match(r"\.\[(.+)\]$", word) for word in arguments]
    names = {name for match in asked if match for name in match[1].split(",")}
    missing = names - extras_of_setup()
    return f"setup.py has no extra {missing}" if missing else ""


def extras_of_setup():
    """The names of `extras_require`."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    (extras,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "extras_require"
    ]
    return {key.value for key in extras.keys}


def verb_of_door(module):
    """The verb that a module runs, which only opens it."""
    home = ROOT.joinpath(*module.split("."))
    path = home / "__main__.py" if home.is_dir() else home.with_suffix(".py")
    return re.search(rf'"{PACKAGE}\.cli\.(\w+)"', path.read_text())[1]


def problem(words):
    """What is wrong with a command; "" where it exists and takes its flags."""
    match words:
        case ["mirrorgan", verb, *rest]:
            return refused(verb, rest)
        case ["python", "-m", "mirrorgan_jax", verb, *rest]:
            return refused(verb, rest)
        case ["python", "-m", module, *rest] if module.startswith(f"{PACKAGE}."):
            return refused(verb_of_door(module), rest)
        case ["python", "-m", "pytest", *rest]:
            paths = [word for word in rest if word.startswith("tests/")]
            return ", ".join(path for path in paths if not (ROOT / path).exists())
        case ["pip", "install", *rest]:
            return pip_problem(rest)
        case ["bash", script, *rest] if script.startswith("launch/"):
            return script_problem(script, rest)
        case [script, *rest] if script.startswith("launch/"):
            return script_problem(script, rest)
        case ["sbatch", *rest]:
            place = rest.index("launch/slurm.sbatch")
            return script_problem(rest[place], rest[place + 1 :])
        case [("docker" | "kubectl" | "export" | "."), *_]:
            return ""  # their files are looked at where paths are
    return "nothing here knows how to check it"


@pytest.mark.parametrize("words", CASES)
def test_command_is_taken_by_its_own_parser(words):
    assert not problem(words)


@pytest.mark.parametrize("name", TEXTS)
def test_flags_in_sentences_are_taken(name):
    scripts = [path.read_text() for path in ROOT.glob("launch/*.*")]
    benchmarks = "".join(path.read_text() for path in ROOT.glob("benchmarks/*.py"))
    scripts += [f"--{flag}" for flag in re.findall(r'DEFINE_\w+\("(\w+)"', benchmarks)]
    helps = [help_of(verb) for verb in verbs.VERBS]
    for span in spans(TEXTS[name]):
        words = shlex.split(span) if span.startswith("--") else []
        for word in words:
            # A letter stands for a number.
            word = re.sub(r"=[A-Z]$", "=1", word)
            flag, equals, _ = word.partition("=")
            if flag == "--help" or flag.startswith("--config"):
                continue  # keys have a test of their own
            known = any(re.search(rf"^  {flag}  ", text, re.M) for text in helps)
            if known and equals:
                assert not all(refused(verb, [word]) for verb in verbs.VERBS), word
            assert known or any(mentions(text, flag) for text in scripts), word


def help_of(verb):
    """What `--help` of a verb prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert parsed(verb, ["--help"])[0] == 0
    return printed.getvalue()


@pytest.mark.parametrize("name", TEXTS)
def test_verbs_in_sentences_exist(name):
    for span in spans(TEXTS[name]):
        if verb := re.fullmatch(r"mirrorgan ([a-z-]+)\b.*", span):
            assert verb[1] in verbs.VERBS


@pytest.mark.parametrize("name", TEXTS)
def test_blocks_say_what_they_hold(name):
    languages = {language for language, _ in _FENCE.findall(TEXTS[name])}
    assert languages <= {"bash", "python", "json", "text", "bibtex"}
    for body in blocks(TEXTS[name], "json"):
        for line in body.splitlines():
            json.loads(line)


@pytest.mark.parametrize("name", TEXTS)
def test_files_and_folders_exist(name):
    folders = rf"configs|launch|docs|tests|benchmarks|{PACKAGE}|\.ci|\.github"
    paths = re.findall(rf"(?<![\w./~-])(?:{folders})/[\w./-]*\w", TEXTS[name])
    paths += re.findall(
        r"`([A-Z]+\.md|LICENSE|constraints\.txt|setup\.py)`", TEXTS[name]
    )
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("name", TEXTS)
def test_keys_exist(name):
    flags = re.findall(r"--config\.([\w.]*\w)", TEXTS[name])
    groups = "|".join(("data", "text", *configs.STAGES, "eval", "mesh", "weights"))
    form = re.compile(rf"({groups}|<stage>)\.(\w+)(?: ?=.*)?")
    own = [match.groups() for match in map(form.fullmatch, spans(TEXTS[name])) if match]
    # `--config.mesh` alone is a group.
    keys = [tuple(flag.split(".")) for flag in flags] + own
    base = configs.base_config()
    for first, *key in keys:
        for group in configs.STAGES if first == "<stage>" else [first]:
            value = base[group]
            for part in key:
                assert part in value, f"config.{group}.{part}"


def _anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    text = _FENCE.sub("", TEXTS[name])
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        path = (ROOT / name).parent / path if path else ROOT / name
        assert path.exists(), target
        assert not anchor or anchor in _anchors(path), target


def _value(node, names):
    """What an expression of a block is: a module, a function, or a type in the place
    of its instance; None where nothing is known."""
    match node:
        case ast.Name(name):
            return names.get(name)
        case ast.Attribute(of, attribute):
            value = _value(of, names)
            if value is None:
                return None
            fields = getattr(value, "__dataclass_fields__", {})
            assert hasattr(value, attribute) or attribute in fields, ast.unparse(node)
            return getattr(value, attribute, None)
        case ast.Call(function, arguments, keywords):
            called = _value(function, names)
            if called is None:
                return None
            if called is models.Model and isinstance(function, ast.Name):
                called = models.Model.__call__  # of an instance
            method = inspect.isfunction(called) and "." in called.__qualname__
            if method:  # the instance comes first
                arguments = [None, *arguments]
            words = {keyword.arg: None for keyword in keywords}
            inspect.signature(called).bind(*arguments, **words)
            return called if inspect.isclass(called) else _RETURNS.get(called)
    return None


def test_python_blocks_use_what_exists():
    bodies = [body for text in TEXTS.values() for body in blocks(text, "python")]
    for body in bodies:
        names = {}
        for statement in ast.parse(body).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([statement], []), "block", "exec"), names)
                continue
            for node in ast.walk(statement):
                _value(node, names)
            if isinstance(statement, ast.Assign):
                (target,) = statement.targets
                names[target.id] = _value(statement.value, names)
        # What is called is known, so that its attributes were looked at.
        known = (outputs.Output, outputs.Generated)
        assert any(x in names.values() for x in known) or "ocp" in names


def test_attributes_of_a_model_in_sentences_exist():
    types = {
        "model": models.Model, "made": outputs.Generated, "out": outputs.Output,
    }  # fmt: skip
    seen = 0
    for text in TEXTS.values():
        for span in spans(text):
            if match := re.match(r"(model|made|out)\.(\w+)", span):
                owner, attribute = types[match[1]], match[2]
                fields = getattr(owner, "__dataclass_fields__", {})
                assert hasattr(owner, attribute) or attribute in fields, span
                seen += 1
    assert seen


def test_layout_names_every_room():
    (layout,) = [x for x in blocks(TEXTS["README.md"], "text") if "configs/" in x]
    named = set(re.findall(r"^  (\w+)/ ", layout, re.MULTILINE))
    rooms = (ROOT / PACKAGE).glob("*/__init__.py")
    assert named == {path.parent.name for path in rooms}
    listed = re.findall(r"^[1-8]  (.+)$", TEXTS["CONTRIBUTING.md"], re.MULTILINE)
    assert all(re.search(rf"\b{room}\b", "\n".join(listed)) for room in named)


def test_readme_lists_every_verb():
    rows = re.findall(r"^\| `([\w-]+)` \|", TEXTS["README.md"], re.MULTILINE)
    assert {*verbs.VERBS} <= {*rows}


def test_readme_is_short():
    words = _FENCE.sub("", TEXTS["README.md"]).split()
    assert 1_000 < len(words) < 1_700
