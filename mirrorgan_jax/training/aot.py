"""Ahead-of-time compilation: what a step needs, on devices that need not exist.

`--compile_only` compiles the step of a stage for the configuration's mesh, on virtual
CPU devices or, with `--topology=v5e:4x4`, for TPU chips through libtpu, and prints
operations, memory and communication of one device.
"""

import dataclasses
import math
import os
import re
import time

import jax

from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.settings import base as configs
from mirrorgan_jax.training import stages
from mirrorgan_jax.training import state as states

# Words of a vocabulary where no data set tells: that of CUB.
NOMINAL_VOCAB = 5450

_KINDS = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute",
    "collective-broadcast", "ragged-all-to-all",
)  # fmt: skip
# An operation with its result: `%x = (f32[8]{0}, f32[4]{0}) all-reduce-start(`.
_OPERATION = re.compile(rf"= (\(.*?\)|\S+) ({'|'.join(_KINDS)})(-start)?\((.*)")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One communication of a compiled step.

    Attributes:
      kind: such as "all-reduce".
      shapes: dimensions of its results on one device.
      bytes: of these results.
    """

    kind: str
    shapes: tuple
    bytes: int


def _bits(dtype):
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8  # pred is a byte


def collectives(hlo):
    """Every `Collective` in the text of a compiled module."""
    found, channels = [], set()
    for match in _OPERATION.finditer(hlo):
        result, kind, started, rest = match.groups()
        # One that runs beside other work is written once in each of its pieces.
        channel = _CHANNEL.search(rest)
        if channel and (kind, channel[1]) in channels:
            continue
        if channel:
            channels.add((kind, channel[1]))
        shapes = [
            (dtype, tuple(int(n) for n in dims.split(",") if n))
            for dtype, dims in _SHAPE.findall(result)
        ]
        # Asynchronous ones that change places or shapes return (operands, results,
        # and scalars of their own).
        if started and kind != "all-reduce":
            shapes = [shape for shape in shapes if shape[1]]
            shapes = shapes[len(shapes) // 2 :]
        size = sum(_bits(dtype) * math.prod(dims) // 8 for dtype, dims in shapes)
        found.append(Collective(kind, tuple(dims for _, dims in shapes), size))
    return found


def gathered_maps(found, side):
    """All-gathers of activations [B, H, W, C] with more than `side` rows and columns.

    The compiler may move the axis of a single image: [H, 1, W, C]. So a map is what
    has two long axes before its channels; kernels [kh, kw, I, O] have one at most.
    """

    def large(dims):
        return len(dims) == 4 and sorted(dims[:3])[1] > side

    return [c for c in found if c.kind == "all-gather" and any(map(large, c.shapes))]


def create_mesh(config, stage, topology=None):
    """The configuration's mesh, of this machine's devices or a topology's chips.

    Args:
      config: the configuration.
      stage: "stem", "stream" or "gan".
      topology: TPU chips such as "v5e:4x4"; None takes `jax.devices()`.

    Raises:
      ValueError: libtpu is missing, or does not know the topology.
    """
    devices = jax.devices() if topology is None else _chips(topology)
    configs.validate(config, num_devices=len(devices), stages=[stage])
    return meshes.create_mesh(config.mesh.data, config.mesh.spatial, devices)


def _chips(topology):
    from jax.experimental import topologies

    # There is no TPU machine here whose metadata could be asked.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    # Its lock is for chips, and compilers for imagined ones may run side by side.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    options = {}
    chips = re.fullmatch(r"\w+:(\d+)x(\d+)", topology)
    if chips and math.prod(int(n) for n in chips.groups()) < 4:
        # Fewer than a host's four: the host must be told to be smaller.
        options["chips_per_host_bounds"] = [int(n) for n in chips.groups()] + [1]
    try:
        return list(
            topologies.get_topology_desc(topology, platform="tpu", **options).devices
        )
    except Exception as error:  # whatever a plugin raises
        text = str(error).splitlines()[0][:200]
        raise ValueError(
            f"--topology={topology}: {text}. It needs libtpu (pip install"
            " 'mirrorgan_jax[tpu]') and a topology that it knows, such as v5e:4x4"
        ) from None


def compile_stage(config, stage, mesh, vocab_size=NOMINAL_VOCAB):
    """The compiled step of a stage; nothing is allocated.

    Args:
      config: the configuration.
      stage: "stem", "stream" or "gan".
      mesh: what `create_mesh` returned.
      vocab_size: V.

    Returns:
      `jax.stages.Compiled`.
    """
    trainer = stages.STAGES[stage].make(config, vocab_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = states.abstract(
        trainer.create, mesh, key, shard_optimizer=config.mesh.shard_optimizer
    )
    frozen = states.abstract(stages.init_frozen(config, stage, vocab_size), mesh, key)
    rows = meshes.batch_sharding(mesh)
    batch = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows)
        for name, leaf in stages.abstract_batch(config, stage).items()
    }
    whole = meshes.replicated(mesh)
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=whole)
    return states.compile_step(trainer.train_step, state, frozen, batch, key, mesh)


def report(compiled):
    """What a compiled step needs of one device.

    Returns:
      dict: `flops`, `bytes_accessed` (of memory), `arguments`, `temporaries` and
      `peak` bytes held, `collectives` {kind: {"number", "bytes"}} as they stand in
      the program, and `gathered_maps`: the shapes gathered that are activations of
      more than 16 rows or columns.
    """
    costs = compiled.cost_analysis() or {}
    if isinstance(costs, list):  # one for each executable
        costs = costs[0]
    memory = compiled.memory_analysis()
    found = collectives(compiled.as_text())
    kinds = {}
    for collective in found:
        row = kinds.setdefault(collective.kind, {"number": 0, "bytes": 0})
        row["number"] += 1
        row["bytes"] += collective.bytes
    arguments, temporaries = memory.argument_size_in_bytes, memory.temp_size_in_bytes
    outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {
        "flops": float(costs.get("flops", math.nan)),
        "bytes_accessed": float(costs.get("bytes accessed", math.nan)),
        "arguments": arguments,
        "temporaries": temporaries,
        "peak": arguments + temporaries + outputs,
        "collectives": kinds,
        "gathered_maps": sorted({c.shapes for c in gathered_maps(found, 16)}),
    }


def _described(stage, config, mesh, values, seconds):
    gib = 2**30
    lines = [
        f"{stage}: batch {config[stage].batch_size} on {mesh.size}"
        f" {mesh.devices.flat[0].device_kind}, {dict(mesh.shape)},"
        f" compiled in {seconds:.0f} s; for each device:",
        f"  {values['flops'] / 1e9:,.1f} GFLOP,"
        f" {values['bytes_accessed'] / gib:.2f} GiB of memory traffic",
        f"  {values['peak'] / gib:.2f} GiB held at most: arguments"
        f" {values['arguments'] / gib:.2f}, temporaries"
        f" {values['temporaries'] / gib:.2f}",
    ]
    for kind, row in sorted(values["collectives"].items()):
        lines.append(f"  {row['number']} {kind}: {row['bytes'] / 2**20:.1f} MiB")
    if not values["collectives"]:
        lines.append("  no communication")
    if values["gathered_maps"]:
        lines.append(f"  activations gathered: {values['gathered_maps']}")
    return "\n".join(lines)


def run(config, stage, *, topology=None):
    """Compiles a stage's step and prints what it needs; returns the report."""
    mesh = create_mesh(config, stage, topology)
    begin = time.perf_counter()
    compiled = compile_stage(config, stage, mesh)
    seconds = time.perf_counter() - begin
    values = {**report(compiled), "seconds": seconds}
    print(_described(stage, config, mesh, values, seconds), flush=True)
    return values
