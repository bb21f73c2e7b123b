#!/usr/bin/env bash
# What do the same bits cost?  Our training step against the same step with its sums set
# free, taking turns: `make bench-free`.
#
#   bench/free.sh PATH/TO/fullrank [OPTION...]      options of `fullrank bench step`
#
# Set free, in a copy of the sources:
#   -ffast-math -ffp-contract=fast      the compiler may reorder, fuse and vectorise sums
#   NN_ROWS 256 -> 16384                column sums (BatchNorm, biases) in few long chunks
#   CHUNKS 16 -> the threads            a direct weight gradient has one partial sum per
#                                       thread, what an OpenMP reduction clause would do
#                                       (Winograd's keep theirs)
# and the partial sums are folded in any order by the compiler.  The kernels' fused
# multiply-add in order of k is what a free library does too, so it stays.
set -euo pipefail
program=$(realpath "$1")
shift
here=$(cd "$(dirname "$0")" && pwd)
threads=$(nproc)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

mkdir "$copy/tree"
(cd "$here/.." && cp -r Makefile nn optim ssl data metrics experiments bench tools "$copy/tree")
cd "$copy/tree"

# change FILE FROM TO: an edit that must find what it changes
change()
{
    grep -qF -e "$2" "$1" || { echo "bench/free.sh: '$2' is not in $1 any more" >&2; exit 1; }
    sed -i "s|$2|$3|" "$1"
}
change Makefile "-fno-fast-math -ffp-contract=off" "-ffast-math -ffp-contract=fast"
change nn/kern/pick.c "#error" "// #error"      # the refusal of such flags
change nn/kern/kern.h "NN_ROWS = 256," "NN_ROWS = 16384,"
change nn/kern/conv.c "CHUNKS = 16," "CHUNKS = $threads,"

echo "building the step with free sums"
${MAKE:-make} fullrank-bench >"$copy/log" 2>&1 || { cat "$copy/log" >&2; exit 1; }
"$program" bench step --peer "$copy/tree/fullrank-bench" "$@"
