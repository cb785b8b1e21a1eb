#!/bin/sh
# Is it slower than the branch that it goes to? A job of any CI. It starts the server from that branch and from the
# working tree, and leaves in a folder what the CI should keep: the comparison as Markdown and as JSON.
#
#   scenarios/ci/compare.sh [FOLDER] [arguments of loadkit compare, such as --prepare 'pip install -e .']
#
# LOAD_BASE is the branch, LOAD_BUDGET how long it may measure. The exit code is that of loadkit compare: 0 no worse,
# 1 worse, 6 it cannot be told. On GitHub the Markdown is in the summary of the job, too.
set -eu
folder=${1:-load-results}
[ $# -eq 0 ] || shift
base=${LOAD_BASE:-origin/main}
# the clone of a CI may have neither the branch nor its history
case $base in origin/*) git fetch --quiet origin "+refs/heads/${base#origin/}:refs/remotes/$base" ;; esac
mkdir -p "$folder"
exec python -m loadkit compare scenarios/compared.py --against "$base" --budget "${LOAD_BUDGET:-3m}" \
    --markdown "$folder/compare.md" --output "$folder/compare.json" "$@"
