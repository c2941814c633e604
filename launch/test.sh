#!/usr/bin/env bash
# Makes the environment and runs the tests: 12 minutes on 2 CPU cores. --quick leaves out
# what takes long or starts processes: 2 minutes. Other arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
tests="not slow"
if [ "${1:-}" = --quick ]; then
  tests="not slow and not full and not processes"
  shift
fi
begin=$SECONDS
. launch/environment.sh
environment "[data,test]"
python -m ruff check .
python -m ruff format --check .
# A file stays on one worker, and its networks are compiled once.
python -m pytest -n 2 --dist loadfile -m "$tests" -q "$@"
echo "tests took $(( (SECONDS - begin) / 60 )) min $(( (SECONDS - begin) % 60 )) s"
