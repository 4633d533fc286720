#!/usr/bin/env bash
# CINIC-10: residual networks trained with cross-entropy, Self-KD, MSD and MrKD (Table 5 of the paper).
#
#   bash recipes/cinic10/run.sh [--data DIR] [--conf NETWORK] [--method NAMES] [--seeds 0-3] [--out DIR]
#                               [--stage N] [--stop-stage N] [--list] [--dry-run] [key=value ...]
#
# --data DIR      CINIC-10 as unpacked (asc-mrkd download cinic10); without it, built-in images
# --conf NETWORK  conf/NETWORK.yaml; default: resnet32 where there is a GPU and --data, else reduced
# --method NAMES  of `asc-mrkd methods`; default: ce,pskd,msd,mrkd, with the reduced settings ce,mrkd

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
title=cinic10 classes=10
# shellcheck source=recipes/common/recipe.sh
source "$here/../common/recipe.sh"
# shellcheck source=recipes/common/images.sh
source "$here/../common/images.sh"
parse_options "$@"
image_recipe
