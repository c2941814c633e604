#!/usr/bin/env bash
# Trains the model that the package ships and writes it into the package: about an hour
# on 2 CPU cores; run again, it goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh
environment "[data]"
keep_memory
mirrorgan train --config=toybirds_hour "$@"
mirrorgan export --workdir=runs/toybirds_hour --out=mirrorgan_jax/pretrained/toybirds \
  --without=image_encoder --license=apache-2.0 --license_file=LICENSE \
  --made="Command: mirrorgan train --config=toybirds_hour (launch/shipped_model.sh)"
