# Sourced by quickstart.sh and test.sh: makes or updates .venv and activates it.
# Usage: environment EXTRAS, such as "[data]" or "[data,test]". CONSTRAINTS names a file
# with versions, constraints.txt where it is not set; CONSTRAINTS= takes the newest.
environment() {
  local python=""
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c \
        'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
    then python=$candidate; break; fi
  done
  if [ -z "$python" ]; then
    echo "error: Python 3.11, 3.12 or 3.13 is needed and none was found; PYTHON=... names one" >&2
    return 1
  fi
  # What setup.py and the constraints ask for decides whether it is up to date.
  local versions="${CONSTRAINTS-constraints.txt}" wanted
  wanted="$(cat setup.py ${versions:+"$versions"} | cksum)"
  if [ ! -x .venv/bin/python ] || [ "$(cat ".venv/installed$1" 2>/dev/null)" != "$wanted" ]; then
    echo "installing into .venv with $($python --version): 1 to 3 minutes"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      ${versions:+-c "$versions"} -e ".$1"
    echo "$wanted" > ".venv/installed$1"
  else
    echo "environment .venv is up to date"
  fi
  . .venv/bin/activate
}

# On a CPU every training step would give its memory back and fault it in again: one
# heap that keeps what it has, in large pages. No effect on accelerators, or where the
# C library is not glibc.
keep_memory() {
  local keep="glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0"
  keep="$keep:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1"
  export GLIBC_TUNABLES="${GLIBC_TUNABLES:-$keep}"
}
