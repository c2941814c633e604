#!/usr/bin/env bash
# A pod in small: N processes on this machine, joined as N hosts would be.
#
#   launch/local_hosts.sh 2 --config=configs/toybirds.py --workdir=runs/two
#   DEVICES=4 launch/local_hosts.sh 2 ...    4 virtual CPU devices in each process
#   launch/local_hosts.sh 2 --dry-run ...    prints the commands
#
# Process 0 writes here, process I into LOGS/host_I.log (runs/local_hosts). SIGTERM and
# Ctrl-C go to all of them. The status is the worst of theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
hosts=${1:-}
case $hosts in
  ""|0*|*[!0-9]*)
    echo "error: the first argument is the number of processes, not '$hosts'" >&2
    exit 2 ;;
esac
shift
dry="" flags=()
for word in "$@"; do
  if [ "$word" = --dry-run ]; then dry=1; else flags+=("$word"); fi
done
python=${PYTHON:-python}
if [ -z "${PYTHON:-}" ] && [ -x .venv/bin/python ]; then python=.venv/bin/python; fi
logs=${LOGS:-runs/local_hosts}
port=PORT
if [ -z "$dry" ]; then
  mkdir -p "$logs"
  port=$("$python" -c 'import socket
with socket.socket() as free: free.bind(("localhost", 0)); print(free.getsockname()[1])')
fi

pids=() signalled="" stopped=""
trap 'signalled=1 stopped=1; kill ${pids[@]+"${pids[@]}"} 2>/dev/null || true' INT TERM
for ((i = 0; i < hosts; i++)); do
  [ -z "$stopped" ] || break
  set -- env JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES="${DEVICES:-1}" \
    "$python" -u -m mirrorgan_jax.main ${flags[@]+"${flags[@]}"} \
    --coordinator_address="localhost:$port" --num_processes="$hosts" --process_id="$i"
  if [ -n "$dry" ]; then printf '%q ' "$@"; echo; continue; fi
  if [ "$i" = 0 ]; then "$@" & else "$@" >"$logs/host_$i.log" 2>&1 & fi
  pids+=($!)
done
[ -z "$dry" ] || exit 0
[ "$hosts" = 1 ] || echo "processes 1 to $((hosts - 1)) write into $logs/host_*.log"

worst=0
for ((i = 0; i < ${#pids[@]}; i++)); do
  # A signal ends the wait, not the process: then wait again. When one dies the others
  # are left alone: they notice within the heartbeat timeout and stop.
  while :; do
    signalled="" status=0
    wait "${pids[i]}" || status=$?
    [ -n "$signalled" ] || break
  done
  [ "$status" = 0 ] || echo "process $i ended with status $status" >&2
  if [ "$status" -gt "$worst" ]; then worst=$status; fi
done
exit "$worst"
