"""A door: `python -m mirrorgan_jax.main` is `mirrorgan train`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("mirrorgan_jax.cli.train", run_name="__main__", alter_sys=True)
