"""A door: `python -m mirrorgan_jax.figures` is `mirrorgan figures`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("mirrorgan_jax.cli.figures", run_name="__main__", alter_sys=True)
