#!/bin/sh
# Is the guard awake?  A small tree without fault must pass tools/floors.sh, and every
# fault planted in it must be caught, by the words that name it.
set -u
guard=$(cd "$(dirname "$0")" && pwd)/floors.sh
CC=${CC:-cc}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# A fresh tree: one file of each kind, all innocent.
innocent()
{
    rm -rf "${dir:?}"/*
    (
        cd "$dir" || exit
        mkdir -p nn/kern nn/ops optim data metrics experiments tests build/nn
        echo '#include <stddef.h>'           > nn/base.h
        echo '#include "nn/base.h"'          > nn/tape.h
        echo '#include "nn/tape.h"'          > nn/ops/relu.c
        echo '#include "nn/base.h"'          > nn/kern/kern.h
        echo '#include "nn/kern/kern.h"'     > metrics/rank.c
        echo '#include "nn/base.h"'          > data/data.h
        echo '#include "data.h"'             > data/idx.c
        echo '#include "nn/tape.h"'          > optim/opt.h
        echo '#include "optim/opt.h"'        > experiments/run.c
        echo '#include "data/data.h"'        > tests/test_data.c
        echo 'int nn_one(void); int nn_one(void) { return 1; }' > nn/one.c
        $CC -c nn/one.c -o build/nn/one.o
    )
}

passes()
{
    "$guard" "$dir" "$dir/build" >"$dir/said" 2>&1 && return
    echo "floors_test: an innocent tree is refused:"; cat "$dir/said"; failed=1
}

# caught FILE LINE WORDS: with LINE added to FILE, the guard fails and says WORDS
caught()
{
    innocent
    echo "$2" >> "$dir/$1"
    case $2 in '#include'*) ;; *) $CC -w -c "$dir/$1" -o "$dir/build/${1%.c}.o" ;; esac
    if "$guard" "$dir" "$dir/build" >"$dir/said" 2>&1 || ! grep -qF "$3" "$dir/said"; then
        echo "floors_test: not caught in $1: $2"; cat "$dir/said"; failed=1
    fi
}

innocent
passes
caught nn/base.h      '#include "nn/tape.h"'       'base.h:2: may not include nn/tape.h'
caught nn/tape.h      '#include "optim/opt.h"'     'a higher floor'
caught metrics/rank.c '#include "nn/tape.h"'       'metrics sees numbers only'
caught metrics/rank.c '#include "data/data.h"'     'sees numbers only'
caught optim/opt.h    '#include "data/data.h"'     'optim and data are neighbours'
caught tests/test_data.c '#include "experiments/run.h"' 'tests and experiments are'
caught nn/base.h      '#include "nn/junk.h"'       'stands on no floor'
caught data/idx.c     '#include <stb/stb_image.h>' 'only user of stb_image'
caught nn/one.c 'int helper(void) { return 2; }'   'exports helper, which lacks'
caught nn/one.c 'double expf(); float nn_e(float x) { return expf(x); }' 'calls expf()'
caught nn/one.c 'void exit(int); void nn_x(void) { exit(1); }' 'only experiments/main.c'
exit $failed
