"""A door: `python -m mirrorgan_jax.report` is `mirrorgan report`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("mirrorgan_jax.cli.report", run_name="__main__", alter_sys=True)
