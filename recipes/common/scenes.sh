# The stages that the recipes on recordings share. Sourced by run.sh after recipe.sh, with $here, $title, $layout,
# $folder, $lists and $known_methods set.
# shellcheck shell=bash disable=SC2154,SC2034  # variables come from run.sh and from parse_options, or go to run.sh

# Settings and names: of the data, the results ($out/$conf), the methods and their run folders.
scene_settings() {
    local name
    if [ -n "$data" ]; then
        out=${out:-exp/$title/official}
        command -v nvidia-smi >/dev/null && conf=${conf:-paper}
        built_in=""
    else
        $list || echo "no --data: every stage runs on built-in scenes, at a reduced size"
        out=${out:-exp/$title/builtin}
        data=$out/scenes/$folder
        built_in=true
    fi
    conf=${conf:-reduced}
    [ -f "$here/conf/$conf.yaml" ] || fail "there is no conf/$conf.yaml" "known: $(cd "$here/conf" && echo *.yaml)"
    $list || echo "settings: conf/$conf.yaml, results: $out/$conf"
    [ "$conf" = reduced ] && method=${method:-ce,mrkd} # so short a run only loses by Mixup
    IFS=, read -ra methods <<<"${method:-$known_methods}"
    runs=()
    for name in "${methods[@]}"; do
        method_changes "$name" >/dev/null
        entry=$out/$conf/$name # the last one is submitted
        runs+=("$entry")
    done
    rehearsal=() # without the evaluation set, the test clips
    [ -n "$evaluation" ] || rehearsal=(--files "$data/evaluation_setup/fold1_test.$lists")
}

# method_changes NAME: what a method changes in the experiment, which is MrKD with Mixup.
method_changes() {
    local name=${1%_mixup}
    require_method "$name"
    [ "$name" = mrkd ] || echo "method=$name"
    [ "$1" != pskd_mixup ] || echo method.source=model
    [ "$1" != "$name" ] || echo augment.mixup=0
}

# From recordings to scored networks.
scene_stages() {
    local name
    use_environment "${extra:-}"
    [ -z "$built_in" ] || ! stage 1 "make the built-in scenes" ||
        run asc-mrkd make-scenes "$out/scenes" --layout "$layout"
    ! stage 2 "check the data set" || run asc-mrkd check-data "$data"
    ! stage 3 "extract the features" || run asc-mrkd extract-features --data "$data" --spec pmel256 --out "$out/store"
    if stage 4 "train"; then
        for name in "${methods[@]}"; do
            # shellcheck disable=SC2046  # the changes of a method are words
            run asc-mrkd train "$here/conf/$conf.yaml" "data.store=$out/store" $(method_changes "$name") \
                ${overrides[@]+"${overrides[@]}"} --out "$out/$conf/$name" ${seeds:+--seeds "$seeds"}
        done
    fi
    if stage 5 "score the test clips"; then
        for name in "${runs[@]}"; do run asc-mrkd evaluate "$name"; done
    fi
}

# submission_stages FIRST ENTRY TASK LABEL: the package, its check, and the report of all runs.
submission_stages() {
    ! stage "$1" "make the submission" ||
        run asc-mrkd submit make "$2" --task "$3" --label "${label:-$4}" --out "$out/submission" \
            ${evaluation:+--audio "$evaluation"}
    ! stage $(($1 + 1)) "check the submission" ||
        run asc-mrkd submit check "$out/submission" --task "$3" ${rehearsal[@]+"${rehearsal[@]}"}
    ! stage $(($1 + 2)) "report" || run asc-mrkd report "${runs[@]}" --out "$out/report.html"
}
