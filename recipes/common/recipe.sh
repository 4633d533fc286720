# Shell functions of the recipes. A script sources this file, calls parse_options, choose_settings and use_environment,
# then runs stage after stage.
# shellcheck shell=bash
set -euo pipefail

folder=$(dirname "$0")
if [ -L "$0" ]; then
    folder=$(dirname "$(readlink -f "$0")")
fi

fail() {
    echo "error: $1" >&2
    echo "hint: ${2:-bash $0 --help}" >&2
    exit 2
}

# Print the comment that the script opens with, then the options that all scripts have.
print_help() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    cat <<'END'

--seeds LIST    seeds to train, as in 0-3 or 0,2; default: those of the settings
--out DIR       folder of the results; default: one below exp/
--stage N       first stage to run
--stop-stage N  last stage to run
--list          print the stages and stop
--dry-run       print the commands and stop
key=value       change a setting, as in train.epochs=10
END
}

# similar_options NAME OPTION...: print a hint for an unknown option: the options that begin with the same letter, or all.
similar_options() {
    local name=$1 option similar=""
    shift
    for option in "$@"; do
        if [ "${option:0:3}" = "${name:0:3}" ]; then
            similar+=", $option"
        fi
    done
    if [ -n "$similar" ]; then
        echo "did you mean ${similar:2}?"
    else
        echo "known: $*"
    fi
}

# require_stages ARGUMENT...: stop unless there is a stage from first_stage to last_stage.
require_stages() {
    local number stages
    stages=$(bash "$0" "$@" --list)
    while read -r number _; do
        if [ "$number" -ge "$first_stage" ] && [ "$number" -le "$last_stage" ]; then
            return 0
        fi
    done <<<"$stages"
    fail "there is no stage from $first_stage to $last_stage" "bash $0 --list"
}

# parse_options "OPTION ..." ARGUMENT...: read the arguments into variables. The first word names the options that this
# script has besides those of all scripts. The array `reading` collects those that say how own recordings are read.
# shellcheck disable=SC2034  # the scripts read these variables
parse_options() {
    local known="--data --seeds --out --stage --stop-stage $1" flags="--list --dry-run --help" name value arguments
    shift
    arguments=("$@")
    data="" conf="" method="" seeds="" out="" evaluation="" label="" clips="" jobs=1
    first_stage=0 last_stage=99 list=false dry_run=false
    overrides=() reading=() folds=""
    while [ $# -gt 0 ]; do
        name=${1%%=*}
        case $1 in
            -h | --help)
                print_help
                exit
                ;;
            --list) list=true ;;
            --dry-run) dry_run=true ;;
            -*)
                # shellcheck disable=SC2086  # a word per option
                [[ " $known " == *" $name "* ]] || fail "unknown option $name" "$(similar_options "$name" $known $flags)"
                if [ "$name" != "$1" ]; then
                    value=${1#*=}
                else
                    [[ $# -ge 2 && $2 != --* ]] || fail "option $name needs a value"
                    value=$2
                    shift
                fi
                [ -n "$value" ] || fail "option $name is empty" "write a value, or leave it out"
                case $name in
                    --data) data=$value ;;
                    --conf) conf=$value ;;
                    --method) method=$value ;;
                    --seeds) seeds=$value ;;
                    --out) out=$value ;;
                    --evaluation) evaluation=$value ;;
                    --label) label=$value ;;
                    --jobs) jobs=$value ;;
                    --clips) clips=$value ;;
                    --stage) first_stage=$value ;;
                    --stop-stage) last_stage=$value ;;
                    --folds) folds=$value ;;
                    *) reading+=("$name" "$value") ;;
                esac
                ;;
            method=[a-z]* | method.name=*) fail "$1 would hold for every method of the recipe" "--method ${1#*=}" ;;
            *=*) overrides+=("$1") ;;
            *) fail "'$1' is neither an option nor a setting" "options start with --, settings are written key=value" ;;
        esac
        shift
    done
    [[ $first_stage =~ ^[0-9]+$ && $last_stage =~ ^[0-9]+$ ]] || fail "--stage and --stop-stage take a number" "bash $0 --list"
    if [ "$list" = false ] && [ "$first_stage $last_stage" != "0 99" ]; then
        require_stages "${arguments[@]}"
    fi
}

# choose_settings RECIPE DATA METHODS: choose what the options leave open, and print it.
#   RECIPE   name of the recipe
#   DATA     folder of the built-in data, within the results
#   METHODS  methods of the paper's table
# shellcheck disable=SC2034  # the scripts read these variables
choose_settings() {
    local name
    if [ -z "$data" ]; then
        built_in=true
        out=${out:-exp/$1/builtin}
        data=$out/$2
        conf=${conf:-reduced}
        say "no --data: every stage runs on built-in data, at a reduced size"
    else
        built_in=false
        out=${out:-exp/$1/official}
        if command -v nvidia-smi >/dev/null; then
            conf=${conf:-paper}
        else
            conf=${conf:-reduced}
        fi
    fi
    experiment=$folder/conf/$conf.yaml
    [ -f "$experiment" ] || fail "there is no $experiment" "known: $(cd "$(dirname "$experiment")" && echo *.yaml)"
    say "settings: $experiment, results: $out/$conf"

    if [ "$conf" = reduced ]; then
        method=${method:-ce,mrkd}
    else
        method=${method:-$3}
    fi
    IFS=, read -ra methods <<<"$method"
    runs=()
    for name in "${methods[@]}"; do
        runs+=("$out/$conf/$name")
    done
}

say() {
    if [ "$list" = false ]; then
        echo "$1"
    fi
}

# use_environment [EXTRA]: put the commands of the environment on the PATH: the active one, or that of the source tree.
use_environment() {
    local root commands
    if [ "$list" = true ] || [ "$dry_run" = true ]; then
        return 0
    fi
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    if [ -f "$root/tools/setup.sh" ]; then
        commands=$(bash "$root/tools/setup.sh" "${1:-}")
        export PATH="$commands:$PATH"
    elif ! command -v asc-mrkd >/dev/null; then
        fail "asc-mrkd is not installed" "pip install asc-mrkd"
    fi
}

# require_methods NAME...: stop unless the program knows every method; its error names a similar one.
require_methods() {
    if [ "$list" = false ] && [ "$dry_run" = false ]; then
        asc-mrkd methods "$@" >/dev/null
    fi
}

# set_training METHOD SETTING...: set the array `training` to the arguments of a training: METHOD, unless it is MrKD, which
# the experiment has; then the settings given here; then those of the command line, which win.
set_training() {
    training=("${@:2}")
    if [ "$1" != mrkd ]; then
        training=("method=$1" "${training[@]}")
    fi
    if [ ${#overrides[@]} -gt 0 ]; then
        training+=("${overrides[@]}")
    fi
    if [ -n "$seeds" ]; then
        training+=(--seeds "$seeds")
    fi
}

# set_scene_training NAME: set_training for a method without Mixup, or with it as in ce_mixup. The experiment has Mixup.
set_scene_training() {
    local features="data.store=$out/store"
    case $1 in
        pskd_mixup) set_training pskd "$features" method.source=model ;; # stored predictions are of other mixtures
        *_mixup) set_training "${1%_mixup}" "$features" ;;
        *) set_training "$1" "$features" augment.mixup=0 ;;
    esac
}

# require_settings COMMAND SETTING...: stop before the first stage if the settings of the command line do not suit one of
# the methods. COMMAND sets `training` from a method and the settings given here, as set_training does.
require_settings() {
    local name
    if [ "$list" = true ] || [ "$dry_run" = true ] || [ ${#overrides[@]} = 0 ]; then
        return 0
    fi
    for name in "${methods[@]}"; do
        "$1" "$name" "${@:2}"
        asc-mrkd train "$experiment" "${training[@]}" --out "$out" --print-config >/dev/null
    done
}

# stage NUMBER TITLE COMMAND...: run a command of a stage, unless the options exclude the stage.
# Commands of the same stage follow each other; its title is printed once.
stage() {
    local number=$1 title=$2 is_new=true
    shift 2
    if [ "$number" = "$current_stage" ]; then
        is_new=false
    fi
    current_stage=$number

    if [ "$list" = true ]; then
        if [ "$is_new" = true ]; then
            printf '%2d  %s\n' "$number" "$title"
        fi
        return 0
    fi
    if [ "$number" -lt "$first_stage" ] || [ "$number" -gt "$last_stage" ]; then
        return 0
    fi
    if [ "$is_new" = true ]; then
        echo "== stage $number: $title"
    fi
    printf '+'
    printf ' %q' "$@" # as it can be pasted into a shell
    echo
    if [ "$dry_run" = false ]; then
        "$@"
    fi
}
current_stage=""

# stage_that_may_fail NUMBER TITLE COMMAND...: a stage that may end with exit code 1, a failed check, without stopping the
# recipe.
stage_that_may_fail() {
    local code=0
    stage "$@" || code=$?
    if [ "$code" -gt 1 ]; then
        exit "$code"
    fi
}
