#!/usr/bin/env bash
# CINIC-10: residual networks trained with cross-entropy, Self-KD, MSD and MrKD (Table 5 of the paper).
#
#   bash recipes/cinic10/run.sh [OPTION ...] [key=value ...]
#
# --data DIR      CINIC-10 as unpacked (asc-mrkd download cinic10); default: built-in images
# --conf NAME     reduced or paper (conf/NAME.yaml); default: paper with --data and a GPU, else reduced
# --method NAMES  methods of `asc-mrkd methods`; default: ce,mrkd with the reduced settings, else ce,pskd,msd,mrkd

# shellcheck source=recipes/common/images.sh
source "$(dirname "$(readlink -f "$0")")/../common/images.sh"
image_recipe cinic10 10 "$@"
