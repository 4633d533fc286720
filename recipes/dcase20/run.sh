#!/usr/bin/env bash
# DCASE 2020 task 1B: three classes within 500 KB. The frequency-damped network, trained with cross-entropy, Self-KD, MSD
# or MrKD, with and without Mixup (Table 8 of the paper), then compressed until it fits, counted and packed.
#
#   bash recipes/dcase20/run.sh [--data DIR] [--stage N] [--stop-stage N] [--method NAME] [--seeds 0-3] [--out DIR]
#                               [--conf NAME] [--evaluation DIR] [--label LABEL] [--list] [--dry-run] [key=value ...]
#
# --data DIR        TAU-urban-acoustic-scenes-2020-3class-development as unpacked; without it, built-in scenes
# --conf NAME       reduced, paper, pruned or decomposed (conf/NAME.yaml); default: paper where there is a GPU and --data,
#                   else reduced
# --method NAMES    of `asc-mrkd methods`, and with Mixup as in ce_mixup; default: ce, pskd, msd and mrkd, each without
#                   and with Mixup, with the reduced settings ce,mrkd; the last one is submitted
# --evaluation DIR  recordings of the evaluation set for the submission; without it, a rehearsal on the test clips
# --label LABEL     of the submission: Lastname_INSTITUTE_task1b_N
# key=value         as in model.options.damping=0.01; the challenge used 0.1

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
title=dcase20 layout=tau2020-3class folder=TAU-urban-acoustic-scenes-2020-3class-development lists=csv
known_methods=ce,ce_mixup,pskd,pskd_mixup,msd,msd_mixup,mrkd,mrkd_mixup
extra=deploy rule=dcase2020-task1b
# shellcheck source=recipes/common/recipe.sh
source "$here/../common/recipe.sh"
# shellcheck source=recipes/common/scenes.sh
source "$here/../common/scenes.sh"
parse_options "$@"
scene_settings
scene_stages
fitted=$out/$conf/fitted/${entry##*/}
! stage 6 "compress until it fits" || run asc-mrkd fit-budget "$entry" --rule $rule --out "$fitted"
! stage 7 "an int8 network for a board" || run asc-mrkd compress "$entry" int8 --rule $rule --out "$out/$conf/int8/${entry##*/}"
! stage 8 "check the size" || run asc-mrkd check-budget "$fitted" --rule $rule
submission_stages 9 "$fitted" $rule Yourname_INST_task1b_1
