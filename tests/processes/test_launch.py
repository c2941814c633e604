"""The launch files: what they would run, and what they do where no cloud is needed."""

import contextlib
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import yaml
from support import ROOT

LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])
MAIN = "mirrorgan_jax.main"
ZONE = {"ZONE": "us-west4-a"}
POD = {**ZONE, "WORKDIR": "gs://bucket/run"}

# Writes down how it was called; ends with STATUS_<process id>, 0 without; waits for
# SIGTERM where FOREVER is set. `-c` is Python's own.
FAKE_PYTHON = f"""#!{sys.executable}
import json, os, re, signal, sys
if sys.argv[1] == "-c":
    exec(sys.argv[2])
    sys.exit()
process = re.search(r"--process_id=(.)", " ".join(sys.argv) + " --process_id=0")[1]
def terminate(*unused):
    os.write(1, f"saved {{process}}\\n".encode())  # print may be at work
    os._exit(int(os.environ.get("STATUS_" + process, 0)))
signal.signal(signal.SIGTERM, terminate)
environment = {{key: os.environ[key] for key in os.environ if "JAX" in key}}
print(json.dumps([sys.argv[1:], environment]), flush=True)
while os.environ.get("FOREVER"):
    signal.pause()
sys.exit(int(os.environ.get("STATUS_" + process, 0)))
"""

# Runs what is meant for a host in HOME, in place of a TPU.
FAKE_GCLOUD = """#!/usr/bin/env bash
for word in "$@"; do
  case $word in --command=*) cd "$HOME"; exec bash -c "${word#--command=}" ;; esac
done
"""


def executable(path, text):
    """Writes a program; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def environment(**variables):
    """An environment with `variables` and nothing of the caller's but PATH."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        **variables,
    }


def wait_for(condition):
    """Polls until `condition()` holds."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def run(script, *arguments, cwd=ROOT, **variables):
    """Runs a launch script to its end."""
    return subprocess.run(
        ["bash", LAUNCH / script, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
    )


def dry(script, *arguments, **variables):
    """The commands that a script would run, as lists of words."""
    result = run(script, *arguments, "--dry-run", **variables)
    assert result.returncode == 0, result.stderr
    return [shlex.split(line) for line in result.stdout.splitlines()]


def flags_of_main(words):
    """What follows the module's name in a command."""
    return words[words.index(MAIN) + 1 :]


def on_host(words):
    """The words of a command that runs on a host of the pod."""
    (command,) = [word for word in words if word.startswith("--command=")]
    return shlex.split(command.removeprefix("--command="))


def pod_flags(*arguments, **variables):
    """Flags that main gets on every host of a pod."""
    (command,) = dry("tpu_pod.sh", "run", *arguments, **{**POD, **variables})
    flags = flags_of_main(on_host(command))
    return flags[: flags.index(">>run.log")]


def jobset():
    return yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())


def job():
    """The one job of the JobSet."""
    (replicated,) = jobset()["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def container():
    """The one container of a host's pod."""
    (only,) = job()["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_valid_shell(script):
    result = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr, result.stderr


# The environment


@pytest.mark.parametrize(
    ("variables", "constrained"),
    [
        ({}, ["-c", "constraints.txt"]),
        ({"CONSTRAINTS": "own.txt"}, ["-c", "own.txt"]),
        ({"CONSTRAINTS": ""}, []),
    ],
)
def test_environment_installs_the_versions_of_a_file_once(
    variables, constrained, tmp_path
):
    python = executable(tmp_path / ".venv/bin/python", '#!/bin/sh\necho "$@"\n')
    (python.parent / "activate").write_text("")
    for name in ("setup.py", "constraints.txt", "own.txt"):
        (tmp_path / name).write_text("")

    def install():
        result = subprocess.run(
            ["bash", "-euc", f". {LAUNCH}/environment.sh; environment '[data]'"],
            cwd=tmp_path, env=environment(PYTHON=sys.executable, **variables),
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()[-1]

    assert install().split()[-len(constrained) - 2 :] == [*constrained, "-e", ".[data]"]
    assert "up to date" in install()
    (tmp_path / "setup.py").write_text("changed")
    assert install().endswith("-e .[data]")


# Cloud TPU


@pytest.mark.parametrize(
    "action, variables, expected",
    [
        (
            "create",
            {},
            "queued-resources create mirrorgan --node-id=mirrorgan"
            " --accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite"
            " --zone=us-west4-a",
        ),
        (
            "create",
            {"SPOT": "1", "PROJECT": "birds", "ACCELERATOR_TYPE": "v6e-32"},
            "queued-resources create mirrorgan --node-id=mirrorgan"
            " --accelerator-type=v6e-32 --runtime-version=v2-alpha-tpuv6e --spot"
            " --zone=us-west4-a --project=birds",
        ),
        (
            "create",
            {"QUEUED": "0", "NAME": "two", "RUNTIME_VERSION": "own"},
            "tpu-vm create two --accelerator-type=v5litepod-16 --version=own"
            " --zone=us-west4-a",
        ),
        (
            "create",
            {"QUEUED": "0", "SPOT": "1", "ACCELERATOR_TYPE": "v4-8"},
            "tpu-vm create mirrorgan --accelerator-type=v4-8"
            " --version=tpu-ubuntu2204-base --spot --zone=us-west4-a",
        ),
        (
            "status",
            {},
            "queued-resources describe mirrorgan --format='value(state.state)'"
            " --zone=us-west4-a",
        ),
        (
            "logs",
            {"WORKER": "3"},
            "tpu-vm ssh mirrorgan --worker=3"
            " --command='tail -n 100 -F mirrorgan_jax/run.log' --zone=us-west4-a",
        ),
        (
            "delete",
            {},
            "queued-resources delete mirrorgan --force --quiet --zone=us-west4-a",
        ),
        (
            "delete",
            {"QUEUED": "0"},
            "tpu-vm delete mirrorgan --quiet --zone=us-west4-a",
        ),
    ],
)
def test_pod_command_is_gclouds(action, variables, expected):
    commands = dry("tpu_pod.sh", action, **{**ZONE, **variables})
    assert commands == [shlex.split(f"gcloud compute tpus {expected}")]


def test_pod_install_copies_to_all_hosts_and_installs_jax_for_tpus():
    copy, install = dry("tpu_pod.sh", "install", **ZONE)
    expected = "gcloud compute tpus tpu-vm scp runs/mirrorgan_jax.tar.gz mirrorgan:"
    assert copy == [*expected.split(), "--worker=all", "--zone=us-west4-a"]
    assert "--worker=all" in install
    words = on_host(install)
    assert words[-6:] == ["pip", "install", "--quiet", "jax[tpu]", "-e", ".[data]"]


@pytest.mark.parametrize("action", ["run", "resume"])
def test_pod_run_starts_main_on_all_hosts(action):
    (command,) = dry("tpu_pod.sh", action, **POD)
    assert command[:6] == "gcloud compute tpus tpu-vm ssh mirrorgan".split()
    assert "--worker=all" in command
    assert "nohup" in on_host(command)


def test_pod_run_passes_flags_on_unchanged():
    flags = ["--config.gan.batch_size=256", "--config.data.source=a bird's $HOME"]
    assert pod_flags(*flags, CONFIG="configs/cub.py:reference") == [
        "--config=configs/cub.py:reference",
        "--workdir=gs://bucket/run",
        *flags,
    ]


@pytest.mark.parametrize(
    "action, variables, missing",
    [
        ("create", {}, "ZONE"),
        ("run", {"WORKDIR": "gs://bucket/run"}, "ZONE"),
        ("run", ZONE, "WORKDIR"),
        ("create", {**ZONE, "ACCELERATOR_TYPE": "v9-8"}, "RUNTIME_VERSION"),
    ],
)
def test_pod_missing_variable_is_said_before_anything_runs(action, variables, missing):
    result = run("tpu_pod.sh", action, "--dry-run", **variables)
    assert result.returncode == 2 and not result.stdout
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith(f"error: {missing} is not set: ")


@pytest.mark.parametrize("action", ["", "start"])
def test_pod_unknown_command_is_an_error_that_lists_them(action):
    result = run("tpu_pod.sh", *action.split(), **ZONE)
    assert result.returncode == 2
    assert "create, status, install" in result.stderr and f"'{action}'" in result.stderr


def test_pod_run_outlives_its_shell_and_stop_waits_until_it_saved(tmp_path):
    executable(tmp_path / "bin/gcloud", FAKE_GCLOUD)
    home = tmp_path / "home"
    executable(home / "mirrorgan_jax/.venv/bin/python", FAKE_PYTHON)
    variables = {
        **POD,
        "HOME": str(home),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "FOREVER": "1",
    }
    first = run("tpu_pod.sh", "run", "--stage=gan", **variables)
    assert first.returncode == 0, first.stderr
    log = home / "mirrorgan_jax/run.log"
    pid = int((home / "mirrorgan_jax/run.pid").read_text())
    try:
        os.kill(pid, 0)  # raises if it ended with its shell
        again = run("tpu_pod.sh", "run", **variables)
        assert again.returncode == 1 and "already runs" in again.stdout
        wait_for(lambda: log.read_text().endswith("\n"))  # it handles SIGTERM now
        stopped = run("tpu_pod.sh", "stop", **variables)
        assert stopped.stdout == "saved 0\n", stopped.stderr
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    arguments, _ = json.loads(log.read_text().splitlines()[0])
    assert arguments[-1] == "--stage=gan"


# Kubernetes

_POD_FIELDS = {
    "restartPolicy": str,
    "terminationGracePeriodSeconds": int,
    "serviceAccountName": str,
    "nodeSelector": dict,
    "containers": [
        {
            "name": str,
            "image": str,
            "args": [str],
            "resources": {"requests": dict, "limits": dict},
            "volumeMounts": [{"name": str, "mountPath": str}],
        }
    ],
    "volumes": [
        {
            "name": str,
            "csi": {"driver": str, "readOnly": bool, "volumeAttributes": dict},
        }
    ],
}
_JOB_FIELDS = {
    "parallelism": int,
    "completions": int,
    "backoffLimit": int,
    "template": {"metadata": {"annotations": dict}, "spec": _POD_FIELDS},
}
# The fields of jobset.x-k8s.io/v1alpha2, batch/v1 and v1 that the file uses. There is
# no podFailurePolicy on purpose: the file says why.
_FIELDS = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "annotations": dict},
    "spec": {
        "failurePolicy": {"maxRestarts": int},
        "replicatedJobs": [
            {"name": str, "replicas": int, "template": {"spec": _JOB_FIELDS}}
        ],
    },
}


def departures(value, fields, path=""):
    """Where a value is not of the form of `fields`."""
    if isinstance(fields, type):
        wrong = type(value) is not fields
        return [f"{path}: {value!r} is no {fields.__name__}"] if wrong else []
    if isinstance(fields, list):
        if not isinstance(value, list) or not value:
            return [f"{path}: {value!r} is no list"]
        items = [(f"{path}[{i}]", item, fields[0]) for i, item in enumerate(value)]
    else:
        if not isinstance(value, dict) or value.keys() != fields.keys():
            return [f"{path}: {value!r} has not the fields {sorted(fields)}"]
        items = [(f"{path}.{key}", value[key], fields[key]) for key in fields]
    return [line for where, *item in items for line in departures(*item, where)]


def test_jobset_has_the_fields_of_the_api():
    assert departures(jobset(), _FIELDS) == []
    assert (jobset()["apiVersion"], jobset()["kind"]) == (
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
    )


def test_jobset_fills_its_slice():
    pod = job()["template"]["spec"]
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    resources = container()["resources"]
    chips = resources["limits"]["google.com/tpu"]
    assert resources["requests"] == resources["limits"]
    assert job()["parallelism"] == job()["completions"]
    assert job()["completions"] * chips == math.prod(map(int, topology.split("x")))


def test_jobset_restarts_all_hosts_together_and_leaves_time_to_save():
    assert jobset()["spec"]["failurePolicy"]["maxRestarts"] > 0
    assert job()["backoffLimit"] == 0
    pod = job()["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] >= 120


def test_jobset_writes_to_a_bucket_and_mounts_what_it_reads():
    flags = dict(flag.split("=", 1) for flag in container()["args"])
    assert flags["--workdir"].startswith("gs://")
    (mount,) = container()["volumeMounts"]
    read = [value for value in flags.values() if value.startswith("/")]
    assert read and all(path.startswith(mount["mountPath"] + "/") for path in read)
    (volume,) = job()["template"]["spec"]["volumes"]
    assert volume["name"] == mount["name"]
    # Without the annotation nothing mounts a bucket.
    annotations = job()["template"]["metadata"]["annotations"]
    assert annotations == {"gke-gcsfuse/volumes": "true"}


def test_image_copies_what_exists_and_hands_signals_to_python():
    text = (LAUNCH / "Dockerfile").read_text()
    copied = [
        path
        for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE)
        for path in line.split()[:-1]
    ]
    assert {"setup.py", "README.md", "mirrorgan_jax", "configs"} <= set(copied)
    assert all((ROOT / path).exists() for path in copied)
    # A list: with a string a shell would stand between and keep the signal.
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)
    assert json.loads(entry) == ["python", "-m", MAIN]


# SLURM


def slurm_options():
    lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and line[0] != "#")
    # sbatch stops to read options at the first command.
    assert not any(line.startswith("#SBATCH") for line in lines[first:])
    options = [line.split()[1] for line in lines if line.startswith("#SBATCH ")]
    return dict(option.partition("=")[::2] for option in options)


def test_slurm_has_a_task_for_every_gpu_that_sees_all_of_its_node():
    options = slurm_options()
    assert options["--ntasks-per-node"] == options["--gpus-per-node"]
    assert not options.keys() & {"--gpus-per-task", "--gpu-bind", "--ntasks"}


def test_slurm_tells_the_tasks_in_time_and_starts_them_again():
    name, _, seconds = slurm_options()["--signal"].partition("@")
    assert name == "TERM" and int(seconds) >= 120
    assert "--requeue" in slurm_options()


@pytest.mark.parametrize(
    "arguments, variables", [(["--dry-run"], {}), ([], {"DRY_RUN": "1"})]
)
def test_slurm_dry_run_prints_the_command(arguments, variables):
    flags = ["--config=configs/cub.py", "--config.data.source=two words"]
    result = run("slurm.sbatch", *arguments, *flags, **variables)
    assert result.returncode == 0, result.stderr
    start = "srun --cpus-per-task=8 --label python -u -m mirrorgan_jax.main"
    assert shlex.split(result.stdout) == [*start.split(), *flags]


def test_slurm_without_a_configuration_is_an_error():
    result = run("slurm.sbatch", "--workdir=x", "--config.seed=1")
    assert result.returncode == 2 and "--config=" in result.stderr


def test_slurm_job_runs_srun_where_it_was_submitted(tmp_path):
    executable(tmp_path / "bin/srun", '#!/bin/sh\npwd; echo "$@"; exit 5\n')
    result = run(
        "slurm.sbatch",
        "--config=a.py",
        cwd="/",
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        SLURM_JOB_ID="7",
        SLURM_SUBMIT_DIR=str(tmp_path),
        SLURM_CPUS_PER_TASK="3",
    )
    folder, words = result.stdout.splitlines()
    assert (result.returncode, folder) == (5, str(tmp_path))
    assert "--cpus-per-task=3" in words.split()


# Several processes on one machine


def test_local_hosts_dry_run_prints_a_command_for_each():
    commands = dry("local_hosts.sh", "3", "--config=a.py", DEVICES="4", PYTHON="py")
    assert [flags_of_main(command) for command in commands] == [
        [
            "--config=a.py",
            "--coordinator_address=localhost:PORT",
            "--num_processes=3",
            f"--process_id={i}",
        ]
        for i in range(3)
    ]
    start = "env JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=4 py -u -m"
    assert all(command[:6] == start.split() for command in commands)


@pytest.mark.parametrize("number", ["", "0", "two", "--config=a.py"])
def test_local_hosts_needs_a_number(number):
    result = run("local_hosts.sh", *number.split(), "--dry-run")
    assert result.returncode == 2 and "number of processes" in result.stderr


def test_local_hosts_share_a_port_and_end_with_the_worst_status(tmp_path):
    python = executable(tmp_path / "python", FAKE_PYTHON)
    result = run(
        "local_hosts.sh",
        "3",
        "--workdir=a folder",
        PYTHON=str(python),
        LOGS=str(tmp_path / "logs"),
        STATUS_1="9",
        STATUS_2="4",
    )
    assert result.returncode == 9
    assert "process 1 ended with status 9" in result.stderr
    outputs = [result.stdout.splitlines()[-1]] + [
        (tmp_path / f"logs/host_{i}.log").read_text() for i in (1, 2)
    ]
    if not outputs[0].startswith("["):  # the script's own line may come after
        outputs[0] = result.stdout.splitlines()[0]
    calls = [json.loads(output) for output in outputs]
    addresses = {arguments[-3] for arguments, _ in calls}
    assert len(addresses) == 1
    assert re.fullmatch(r"--coordinator_address=localhost:\d+", addresses.pop())
    for arguments, variables in calls:
        assert "--workdir=a folder" in arguments
        assert variables["JAX_PLATFORMS"] == "cpu"
        assert variables["JAX_NUM_CPU_DEVICES"] == "1"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_local_hosts_pass_a_signal_to_all_and_wait(name, tmp_path):
    python = executable(tmp_path / "python", FAKE_PYTHON)
    logs = tmp_path / "logs"
    # Where the tests run in the background SIGINT is ignored, and would stay so.
    heeding = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
        " os.execvp('bash', ['bash', *sys.argv[1:]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", heeding, LAUNCH / "local_hosts.sh", "2"],
        env=environment(PYTHON=str(python), LOGS=str(logs), FOREVER="1", STATUS_1="3"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not process.stdout.readline().startswith("["):  # process 0 runs
            assert process.poll() is None
        wait_for((logs / "host_1.log").read_text)  # so does the other
        process.send_signal(getattr(signal, name))
        output, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert "saved 0" in output
    assert "saved 1" in (logs / "host_1.log").read_text()
    assert process.returncode == 3


# Flags


def launched_flags():
    """Every flag that a launch file gives to main."""
    (slurm,) = dry("slurm.sbatch", "--config=a.py")
    local, _ = dry("local_hosts.sh", "2")
    texts = [(LAUNCH / "quickstart.sh").read_text()]
    texts += [path.read_text() for path in SCRIPTS]
    return {
        *pod_flags(),
        *container()["args"],
        *flags_of_main(slurm),
        *flags_of_main(local),
        # Also the examples in the comments.
        *re.findall(r"--(?:config[.\w]*|workdir|stage)=\S*", "\n".join(texts)),
    }


def test_launch_files_give_main_only_flags_that_it_has():
    from absl import flags

    from mirrorgan_jax.cli import train
    from mirrorgan_jax.settings import base as configs

    values = flags.FlagValues()
    train.define(values)
    names = {flag.partition("=")[0].removeprefix("--") for flag in launched_flags()}
    base = configs.base_config("paper")
    for name in sorted(names):
        if name.startswith("config."):
            value = base
            for key in name.split(".")[1:]:
                assert key in value, name
                value = value[key]
        else:
            assert name == "config" or name in values, name
