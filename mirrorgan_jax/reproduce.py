"""A door: `python -m mirrorgan_jax.reproduce` is `mirrorgan reproduce`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("mirrorgan_jax.cli.reproduce", run_name="__main__", alter_sys=True)
