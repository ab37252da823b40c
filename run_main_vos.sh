#!/usr/bin/env bash
# The segmentation study: every network with every seed, joint encoding with seed 1 only.
#
#   bash run_main_vos.sh              on DAVIS, with the study's checkpoints in $CHECKPOINTS
#   DEMO=1 bash run_main_vos.sh       on a small synthetic set, with untrained networks: 1 minute
#
# Where the data are: ORIGINAL_DATA_ROOT and STYLIZED_DATA_ROOT, or as configs/*.json say.
# SEEDS, SAVE_DIR and PYTHON may be set as well. --help shows the options of
# misc/run_main_vos.py, which this calls.
set -euo pipefail
from_here() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
options=()
[ -n "${CHECKPOINTS:-}" ] && options+=(--checkpoints "$(from_here "$CHECKPOINTS")")
[ -n "${SAVE_DIR:-}" ] && options+=(--save_dir "$(from_here "$SAVE_DIR")")
[ -n "${SEEDS:-}" ] && options+=(--seeds "${SEEDS// /,}")
if [ "${DEMO:-0}" != 0 ]; then
  options+=(--demo)
  [ -n "${SAVE_DIR:-}" ] || options+=(--save_dir dim_outputs/vos_demo)
fi
# Relative paths start where this was called.
[ -n "${ORIGINAL_DATA_ROOT:-}" ] && export ORIGINAL_DATA_ROOT="$(from_here "$ORIGINAL_DATA_ROOT")"
[ -n "${STYLIZED_DATA_ROOT:-}" ] && export STYLIZED_DATA_ROOT="$(from_here "$STYLIZED_DATA_ROOT")"
case ${PYTHON:-} in */*) PYTHON=$(from_here "$PYTHON") ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")"
default_python=python
[ -x .venv/bin/python ] && default_python=.venv/bin/python
exec "${PYTHON:-$default_python}" misc/run_main_vos.py ${options[@]+"${options[@]}"} "$@"
