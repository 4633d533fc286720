#!/usr/bin/env bash
# Evidence on CIFAR-100: MrKD tuned on held-out training images, then the methods in the paper's setting. It needs a GPU.
# The same command continues after an interruption.
#
#   bash tools/evidence.sh [OPTION ...] [key=value ...]
#   bash tools/evidence.sh --laptop ...    small sets of real data, without a GPU: see tools/evidence_laptop.sh
#
# --data DIR      cifar-100-python as unpacked (asc-mrkd download cifar100); default: a rehearsal with a small network on
#                 few built-in images, minutes on a CPU
# --jobs N        points of a sweep trained side by side; default: 1
# method.K=VALUE  option of MrKD chosen from the tables of stages 1 to 3. Run the stages one by one and give every later
#                 stage the choices so far: --stage 2 method.teacher_bn=batch method.warmup=ramp

root=$(cd "$(dirname "$0")/.." && pwd)
if [ "${1:-}" = --laptop ]; then
    exec bash "$root/tools/evidence_laptop.sh" "${@:2}"
fi
# shellcheck source=recipes/common/recipe.sh
source "$root/recipes/common/recipe.sh"
parse_options "--jobs" "$@"
use_environment

if [ -n "$data" ]; then
    out=${out:-exp/evidence}
    sweep_options=(--seeds "${seeds:-0-3}" --jobs "$jobs")
    settings=("data.images=$data")
    held_out=5000
    networks=(resnet20 resnet32)
    backups="num_backups: 3, interval: 25 epochs"
    alphas=0.1,0.3,0.5,0.7,0.9
    temperatures=2,3,4
else
    out=${out:-exp/evidence_rehearsal}
    sweep_options=(--seeds "${seeds:-0-1}" --jobs "$jobs")
    settings=("data.images=$out/images" model.options.depth=8 data.subset=240)
    settings+=(train.epochs=2 train.batch_size=32 train.threads=1)
    held_out=60
    networks=(resnet20)
    backups="num_backups: 3, interval: 0.25"
    alphas=0.3,0.5
    temperatures=2,3
    stage 0 "make the built-in images" asc-mrkd make-images "$out/images" --classes 10 --per-class 40
fi

choices=""
if [ ${#overrides[@]} -gt 0 ]; then
    for override in "${overrides[@]}"; do
        case $override in
            method.*)
                choice=${override#method.}
                choices="$choices, ${choice%%=*}: ${choice#*=}"
                ;;
            *) settings+=("$override") ;;
        esac
    done
fi
mrkd_paper="{name: mrkd, preset: paper, $backups}"
mrkd_robust="{name: mrkd, preset: robust, $backups}"
mrkd_chosen="{name: mrkd, preset: robust, $backups$choices}"
compared="ce,pskd,$mrkd_paper,$mrkd_robust"
if [ -n "$choices" ]; then
    compared="$compared,$mrkd_chosen"
fi

conf=$root/recipes/cifar100/conf/paper.yaml
tune=(asc-mrkd sweep "$conf" model.name=resnet20 "method=$mrkd_chosen" "data.held_out=$held_out" "${settings[@]}")
stage 1 "tune batch normalisation of the teachers, and what teaches before the first backup" \
    "${tune[@]}" method.teacher_bn=eval,batch method.warmup=untrained,ramp,skip --out "$out/first" "${sweep_options[@]}"
stage 2 "tune alpha and temperature" \
    "${tune[@]}" "method.alpha=$alphas" "method.temperature=$temperatures" --out "$out/weight" "${sweep_options[@]}"
stage 3 "tune the input of the ensemble, and its gradient" \
    "${tune[@]}" method.ensemble_input=raw,temperature,layernorm method.adjustment_gradient=literal,detached \
    --out "$out/ensemble" "${sweep_options[@]}"
for network in "${networks[@]}"; do
    stage 4 "train in the paper's setting, on all training images" \
        asc-mrkd sweep "$conf" "model.name=$network" "method=$compared" "${settings[@]}" \
        --out "$out/$network" "${sweep_options[@]}"
done
for network in "${networks[@]}"; do
    runs=("$out/$network"/method=*)
    stage 5 "compare, report, and fill the paper's tables" asc-mrkd compare "${runs[@]}"
    stage 5 "" asc-mrkd report "${runs[@]}" --out "$out/$network.html"
done
stage 5 "" python "$root/tools/render_results.py" cifar100 --runs "$out"
