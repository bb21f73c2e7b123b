#!/bin/sh
# Every race, one after the other, and bench/RESULTS.md from what they print: `make bench`.
#
#   bench/run.sh PATH/TO/fullrank [RACE...]     races: gemm conv step losses metrics
#
#   PYTHON=python3      a Python that has torch, numpy and scipy
#   RESULTS=FILE        where the page goes
#   OPTIONS="..."       options of `fullrank bench`, such as --rounds 5
#
# The page is written anew only when all five have run.
set -eu
program=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
results=${RESULTS:-$here/RESULTS.md}
races=${*:-gemm conv step losses metrics}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for race in $races; do
    # shellcheck disable=SC2086
    "$program" bench "$race" ${OPTIONS:-} 2>&1 | tee "$work/$race"
    echo
done
for race in gemm conv step losses metrics; do
    [ -s "$work/$race" ] || exit 0
done
{
    cat "$here/RESULTS.head.md"
    for race in gemm conv step losses metrics; do
        printf '\n## %s\n\n```\n' "$race"
        cat "$work/$race"
        printf '```\n'
    done
} >"$results.new"
mv "$results.new" "$results"
echo "written: $results"
