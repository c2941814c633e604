#!/usr/bin/env bash
# Trains on a Cloud TPU slice, whatever its number of hosts. From your own machine:
#
#   launch/tpu_pod.sh create           asks for the TPU: in the queue, at once if QUEUED=0
#   launch/tpu_pod.sh status           ACTIVE or READY: it is there
#   launch/tpu_pod.sh install          copies the commit HEAD to every host, installs it
#   launch/tpu_pod.sh run [FLAGS]      starts training on every host; FLAGS go to main
#   launch/tpu_pod.sh resume [FLAGS]   the same: training goes on where it stopped
#   launch/tpu_pod.sh logs             follows the log of host number WORKER (0)
#   launch/tpu_pod.sh stop             SIGTERM: the hosts save the same step and end
#   launch/tpu_pod.sh ssh COMMAND      runs a command on every host
#   launch/tpu_pod.sh delete           gives the TPU back
#
# --dry-run anywhere prints the commands and runs nothing. Environment: ZONE, and for
# run WORKDIR, have no default; NAME, PROJECT (gcloud's), ACCELERATOR_TYPE,
# RUNTIME_VERSION (the type's), SPOT (0), QUEUED (1), CONFIG and WORKER have one.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "error: $*" >&2; exit 2; }

need() { [ -n "${!1:-}" ] || fail "$1 is not set: $2"; }

quote() {  # The words as a shell would read them again.
  local word out=""
  for word in "$@"; do
    case $word in
      ""|*[!A-Za-z0-9_./:=@%+,-]*)
        word="'$(printf %s "$word" | sed "s/'/'\\\\''/g")'" ;;
    esac
    out="$out${out:+ }$word"
  done
  printf %s "$out"
}

tpus() {  # A command of gcloud, run or printed; flags that all have come last.
  set -- gcloud compute tpus "$@" --zone="$ZONE" ${PROJECT:+--project="$PROJECT"}
  if [ -n "$dry" ]; then quote "$@"; echo; else "$@"; fi
}

on() { tpus tpu-vm ssh "$NAME" --worker="$1" --command="$2"; }

dry="" action="" flags=()
for word in "$@"; do
  if [ "$word" = --dry-run ]; then dry=1
  elif [ -z "$action" ]; then action=$word
  else flags+=("$word"); fi
done
# What is missing is said before anything runs.
case $action in
  create|status|install|run|resume|logs|stop|ssh|delete) ;;
  *) fail "the command is create, status, install, run, resume, logs, stop, ssh or" \
       "delete, not '$action'" ;;
esac
need ZONE "where the TPU is, such as us-west4-a"
NAME=${NAME:-mirrorgan}
type=${ACCELERATOR_TYPE:-v5litepod-16}
case $type in
  v5litepod-*) runtime=v2-alpha-tpuv5-lite ;;
  v5p-*) runtime=v2-alpha-tpuv5 ;;
  v6e-*) runtime=v2-alpha-tpuv6e ;;
  v[234]-*) runtime=tpu-ubuntu2204-base ;;
  *) runtime="" ;;
esac
RUNTIME_VERSION=${RUNTIME_VERSION:-$runtime}
spot=""; [ "${SPOT:-0}" = 0 ] || spot=--spot
queued=1; [ "${QUEUED:-1}" != 0 ] || queued=""
alive="kill -0 \$(cat run.pid) 2>/dev/null"  # on a host: whether it trains

case $action in
  create)
    need RUNTIME_VERSION "no default is known for ACCELERATOR_TYPE=$type"
    if [ -n "$queued" ]; then
      tpus queued-resources create "$NAME" --node-id="$NAME" \
        --accelerator-type="$type" --runtime-version="$RUNTIME_VERSION" $spot
    else
      tpus tpu-vm create "$NAME" \
        --accelerator-type="$type" --version="$RUNTIME_VERSION" $spot
    fi ;;
  status)
    if [ -n "$queued" ]; then
      tpus queued-resources describe "$NAME" --format="value(state.state)"
    else tpus tpu-vm describe "$NAME" --format="value(state)"; fi ;;
  install)
    archive=runs/mirrorgan_jax.tar.gz
    [ -n "$dry" ] || { mkdir -p runs; git archive --format=tar.gz -o "$archive" HEAD; }
    tpus tpu-vm scp "$archive" "$NAME:" --worker=all
    # The image's own Python may be too old for jax: uv brings one.
    on all "mkdir -p mirrorgan_jax && tar xzf mirrorgan_jax.tar.gz -C mirrorgan_jax \
&& cd mirrorgan_jax && { [ -x .venv/bin/python ] || { python3 -m pip install --user \
--quiet uv && python3 -m uv venv --seed --python=3.12 .venv; }; } \
&& .venv/bin/python -m pip install --quiet 'jax[tpu]' -e '.[data]'" ;;
  run|resume)
    need WORKDIR "a folder that every host can write, such as gs://bucket/run"
    main="-m mirrorgan_jax.main $(quote --config="${CONFIG:-configs/cub.py}" \
      --workdir="$WORKDIR" ${flags[@]+"${flags[@]}"})"
    on all "cd mirrorgan_jax && touch run.pid && if $alive; then \
echo error: it already runs; exit 1; fi && { PYTHONUNBUFFERED=1 nohup \
.venv/bin/python $main >>run.log 2>&1 </dev/null & echo \$! >run.pid; }" ;;
  logs) on "${WORKER:-0}" "tail -n 100 -F mirrorgan_jax/run.log" ;;
  stop)
    on all "cd mirrorgan_jax && kill \$(cat run.pid) 2>/dev/null; \
while $alive; do sleep 1; done; tail -n 1 run.log" ;;
  ssh) on all "${flags[*]-}" ;;
  delete)
    if [ -n "$queued" ]; then tpus queued-resources delete "$NAME" --force --quiet
    else tpus tpu-vm delete "$NAME" --quiet; fi ;;
esac
