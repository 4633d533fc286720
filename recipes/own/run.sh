#!/usr/bin/env bash
# Your own recordings, in a folder per class or a table: train networks of a fitting size, and compare them in a report.
#
#   bash recipes/own/run.sh [--data FOLDER_OR_TABLE] [OPTION ...] [key=value ...]
#
# --data PATH       a folder per class, or a table (.csv, .tsv, .parquet); default: built-in scenes
# --method NAMES    methods of `asc-mrkd methods`; default: ce,mrkd
# --folds N         cross-validate with N folds instead of one split
# --path-column, --label-column, --group-column, --split-column, --fold-column, --start-column NAME
#                   columns of the table; default: usual names
# --root DIR        folder that the file names of the table start from
# --test-fold NAME  fold of the table to test on
# --test-share S    share of the clips to test on, if a split has to be made; default: 0.25
# --clip-seconds S  length of a clip; longer recordings are cut; default: one that fits the recordings
# --hop-seconds S   time from the start of a clip to that of the next one; default: the length of a clip
# --short WORD      repeat, pad or refuse recordings that are shorter than a clip; default: repeat

# shellcheck source=recipes/common/recipe.sh
source "$(dirname "$(readlink -f "$0")")/../common/recipe.sh"
columns="--path-column --label-column --group-column --split-column --fold-column --start-column --root"
parse_options "--method --folds $columns --test-fold --test-share --clip-seconds --hop-seconds --short" "$@"
IFS=, read -ra methods <<<"${method:-ce,mrkd}"
built_in=false
if [ -z "$data" ]; then
    built_in=true
    out=${out:-exp/own/builtin}
    data=$out/scenes/recordings
    say "no --data: every stage runs on built-in recordings"
fi
out=${out:-exp/own/recordings}
use_environment
require_methods "${methods[@]}"

recordings=("$data")
if [ ${#reading[@]} -gt 0 ]; then
    recordings+=("${reading[@]}")
fi
training=(--seeds "${seeds:-0-3}")
if [ "$built_in" = true ]; then
    training+=(train.epochs=40)
fi
if [ ${#overrides[@]} -gt 0 ]; then
    training+=("${overrides[@]}")
fi
if [ -n "$folds" ]; then
    training+=(--folds "$folds")
fi

if [ "$built_in" = true ]; then
    stage 1 "make the built-in recordings" asc-mrkd make-scenes "$out/scenes" --layout folders --clips-per-class 8
fi
stage 2 "check the recordings" asc-mrkd check-data "${recordings[@]}"
stage 3 "extract the features" asc-mrkd extract-features --data "${recordings[@]}" --out "$out/store"
runs=()
for name in "${methods[@]}"; do
    runs+=("$out/$name")
    stage 4 "train" asc-mrkd train "$out/store" "method=$name" "${training[@]}" --out "$out/$name"
done
for name in "${methods[@]}"; do
    stage 5 "score the test clips" asc-mrkd evaluate "$out/$name"
done
stage 6 "report" asc-mrkd report "${runs[@]}" --out "$out/report.html"
