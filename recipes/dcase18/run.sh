#!/usr/bin/env bash
# DCASE 2018 task 1A: CP-ResNet trained with cross-entropy, MrKD or one of its rivals, with and without Mixup.
#
#   bash recipes/dcase18/run.sh [--data DIR] [--stage N] [--stop-stage N] [--method NAME] [--seeds 0-3] [--out DIR]
#                               [--conf NAME] [--evaluation DIR] [--label LABEL] [--list] [--dry-run] [key=value ...]
#
# --data DIR        TUT-urban-acoustic-scenes-2018-development as unpacked; without it, built-in scenes
# --conf NAME       reduced, paper or cpjku (conf/NAME.yaml); default: paper where there is a GPU and --data, else reduced
# --method NAMES    of `asc-mrkd methods`, and with Mixup as in ce_mixup; default: ce,ce_mixup,mrkd,mrkd_mixup, with the
#                   reduced settings ce,mrkd
# --evaluation DIR  recordings of the evaluation set for the submission; without it, a rehearsal on the test clips
# --label LABEL     of the submission: Lastname_INSTITUTE_task1a_N

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common/recipe.sh
source "$here/../common/recipe.sh"
parse_options "$@"

if [ -n "$data" ]; then
    out=${out:-exp/dcase18/official}
    command -v nvidia-smi >/dev/null && conf=${conf:-paper}
else
    $list || echo "no --data: every stage runs on built-in scenes, at a reduced size"
    out=${out:-exp/dcase18/builtin}
    data=$out/scenes/TUT-urban-acoustic-scenes-2018-development
    built_in=true
fi
conf=${conf:-reduced}
[ -f "$here/conf/$conf.yaml" ] || fail "there is no conf/$conf.yaml" "known: $(cd "$here/conf" && echo *.yaml)"
$list || echo "settings: conf/$conf.yaml, results: $out/$conf"

changes() { # what a method changes in the experiment, which is MrKD with Mixup
    local name=${1%_mixup}
    require_method "$name"
    [ "$name" = mrkd ] || echo "method=$name"
    [ "$1" != pskd_mixup ] || echo method.source=model
    [ "$1" != "$name" ] || echo augment.mixup=0
}
[ "$conf" = reduced ] && method=${method:-ce,mrkd} # so short a run only loses by Mixup
IFS=, read -ra methods <<<"${method:-ce,ce_mixup,mrkd,mrkd_mixup}"
runs=()
for name in "${methods[@]}"; do
    changes "$name" >/dev/null
    entry=$out/$conf/$name
    runs+=("$entry")
done
label=${label:-Yourname_INST_task1a_1}
rehearsal=()
[ -n "$evaluation" ] || rehearsal=(--files "$data/evaluation_setup/fold1_test.txt")

use_environment
[ -z "${built_in:-}" ] || ! stage 1 "make the built-in scenes" ||
    run asc-mrkd make-scenes "$out/scenes"
! stage 2 "check the data set" || run asc-mrkd check-data "$data"
! stage 3 "extract the features" || run asc-mrkd extract-features --data "$data" --spec pmel256 --out "$out/store"
if stage 4 "train"; then
    for name in "${methods[@]}"; do
        # shellcheck disable=SC2046  # the changes of a method are words
        run asc-mrkd train "$here/conf/$conf.yaml" "data.store=$out/store" $(changes "$name") \
            ${overrides[@]+"${overrides[@]}"} --out "$out/$conf/$name" ${seeds:+--seeds "$seeds"}
    done
fi
if stage 5 "score the test clips"; then
    for folder in "${runs[@]}"; do run asc-mrkd evaluate "$folder"; done
fi
! stage 6 "check the size (500 KB; DCASE 2018 has no limit, 2020 had this one)" ||
    run asc-mrkd check-budget "$entry" --rule dcase2020-task1b --precision float16 || [ $? -eq 1 ]
! stage 7 "make the submission" ||
    run asc-mrkd submit make "$entry" --task dcase2018-task1a --label "$label" --out "$out/submission" \
        ${evaluation:+--audio "$evaluation"}
! stage 8 "check the submission" ||
    run asc-mrkd submit check "$out/submission" --task dcase2018-task1a ${rehearsal[@]+"${rehearsal[@]}"}
! stage 9 "report" || run asc-mrkd report "${runs[@]}" --out "$out/report.html"
