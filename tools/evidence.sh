#!/usr/bin/env bash
# Evidence on CIFAR-100: MrKD tuned on a part of the training set, then the paper's setting. For a GPU; resumable.
#
#   bash tools/evidence.sh --data DIR [--out exp/evidence] [--jobs N] [--seeds 0-3] [--toy]
#                          [--stage N] [--stop-stage N] [--list] [--dry-run] [key=value ...]
#
# --data DIR    cifar-100-python as unpacked (asc-mrkd download cifar100)
# --jobs N      trainings side by side on the device; default: 1
# --toy         a small network on few images, for some minutes on a CPU; without --data, on built-in images
# method.K=V    what you choose from the tables of stages 1 to 3: the stages after it start from it, and stage 4 adds a
#               run `mrkd_chosen`; any other key=value, as in train.epochs=100, holds in every stage

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tools/jobs.sh
source "$root/tools/jobs.sh"

parse_with_jobs "$@"
[ -n "$data" ] || $toy || $list || fail "--data DIR is needed" "asc-mrkd download cifar100, or --toy to try it"

alpha=0.1,0.3,0.5,0.7,0.9 temperature=2,3,4 first=init,ramp,skip input=raw,temperature,layernorm held_out=5000
$toy && out=${out:-exp/evidence_toy} || out=${out:-exp/evidence}
settings=("data.images=${data:-$out/images}") mrkd=(method.copies=3) choices=()
runs=(ce pskd mrkd mrkd_robust) networks=(resnet20 resnet32)
if $toy; then
    seeds=${seeds:-0-1} alpha=0.3,0.5 temperature=2,3 first=init,ramp input=raw,temperature held_out=60
    mrkd=(method.interval=0.25) networks=(resnet32)
    for change in model.options.depth=8 data.subset=240 train.epochs=2 train.batch_size=32 train.threads=1; do
        [[ " ${overrides[*]-} " = *" ${change%%=*}="* ]] || settings+=("$change")
    done
fi
for change in ${overrides[@]+"${overrides[@]}"}; do
    case $change in method.*) choices+=("$change") ;; *) settings+=("$change") ;; esac
done
[ ${#choices[@]} = 0 ] || runs+=(mrkd_chosen)
recipes=$root/recipes conf=$recipes/cifar100/conf/resnet32.yaml tables=$out/cifar100/tables/table2_
seeds=${seeds:-0-3}

# tune NAME EARLIER KEY=A,B KEY=C,D: MrKD on held-out training images, from what was chosen of the keys EARLIER.
tune() {
    local from=(model.name=resnet20 method.preset=robust "data.held_out=$held_out")
    for change in ${choices[@]+"${choices[@]}"}; do
        [[ ! $change =~ ^method\.($2)= ]] || from+=("$change")
    done
    sweep "$out/$1" "$3" "$4" "$conf" "${from[@]}" "${settings[@]}" "${mrkd[@]}"
    echo "a person reads this table; the later stages take the choice as ${3%%=*}=VALUE ${4%%=*}=VALUE"
}

use_environment
[ -n "$data" ] || $list || run asc-mrkd make-images "$out/images" --classes 10 --per-class 40
! stage 1 "tune batch normalisation of the teachers, and what teaches before the first backup" ||
    tune first none method.teacher_bn=eval,batch "method.before_first=$first"
! stage 2 "tune alpha and temperature" ||
    tune weight "teacher_bn|before_first" "method.alpha=$alpha" "method.temperature=$temperature"
! stage 3 "tune the input of the ensemble, and its gradient" ||
    tune ensemble "teacher_bn|before_first|alpha|temperature" \
        "method.ensemble_input=$input" method.adjustment_gradient=literal,detached
if stage 4 "train in the paper's setting, on all training images"; then
    for network in "${networks[@]}"; do
        for name in "${runs[@]}"; do
            changes=(method.preset=robust "${mrkd[@]}")
            case $name in
                ce | pskd) changes=("method=$name") ;;
                mrkd) changes=(method.preset=paper "${mrkd[@]}") ;;
                mrkd_chosen) changes+=("${choices[@]}") ;;
            esac
            train "$tables${network}_$name" "$conf" "model.name=$network" "${settings[@]}" "${changes[@]}"
        done
    done
    finish
fi
if stage 5 "compare, report, and the paper's tables"; then
    for network in "${networks[@]}"; do
        run asc-mrkd compare "${runs[@]/#/$tables${network}_}"
        run asc-mrkd report "${runs[@]/#/$tables${network}_}" --out "$out/$network.html"
    done
    ! $toy || { run cp -R "$recipes" "$out/" && recipes=$out/recipes; } # toy figures stay out of the real pages
    run python "$root/tools/render_results.py" cifar100 --runs "$out" --recipes "$recipes"
fi
