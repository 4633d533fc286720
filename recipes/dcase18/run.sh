#!/usr/bin/env bash
# DCASE 2018 task 1A: CP-ResNet trained with cross-entropy, MrKD or one of its rivals, with and without Mixup.
#
#   bash recipes/dcase18/run.sh [OPTION ...] [key=value ...]
#
# --data DIR        TUT-urban-acoustic-scenes-2018-development as unpacked; default: built-in scenes
# --conf NAME       reduced, paper or cpjku (conf/NAME.yaml); default: paper with --data and a GPU, else reduced
# --method NAMES    methods of `asc-mrkd methods`, each also with Mixup, as in ce_mixup; default: ce,mrkd with the reduced
#                   settings, else ce,ce_mixup,mrkd,mrkd_mixup; the last one is submitted
# --evaluation DIR  recordings of the evaluation set, for the submission; default: a rehearsal on the test clips
# --label LABEL     label of the submission: Lastname_INSTITUTE_task1a_N

# shellcheck source=recipes/common/recipe.sh
source "$(dirname "$(readlink -f "$0")")/../common/recipe.sh"
parse_options "--conf --method --evaluation --label" "$@"
choose_settings dcase18 scenes/TUT-urban-acoustic-scenes-2018-development ce,ce_mixup,mrkd,mrkd_mixup
use_environment
require_methods "${methods[@]%_mixup}"
require_settings set_scene_training

if [ "$built_in" = true ]; then
    stage 1 "make the built-in scenes" asc-mrkd make-scenes "$out/scenes" --layout tut2018
fi
stage 2 "check the data set" asc-mrkd check-data "$data" --spec pmel256
stage 3 "extract the features" asc-mrkd extract-features --data "$data" --spec pmel256 --out "$out/store"
for name in "${methods[@]}"; do
    set_scene_training "$name"
    stage 4 "train" asc-mrkd train "$experiment" "${training[@]}" --out "$out/$conf/$name"
done
for name in "${methods[@]}"; do
    stage 5 "score the test clips" asc-mrkd evaluate "$out/$conf/$name"
done

entry=${runs[${#runs[@]} - 1]} # the run of the last method
submission=$out/submission
label=${label:-Yourname_INST_task1a_1}
stage_that_may_fail 6 "check the size (500 KB; DCASE 2018 has no limit, 2020 had this one)" \
    asc-mrkd check-budget "$entry" --rule dcase2020-task1b --precision float16
if [ -n "$evaluation" ]; then
    stage 7 "make the submission" asc-mrkd submit make "$entry" --task dcase2018-task1a --label "$label" \
        --out "$submission" --audio "$evaluation"
    stage 8 "check the submission" asc-mrkd submit check "$submission" --task dcase2018-task1a
else
    stage 7 "make the submission" asc-mrkd submit make "$entry" --task dcase2018-task1a --label "$label" \
        --out "$submission"
    stage 8 "check the submission" asc-mrkd submit check "$submission" --task dcase2018-task1a \
        --files "$data/evaluation_setup/fold1_test.txt"
fi
stage 9 "report" asc-mrkd report "${runs[@]}" --recordings "$data" --out "$out/report.html"
