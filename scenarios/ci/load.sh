#!/bin/sh
# A performance check as a job of any CI. It runs the load tests one after the other, with nothing beside them, and
# leaves in a folder what the CI should keep: a result for each test, one page of all, and JUnit XML.
#
#   scenarios/ci/load.sh [FOLDER] [pytest's arguments]
#
# LOAD_DURATION shortens or lengthens all of them. The exit code is pytest's: 0 passed, 1 a limit was missed.
set -eu
folder=${1:-load-results}
[ $# -eq 0 ] || shift
mkdir -p "$folder"
exec python -m pytest scenarios/test_shop.py --load-only -v \
    --load-duration "${LOAD_DURATION:-10s}" --load-json "$folder" --load-html "$folder/load.html" \
    --junit-xml "$folder/junit.xml" "$@"
