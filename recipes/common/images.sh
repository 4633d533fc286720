# The stages of an image recipe. Sourced by run.sh after recipe.sh, with $here, $title and $classes set.
# shellcheck shell=bash disable=SC2154,SC2153  # the variables come from run.sh and from parse_options

image_recipe() {
    local built_in="" runs=() methods=() changes=() together=() name
    if [ -n "$data" ]; then
        out=${out:-exp/$title/official}
        command -v nvidia-smi >/dev/null && conf=${conf:-resnet32}
    else
        $list || echo "no --data: every stage runs on built-in images, at a reduced size"
        out=${out:-exp/$title/builtin}
        data=$out/images
        built_in=true
    fi
    conf=${conf:-reduced}
    [ -f "$here/conf/$conf.yaml" ] || fail "there is no conf/$conf.yaml" "known: $(cd "$here/conf" && echo *.yaml)"
    $list || echo "settings: conf/$conf.yaml, results: $out/$conf"
    if [ "$conf" = reduced ]; then # a small network for some minutes: seeds side by side
        method=${method:-ce,mrkd} together=(--together)
    fi
    IFS=, read -ra methods <<<"${method:-ce,pskd,msd,mrkd}"
    for name in "${methods[@]}"; do
        require_method "$name"
        runs+=("$out/$conf/$name")
    done

    use_environment
    [ -z "$built_in" ] || ! stage 1 "make the built-in images" ||
        run asc-mrkd make-images "$data" --classes "$classes" --per-class $((2000 / classes))
    ! stage 2 "check the data set" || run asc-mrkd check-data "$data"
    if stage 3 "train"; then
        for name in "${methods[@]}"; do
            changes=()
            [ "$name" = mrkd ] || changes=("method=$name") # the experiments are MrKD's
            run asc-mrkd train "$here/conf/$conf.yaml" "data.images=$data" ${changes[@]+"${changes[@]}"} \
                ${overrides[@]+"${overrides[@]}"} --out "$out/$conf/$name" ${seeds:+--seeds "$seeds"} ${together[@]+"${together[@]}"}
        done
    fi
    if stage 4 "score the test images"; then
        for name in "${runs[@]}"; do run asc-mrkd evaluate "$name"; done
    fi
    ! stage 5 "report" || run asc-mrkd report "${runs[@]}" --out "$out/report.html"
}
