#!/usr/bin/env bash
# Makes the environment and runs the tests: 18 minutes on 2 CPU cores the first time,
# less when the compile cache is warm. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
begin=$SECONDS
. launch/environment.sh
environment "[data,test]"
python -m ruff check .
python -m ruff format --check .
python -m pytest -m "not slow" -q "$@"
echo "tests took $(( (SECONDS - begin) / 60 )) min $(( (SECONDS - begin) % 60 )) s"
