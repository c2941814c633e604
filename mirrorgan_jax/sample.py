"""A door: `python -m mirrorgan_jax.sample` is `mirrorgan sample`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("mirrorgan_jax.cli.sample", run_name="__main__", alter_sys=True)
