#!/usr/bin/env bash
# DCASE 2025 task 1: one second of sound, several devices, 128 kB and 30 million multiply-adds. CP-ResNet teaches CP-Mobile.
#
#   bash recipes/dcase25/run.sh [OPTION ...] [key=value ...]
#
# --data DIR        TAU-urban-acoustic-scenes-2022-mobile-development as unpacked; default: built-in scenes
# --conf NAME       settings of the student, conf/NAME.yaml; default: reduced
# --method NAMES    ce, mrkd, kd (the teacher alone) and kd_mrkd (with backups of the student), or others of `asc-mrkd
#                   methods`; default: these four; the last one is trained further for single devices, and counted

# shellcheck source=recipes/common/recipe.sh
source "$(dirname "$(readlink -f "$0")")/../common/recipe.sh"
parse_options "--conf --method" "$@"
conf=${conf:-reduced}
method=${method:-ce,mrkd,kd,kd_mrkd}
choose_settings dcase25 scenes/TAU-urban-acoustic-scenes-2022-mobile-development "$method"
use_environment
require_methods "${methods[@]/#kd_mrkd/kd}" # kd_mrkd is the method kd, with backups

teacher=$out/$conf/teacher
# set_student_training NAME: set_training for a student; kd and kd_mrkd are taught by the teacher.
set_student_training() {
    case $1 in
        kd) set_training "{name: kd, teacher_files: ['$teacher']}" "data.store=$out/store" ;;
        kd_mrkd) set_training "{name: kd, variant: mrkd, backups: replay, teacher_files: ['$teacher']}" "data.store=$out/store" ;;
        *) set_training "$1" "data.store=$out/store" ;;
    esac
}
require_settings set_student_training

devices=(a b c s1 s2 s3)
if [ "$built_in" = true ]; then
    devices=(b s1)
fi
if [ "$built_in" = true ]; then
    stage 1 "make the built-in scenes" asc-mrkd make-scenes "$out/scenes" --layout tau2022-mobile
fi
stage 2 "check the data set" asc-mrkd check-data "$data" --spec logmel256
stage 3 "extract the features" asc-mrkd extract-features --data "$data" --spec logmel256 --out "$out/store"
stage 4 "train the teacher" asc-mrkd train "$folder/conf/teacher.yaml" "data.store=$out/store" --out "$teacher"
for name in "${methods[@]}"; do
    set_student_training "$name"
    stage 5 "train the students" asc-mrkd train "$experiment" "${training[@]}" --out "$out/$conf/$name"
done
for name in teacher "${methods[@]}"; do
    stage 6 "score by device and group" asc-mrkd evaluate "$out/$conf/$name"
done

entry=${runs[${#runs[@]} - 1]} # the run of the last method
small=$out/$conf/float16/${entry##*/}
for device in "${devices[@]}"; do
    set_training ce "data={store: '$out/store', devices: [$device]}" "train.start=$entry"
    training+=(method=ce train.epochs=5 train.optimizer.lr=0.0003) # the settings of the command line are the students'
    stage 7 "train the last student further for one device" \
        asc-mrkd train "$experiment" "${training[@]}" --out "$out/$conf/devices/$device"
done
for device in "${devices[@]}"; do
    stage 8 "score the clips of the device" asc-mrkd evaluate "$out/$conf/devices/$device"
done
stage 9 "store the last student in float16" \
    asc-mrkd compress "$entry" float16 --rule dcase2025-task1 --out "$small"
stage 10 "check the budget" asc-mrkd check-budget "$small" --rule dcase2025-task1
stage 11 "report" asc-mrkd report "${runs[@]}" --recordings "$data" --out "$out/report.html"
