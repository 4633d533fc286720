# Shell functions of every recipe: options, stages, the environment. Sourced by run.sh.
# shellcheck shell=bash disable=SC2034  # the variables are used by run.sh
set -euo pipefail

fail() {
    echo "error: $1" >&2
    echo "hint: ${2:-bash $0 --help}" >&2
    exit 2
}

# require_method NAME: stop unless it is one of `asc-mrkd methods`.
require_method() {
    local known="ce label_smoothing mrkd pskd msd byot dml ban cskd ema_teacher tfkd_reg dlb"
    case " $known " in *" $1 "*) ;; *) fail "there is no method '$1'" "known: $known" ;; esac
}

# Read the options into variables of their names (--stop-stage into stop_stage) and the array overrides.
parse_options() {
    data="" evaluation="" conf="" method="" seeds="" out="" label="" stage=1 stop_stage=99
    dry_run=false list=false overrides=()
    local name
    while [ $# -gt 0 ]; do
        case $1 in
            --*=*)
                set -- "${1%%=*}" "${1#*=}" "${@:2}"
                continue
                ;;
            -h | --help)
                sed -n '/^# /s/^# //p; /^$/q' "$0"
                exit 0
                ;;
            --list) list=true ;;
            --dry-run) dry_run=true ;;
            --data | --evaluation | --conf | --method | --seeds | --out | --label | --stage | --stop-stage)
                [ $# -ge 2 ] || fail "option $1 needs a value"
                name=${1#--}
                printf -v "${name//-/_}" %s "$2"
                shift
                ;;
            --*) fail "unknown option $1" ;;
            *=*) overrides+=("$1") ;;
            *) fail "what is '$1'?" "options start with --, overrides read key=value" ;;
        esac
        shift
    done
    case $stage$stop_stage in *[!0-9]*) fail "--stage and --stop-stage take a number" "bash $0 --list" ;; esac
}

# stage NUMBER TITLE: is it to run? With --list it only prints itself.
stage() {
    if $list; then
        printf '%2d  %s\n' "$1" "$2"
        return 1
    fi
    [ "$1" -ge "$stage" ] && [ "$1" -le "$stop_stage" ] || return 1
    echo "== stage $1: $2"
}

# run COMMAND...: print the command, then run it unless this is a dry run.
run() {
    echo "+ $*"
    $dry_run || "$@"
}

# use_environment [EXTRA]: put the environment's commands on the PATH, of the source tree or the one that is active.
use_environment() {
    local root commands
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    if $list || $dry_run; then
        return 0
    elif [ -f "$root/tools/setup.sh" ]; then
        commands=$(bash "$root/tools/setup.sh" "${1:-}")
        export PATH="$commands:$PATH"
    elif ! command -v asc-mrkd >/dev/null; then
        fail "asc-mrkd is not installed" "pip install asc-mrkd"
    fi
}
