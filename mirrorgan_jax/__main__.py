"""A door: `python -m mirrorgan_jax VERB` is `mirrorgan VERB`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("mirrorgan_jax.cli.verbs", run_name="__main__", alter_sys=True)
