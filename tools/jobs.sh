# Shell functions: trainings side by side, each with a log. Sourced with $root set; brings recipe.sh along.
# shellcheck shell=bash disable=SC2034,SC2154  # the variables are those of the caller
# shellcheck source=recipes/common/recipe.sh
source "$root/recipes/common/recipe.sh"

pids=() logs=() failed=false

# Read the options as parse_options does, and --jobs N and --toy into variables of their names.
parse_with_jobs() {
    local others=()
    jobs=1 toy=false
    while [ $# -gt 0 ]; do
        case $1 in
            --toy) toy=true ;;
            --jobs=*) jobs=${1#*=} ;;
            --jobs) jobs=${2:-} && shift $(($# > 1)) ;;
            *) others+=("$1") ;;
        esac
        shift
    done
    parse_options ${others[@]+"${others[@]}"}
    [ -z "$conf$method$evaluation$label" ] || fail "only the options of --help are for this script"
    [[ $jobs =~ ^[1-9][0-9]*$ ]] || fail "--jobs takes a number from 1"
}

# train RUN ARGUMENTS ...: `asc-mrkd train ARGUMENTS --out RUN`, every seed of $seeds (0-3 or 0,2) a job.
train() {
    local part seed
    for part in ${seeds//,/ }; do
        for seed in $(seq "${part%-*}" "${part#*-}"); do
            start "$1/seed$seed.log" asc-mrkd train "${@:2}" --out "$1" --seeds "$seed"
        done
    done
}

# sweep FOLDER KEY=A,B KEY=C,D ARGUMENTS ...: `asc-mrkd sweep` over two keys, every point and seed a job.
sweep() {
    local a b
    for a in $(values "$2"); do
        for b in $(values "$3"); do train "$1/$a,$b" "${@:4}" "$a" "$b"; done # in the folder that it has for the point
    done
    collect_all
    failed=false # what has failed is tried again and named by the verb, which prints the table
    run asc-mrkd sweep "${@:4}" "$2" "$3" --out "$1" --seeds "$seeds"
}

# values KEY=A,B: the words KEY=A KEY=B.
values() {
    local value
    for value in $(tr , ' ' <<<"${1#*=}"); do echo "${1%%=*}=$value"; done
}

# start LOG COMMAND ...: run it in the background; first wait while as many as $jobs run.
start() {
    echo "+ ${*:2} >$1"
    ! $dry_run || return 0
    [ ${#pids[@]} -lt "$jobs" ] || collect
    mkdir -p "$(dirname "$1")"
    "${@:2}" >"$1" 2>&1 &
    pids+=($!) logs+=("$1")
}

# Wait for the one that was started first, and say so if it failed.
collect() {
    wait "${pids[0]}" || {
        echo "error: exit code $?, see ${logs[0]}: $(tail -n 2 "${logs[0]}")" >&2
        failed=true
    }
    pids=("${pids[@]:1}") logs=("${logs[@]:1}")
}

collect_all() {
    while [ ${#pids[@]} -gt 0 ]; do collect; done
}

# Wait for all; stop here if one of them has failed.
finish() {
    collect_all
    ! $failed || exit 1
}

# Have all save and stop. SIGTERM, because what a script runs in the background may not hear SIGINT.
interrupt() {
    trap '' INT TERM
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    echo "interrupted; the same command continues" >&2
    exit 3
}
trap interrupt INT TERM
