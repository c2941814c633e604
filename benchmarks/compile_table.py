"""What the GAN step needs of TPU chips that need not exist, as a Markdown table.

    python benchmarks/compile_table.py --config=configs/cub.py --topology=v5e \
        --rows=1x1:16,8x1:64,8x2:16

A row is DATAxSPATIAL:BATCH, the mesh and the global batch. Compiling one takes
minutes of a CPU core. `--damsm` compiles the DAMSM loss and its gradient alone, at the
batch's size, 289 regions and the configuration's words.
"""

import os
import time

import jax
import jax.numpy as jnp
from absl import app, flags
from ml_collections import config_flags

from mirrorgan_jax.losses import damsm
from mirrorgan_jax.parallel import mesh as meshes
from mirrorgan_jax.training import aot

_REGIONS = 289

# Sides of the slices by number of chips.
_SLICES = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 256: "16x16"}


def _damsm(config, mesh):
    """The compiled DAMSM loss with its gradient, rows over `data`."""
    c, rows = config.stem, config.gan.batch_size
    words, dim = config.text.num_words, c.word_dim
    shapes = {
        "regions": (rows, _REGIONS, dim), "words": (rows, words, dim),
        "word_mask": (rows, words), "code": (rows, dim), "sentence": (rows, dim),
        "class_id": (rows,),
    }  # fmt: skip
    types = {"word_mask": bool, "class_id": jnp.int32}
    place = meshes.batch_sharding(mesh)
    arrays = {
        name: jax.ShapeDtypeStruct(shape, types.get(name, jnp.float32), sharding=place)
        for name, shape in shapes.items()
    }
    learned = {k: arrays.pop(k) for k in ("regions", "words", "code", "sentence")}

    def loss(learned, rest):
        gammas = {"gamma1": c.gamma1, "gamma2": c.gamma2, "gamma3": c.gamma3}
        return damsm.damsm_loss(**learned, **rest, **gammas)[0]

    placed = jax.tree.map(lambda leaf: leaf.sharding, learned)
    function = jax.jit(jax.value_and_grad(loss), out_shardings=(None, placed))
    with jax.set_mesh(mesh):
        return function.lower(learned, arrays).compile()


def _mebibytes(size):
    found = round(size / 2**20)
    return f"{found} MiB" if found else "under 1 MiB"


def row(name, config, *, topology, only_damsm):
    """One line of the table.

    Args:
      name: DATAxSPATIAL:BATCH.
      config: the configuration.
      topology: kind of TPU chips.
      only_damsm: the DAMSM loss instead of the step.
    """
    shape, batch = name.split(":")
    data, spatial = (int(n) for n in shape.split("x"))
    config = config.copy_and_resolve_references()
    config.mesh.data, config.mesh.spatial = data, spatial
    config.gan.batch_size = int(batch)
    mesh = aot.create_mesh(config, "gan", f"{topology}:{_SLICES[data * spatial]}")
    begin = time.perf_counter()
    compiled = (
        _damsm(config, mesh) if only_damsm else aot.compile_stage(config, "gan", mesh)
    )
    seconds = time.perf_counter() - begin
    found = aot.report(compiled)
    kinds = ", ".join(
        f"{size['number']} {kind} {_mebibytes(size['bytes'])}"
        for kind, size in sorted(found["collectives"].items())
    )
    gathered = "; ".join(str(list(shapes)) for shapes in found["gathered_maps"])
    return (
        f"| {data}x{spatial} | {batch} | {found['flops'] / 1e9:,.0f}"
        f" | {found['peak'] / 2**30:.2f} | {kinds or 'none'} | {gathered or 'none'}"
        f" | {seconds:.0f} |"
    )


def table(names, config, **options):
    """Prints the table, a row as soon as it is known; options are those of `row`."""
    print(
        "| mesh | batch | GFLOP a chip | GiB a chip | communication a chip"
        " | gathered maps above 16x16 | seconds to compile |\n" + "| --- " * 7 + "|"
    )
    for name in names:
        print(row(name, config, **options), flush=True)


def _main(argv):
    del argv
    # The host computes nothing; its accelerators, if any, are left alone.
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    jax.config.update("jax_platforms", "cpu")
    options = {"topology": TOPOLOGY.value, "only_damsm": DAMSM.value}
    table(ROWS.value, CONFIG.value, **options)


if __name__ == "__main__":
    CONFIG = config_flags.DEFINE_config_file("config", "configs/cub.py")
    TOPOLOGY = flags.DEFINE_string("topology", "v5e", "Kind of TPU chips.")
    ROWS = flags.DEFINE_list("rows", ["8x1:16"], "DATAxSPATIAL:BATCH, ...")
    DAMSM = flags.DEFINE_boolean("damsm", False, "The DAMSM loss instead of the step.")
    app.run(_main)
