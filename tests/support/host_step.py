"""One of several processes: GAN steps on meshes of all their devices.

Run by test_hosts.py; process 0 writes what came out to an .npz file. Arguments:
address, number of processes, number of this one, file, meshes as JSON.
"""

import json
import sys

import numpy as np
from support import mesh_step

from mirrorgan_jax.parallel import hosts
from mirrorgan_jax.parallel import mesh as meshes


def main():
    """Takes the steps and writes the arrays."""
    address, count, number, path, shapes = sys.argv[1:]
    if int(count) > 1:
        hosts.initialize(
            coordinator_address=address,
            num_processes=int(count),
            process_id=int(number),
        )
    found = {}
    for shape in json.loads(shapes):
        mesh = meshes.create_mesh(*shape)
        rows = meshes.local_rows(mesh, mesh_step.ROWS)
        found[f"{tuple(shape)} rows"] = rows
        kept, _ = mesh_step.steps("paper", "gan", mesh)
        for when, trees in zip(("first", "last"), kept, strict=True):
            for part, tree in zip(("state", "metrics"), trees, strict=True):
                for key, value in tree.items():
                    found[f"{tuple(shape)} {when} {part} {key}"] = value
    if hosts.is_first():
        np.savez(path, **found)


if __name__ == "__main__":
    main()
