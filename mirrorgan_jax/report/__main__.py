"""`python -m mirrorgan_jax.report --workdir=runs/toybirds`: writes the page."""

import sys

from mirrorgan_jax.report import page

if __name__ == "__main__":
    sys.exit(page.main())
