#!/usr/bin/env bash
# DCASE 2018 task 1A: CP-ResNet trained with cross-entropy, MrKD or one of its rivals, with and without Mixup.
#
#   bash recipes/dcase18/run.sh [--data DIR] [--stage N] [--stop-stage N] [--method NAME] [--seeds 0-3] [--out DIR]
#                               [--conf NAME] [--evaluation DIR] [--label LABEL] [--list] [--dry-run] [key=value ...]
#
# --data DIR        TUT-urban-acoustic-scenes-2018-development as unpacked; without it, built-in scenes
# --conf NAME       reduced, paper or cpjku (conf/NAME.yaml); default: paper where there is a GPU and --data, else reduced
# --method NAMES    of `asc-mrkd methods`, and with Mixup as in ce_mixup; default: ce,ce_mixup,mrkd,mrkd_mixup, with the
#                   reduced settings ce,mrkd; the last one is submitted
# --evaluation DIR  recordings of the evaluation set for the submission; without it, a rehearsal on the test clips
# --label LABEL     of the submission: Lastname_INSTITUTE_task1a_N

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
title=dcase18 layout=tut2018 folder=TUT-urban-acoustic-scenes-2018-development lists=txt
known_methods=ce,ce_mixup,mrkd,mrkd_mixup
# shellcheck source=recipes/common/recipe.sh
source "$here/../common/recipe.sh"
# shellcheck source=recipes/common/scenes.sh
source "$here/../common/scenes.sh"
parse_options "$@"
scene_settings
scene_stages
! stage 6 "check the size (500 KB; DCASE 2018 has no limit, 2020 had this one)" ||
    run asc-mrkd check-budget "$entry" --rule dcase2020-task1b --precision float16 || [ $? -eq 1 ]
submission_stages 7 "$entry" dcase2018-task1a Yourname_INST_task1a_1
