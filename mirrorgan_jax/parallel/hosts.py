"""The processes of a run: how they find one another, who speaks, how all stop."""

import itertools
import os
import signal
import sys
import threading

import jax
from jax.experimental import multihost_utils

MODES = ("auto", "on", "off")


class Terminated(BaseException):
    """SIGTERM arrived: what was running is saved, the process should exit 0."""


def initialize(
    mode="auto",
    *,
    coordinator_address=None,
    num_processes=None,
    process_id=None,
    heartbeat_timeout_seconds=30,
):
    """Joins the processes of a run; call it before anything else of jax.

    Args:
      mode: "auto" joins where a cluster is found (Cloud TPU, GKE, SLURM, Open MPI) or
        the other arguments describe one; "on" demands it; "off" never joins.
      coordinator_address: HOST:PORT of process 0.
      num_processes: processes of the run.
      process_id: number of this one.
      heartbeat_timeout_seconds: a process that is silent for so long is dead, and the
        others stop.

    Raises:
      ValueError: `mode` is unknown, "on" finds no cluster, or only a part of the three
        arguments that describe one is given.
    """
    if mode not in MODES:
        raise ValueError(f"--distributed={mode}: allowed are {', '.join(MODES)}")
    given = (coordinator_address, num_processes, process_id)
    described = [value is not None for value in given]
    if any(described) and not all(described):
        raise ValueError(
            "--coordinator_address, --num_processes and --process_id describe a"
            " cluster together: give all three or none"
        )
    if mode == "off":
        if any(described):
            raise ValueError("--distributed=off: --coordinator_address has no meaning")
        return
    options = {"heartbeat_timeout_seconds": heartbeat_timeout_seconds}
    if all(described):
        options |= {
            "coordinator_address": coordinator_address,
            "num_processes": num_processes,
            "process_id": process_id,
            # All of this process's devices, whatever cluster is around.
            "cluster_detection_method": "deactivate",
        }
    try:
        jax.distributed.initialize(**options)
    except ValueError as error:
        if all(described) or "coordinator_address" not in str(error):
            raise
        if mode == "on":
            raise ValueError(
                "--distributed=on: no cluster found (Cloud TPU, GKE, SLURM, Open MPI);"
                " describe it with --coordinator_address=HOST:PORT --num_processes=N"
                " --process_id=I"
            ) from None
    if jax.process_count() > 1 and jax.default_backend() == "cpu":
        # A program out of the cache has its collectives in another order than the one
        # just compiled, and on CPUs only the first process finds its own in there.
        jax.config.update("jax_enable_compilation_cache", False)


def is_first():
    """Whether this process writes logs, metrics and pictures for all."""
    return jax.process_index() == 0


def say(text):
    """Prints a line, on the first process alone."""
    if is_first():
        print(text, flush=True)


# Errors of the runtime that no other process can be the cause of.
_OWN_FAULTS = ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "UNIMPLEMENTED")


def lost(error):
    """A sentence on an error that the death of another process causes, or None."""
    if jax.process_count() == 1 or not isinstance(error, jax.errors.JaxRuntimeError):
        return None
    if str(error).startswith(_OWN_FAULTS):
        return None
    return (
        f"process {jax.process_index()} of {jax.process_count()} lost another one"
        f" ({str(error).splitlines()[0][:200]}). What is saved is complete; start all"
        " processes again and the same command goes on"
    )


# Calls of `Preemption.reached`, the same number on every process at the same step.
_CALLS = itertools.count(1)


class Preemption:
    """Says after which step to stop, on all processes the same.

    On a single process SIGTERM sets a flag. On several, jax's preemption service hears
    the signal, on whichever process it arrives, and agrees with the others on a step.
    """

    def __init__(self):
        self._requested = False
        self._several = jax.process_count() > 1

    def __enter__(self):
        main = threading.current_thread() is threading.main_thread()
        self._handles = main and not self._several
        if self._handles:
            self._previous = signal.signal(signal.SIGTERM, self._request)
        return self

    def _request(self, *unused):
        self._requested = True

    def __exit__(self, *unused):
        if self._handles:
            signal.signal(signal.SIGTERM, self._previous)

    def reached(self):
        """Whether to save and stop now; call it once a step on every process."""
        if self._several and not self._requested:
            self._requested = multihost_utils.reached_preemption_sync_point(
                next(_CALLS)
            )
        return self._requested


def stop_between_stages():
    """Makes SIGTERM raise `Terminated` while no stage trains, on a single process."""

    def terminate(*unused):
        raise Terminated("stopped between two stages")

    if jax.process_count() == 1:
        signal.signal(signal.SIGTERM, terminate)


def leave(status):
    """Ends this process of several at once, without waiting for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
