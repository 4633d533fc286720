# The stages of an image recipe. A run.sh sources this file and calls image_recipe.
# shellcheck shell=bash
# shellcheck source=recipes/common/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

# image_recipe NAME CLASSES ARGUMENT...: the recipe of that name, with that number of classes in its built-in images.
image_recipe() {
    local recipe=$1 classes=$2 name
    shift 2
    parse_options "--conf --method" "$@"
    choose_settings "$recipe" images ce,pskd,msd,mrkd
    use_environment
    require_methods "${methods[@]}"
    require_settings set_training "data.images=$data"

    if [ "$built_in" = true ]; then
        stage 1 "make the built-in images" \
            asc-mrkd make-images "$data" --classes "$classes" --per-class $((2000 / classes))
    fi
    stage 2 "check the data set" asc-mrkd check-data "$data"
    for name in "${methods[@]}"; do
        set_training "$name" "data.images=$data"
        stage 3 "train" asc-mrkd train "$experiment" "${training[@]}" --out "$out/$conf/$name"
    done
    for name in "${methods[@]}"; do
        stage 4 "score the test images" asc-mrkd evaluate "$out/$conf/$name"
    done
    stage 5 "report" asc-mrkd report "${runs[@]}" --out "$out/report.html"
}
