#!/usr/bin/env bash
# From a fresh clone to generated birds: environment, toybirds, the three stages of
# training, evaluation. 16 minutes on 2 CPU cores; run again, it goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
begin=$SECONDS
. launch/environment.sh
environment "[data]"
keep_memory
echo "training on toybirds into runs/toybirds: about 15 minutes on 2 cores"
python -m mirrorgan_jax.main --config=configs/toybirds.py "$@"
echo "quickstart took $(( (SECONDS - begin) / 60 )) min $(( (SECONDS - begin) % 60 )) s"
