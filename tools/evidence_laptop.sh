#!/usr/bin/env bash
# Evidence that needs no GPU: what MrKD is worth on small sets of real data, in a short and in a long training.
# The same command continues after an interruption.
#
#   bash tools/evidence.sh --laptop [OPTION ...] [key=value ...]
#
# --data DIR     cifar-100-python as unpacked (asc-mrkd download cifar100); default: data/cifar-100-python
# --clips TABLE  a table of recordings with their class and their source, such as that of ESC-50; without it only images
#                are trained
# --jobs N       points of a sweep trained side by side; default: 1

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=recipes/common/recipe.sh
source "$root/recipes/common/recipe.sh"
parse_options "--jobs --clips" "$@"
use_environment
data=${data:-data/cifar-100-python}
out=${out:-exp/laptop}

conf=$root/tools/laptop/images.yaml
images=(asc-mrkd sweep "$conf" "data.images=$out/images")
sweep_options=(--seeds "${seeds:-0-3}" --jobs "$jobs")
paper="{name: mrkd, preset: paper}"
robust="{name: mrkd, preset: robust}"
replay="{name: mrkd, preset: robust, teachers: replay}"
repeat="{name: mrkd, preset: robust, teachers: repeat}"
compared="method=ce,label_smoothing,pskd,$paper,$robust,$replay,$repeat"
settings=(model.name=resnet20) # the network of the experiment file; the array is never empty
changed=(--seeds "${seeds:-0-3}")
if [ ${#overrides[@]} -gt 0 ]; then
    settings+=("${overrides[@]}")
    changed+=("${overrides[@]}")
fi

stage 1 "make the small images" python "$root/tools/small_images.py" "$data" "$out/images"
stage 2 "train briefly" "${images[@]}" "$compared" train.epochs=25 "${settings[@]}" \
    --out "$out/images_short" "${sweep_options[@]}"
stage 3 "train until the network fits its training images" "${images[@]}" "$compared" train.epochs=100 "${settings[@]}" \
    --out "$out/images_long" "${sweep_options[@]}"
tried=$replay
for option in "ensemble: false" "ensemble_input: raw" "alpha: 0.3" "alpha: 0.7" "temperature: 1" "temperature: 2" \
    "temperature: 4" "interval: 0.25" "warmup: skip"; do
    tried="$tried,{name: mrkd, preset: robust, teachers: replay, $option}"
done
stage 4 "try options of MrKD on held-out training images" \
    "${images[@]}" "method=$tried" data.held_out=5000 train.epochs=100 "${settings[@]}" \
    --out "$out/images_tuning" "${sweep_options[@]}"
exchanged="ce,$paper,$robust"
for choice in "warmup: ramp" "teacher_bn: batch" "ensemble_input: temperature"; do
    exchanged="$exchanged,{name: mrkd, preset: paper, $choice}"
done
stage 5 "exchange the choices of the preset paper for those of robust, one by one" \
    "${images[@]}" "method=$exchanged" data.held_out=5000 train.epochs=100 "${settings[@]}" \
    --out "$out/images_choices" "${sweep_options[@]}"
stage 6 "print what the methods are worth" python "$root/tools/worth.py" "$out/images_short" "$out/images_long"
if [ -n "$clips" ]; then
    stage 7 "cross-validate on real clips" bash "$root/recipes/own/run.sh" --data "$clips" --group-column src_file \
        --fold-column none --folds 4 --method ce,label_smoothing,pskd,mrkd "${changed[@]}" --out "$out/clips"
    stage 8 "print what the methods are worth" python "$root/tools/worth.py" "$out/clips"
fi
