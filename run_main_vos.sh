#!/usr/bin/env bash
# The segmentation study: every network with every seed, joint encoding with seed 1 only.
#
#   bash run_main_vos.sh              on DAVIS, with the study's checkpoints in $CHECKPOINTS
#   DEMO=1 bash run_main_vos.sh       on a small synthetic set, with untrained networks
#
# Where the data are: ORIGINAL_DATA_ROOT and STYLIZED_DATA_ROOT, or as configs/*.json say.
# SEEDS, SAVE_DIR and PYTHON may be set as well. What is finished is not computed again; a network
# that fails does not stop the others, and the exit code is 1 if any did.
set -uo pipefail
from_here() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
[ -n "${CHECKPOINTS:-}" ] && CHECKPOINTS=$(from_here "$CHECKPOINTS")
[ -n "${SAVE_DIR:-}" ] && SAVE_DIR=$(from_here "$SAVE_DIR")
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

default_python=python
[ -x .venv/bin/python ] && default_python=.venv/bin/python
python=${PYTHON:-$default_python}
seeds=${SEEDS:-1 2 3 4}
weights=${CHECKPOINTS:-checkpoints_3models_staticdynamic_cvpr22}
save_dir=${SAVE_DIR:-dim_outputs/vos_models}
common=()

# Configuration, checkpoint, clips per forward, and --trained_on, where there are several.
networks=(
  "configs/rtnet_davis.json|$weights/model_RX50.pth|5"
  "configs/matnet_davis.json|$weights/checkpoints_matnet|10"
)
for training in davis taovos imgnetvid; do
  file=latest_twostream_deeplabv3plus_resnet101_${training}_os16.pth
  networks+=("configs/twostreamv3plus_davis.json|$weights/checkpoints_fseg/$file|32|$training")
done

if [ "${DEMO:-0}" != 0 ]; then
  save_dir=${SAVE_DIR:-dim_outputs/vos_demo}
  data=$save_dir/synthetic_davis
  [ -d "$data" ] || "$python" misc/make_synthetic_davis.py "$data" \
    --n_sequences 3 --n_frames 6 --size 64,96 || exit 1
  export ORIGINAL_DATA_ROOT=$data/original STYLIZED_DATA_ROOT=$data/stylized
  common=(--crop_size 64,96 --nreps 1 --num_workers 0)
  echo "DEMO: synthetic sequences and random weights; the numbers say nothing about trained networks"
fi

failed=()
for seed in $seeds; do
  joint=False
  [ "$seed" = 1 ] && joint=True
  for network in "${networks[@]}"; do
    IFS='|' read -r config checkpoint batch training <<<"$network"
    [ "${DEMO:-0}" != 0 ] && checkpoint=random
    echo "== seed $seed: $config ${training:-}"
    "$python" main.py --cfg_file "$config" --checkpoint "$checkpoint" --stg all \
      --batch_size "$batch" --random_seed "$seed" --joint_encoding "$joint" \
      --save_dir "$save_dir" ${training:+--trained_on "$training"} ${common[@]+"${common[@]}"}
    code=$?
    [ "$code" = 130 ] && exit 130
    [ "$code" = 0 ] || failed+=("$config ${training:-} seed $seed")
  done
done

if [ "${#failed[@]}" -gt 0 ]; then
  echo "failed: ${#failed[@]}"
  printf '  %s\n' "${failed[@]}"
  exit 1
fi
echo "all done: $save_dir"
