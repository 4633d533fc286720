#!/usr/bin/env bash
# DCASE 2020 task 1B: three classes within 500 KB. The frequency-damped network, trained with cross-entropy, Self-KD, MSD
# or MrKD, with and without Mixup (Table 8 of the paper), then compressed until it fits, counted and packed.
#
#   bash recipes/dcase20/run.sh [OPTION ...] [key=value ...]
#
# --data DIR        TAU-urban-acoustic-scenes-2020-3class-development as unpacked; default: built-in scenes
# --conf NAME       reduced, paper, pruned or decomposed (conf/NAME.yaml); default: paper with --data and a GPU,
#                   else reduced
# --method NAMES    methods of `asc-mrkd methods`, each also with Mixup, as in ce_mixup; default: ce,mrkd with the reduced
#                   settings, else ce, pskd, msd and mrkd without and with Mixup; the last one is submitted
# --evaluation DIR  recordings of the evaluation set, for the submission; default: a rehearsal on the test clips
# --label LABEL     label of the submission: Lastname_INSTITUTE_task1b_N

# shellcheck source=recipes/common/recipe.sh
source "$(dirname "$(readlink -f "$0")")/../common/recipe.sh"
parse_options "--conf --method --evaluation --label" "$@"
choose_settings dcase20 scenes/TAU-urban-acoustic-scenes-2020-3class-development \
    ce,ce_mixup,pskd,pskd_mixup,msd,msd_mixup,mrkd,mrkd_mixup
use_environment deploy
require_methods "${methods[@]%_mixup}"
require_settings set_scene_training

if [ "$built_in" = true ]; then
    stage 1 "make the built-in scenes" asc-mrkd make-scenes "$out/scenes" --layout tau2020-3class
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
name=${entry##*/}
fitted=$out/$conf/fitted/$name
submission=$out/submission
label=${label:-Yourname_INST_task1b_1}
stage 6 "compress until it fits" asc-mrkd fit-budget "$entry" --rule dcase2020-task1b --out "$fitted"
stage 7 "an int8 network for a board" \
    asc-mrkd compress "$entry" int8 --rule dcase2020-task1b --out "$out/$conf/int8/$name"
stage 8 "check the size" asc-mrkd check-budget "$fitted" --rule dcase2020-task1b
if [ -n "$evaluation" ]; then
    stage 9 "make the submission" asc-mrkd submit make "$fitted" --task dcase2020-task1b --label "$label" \
        --out "$submission" --audio "$evaluation"
    stage 10 "check the submission" asc-mrkd submit check "$submission" --task dcase2020-task1b
else
    stage 9 "make the submission" asc-mrkd submit make "$fitted" --task dcase2020-task1b --label "$label" \
        --out "$submission"
    stage 10 "check the submission" asc-mrkd submit check "$submission" --task dcase2020-task1b \
        --files "$data/evaluation_setup/fold1_test.csv"
fi
stage 11 "report" asc-mrkd report "${runs[@]}" --recordings "$data" --out "$out/report.html"
