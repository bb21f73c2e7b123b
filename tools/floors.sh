#!/bin/sh
# Holds the tree to its floors (docs/README.md draws them).
#
#   tools/floors.sh [TREE [BUILD]]        status 1 and one line for every violation
#
# Three things are checked:
#   includes   a file includes its own folder and lower floors, never up, never sideways
#   names      what an object exports carries its folder's prefix (BUILD/nn/tape.o: nn_)
#   calls      no exp, log, sin ... of the C library where results are made: their bits
#              differ between machines, nn/elem.h has our own; exit() in main.c alone
# tools/floors_test.sh plants one violation of each kind and sees it caught.
set -u
tree=${1:-.}
build=${2:-$tree/build}
cd "$tree" || exit 2
case $build in /*) ;; *) [ "$tree" = . ] || build=$OLDPWD/$build ;; esac

sources()
{
    for d in nn optim ssl data metrics experiments tests bench; do
        [ ! -d $d ] || find $d -name "$1"
    done
}

includes()
{
    { sources '*.[ch]'; sources '*.def'; } | sort |
    xargs grep -nH '^ *# *include' /dev/null | awk '
    # The floor a path stands on; 0 when it stands on none.
    function level(path)
    {
        if (path ~ /^nn\/(base|arena|room|rng|par|elem|setting)\./)   return 1
        if (path ~ /^nn\/kern\// || path ~ /^nn\/linalg\./)      return 2
        if (path ~ /^nn\/tensor\./)                              return 3
        if (path ~ /^nn\/(tape\.|watch\.|profile\.|op\.h$|ops\.def$)/)     return 4
        if (path ~ /^nn\/ops?[.\/]/)                             return 5
        if (path ~ /^nn\/(layer|jacobian)\./)                    return 6
        if (path ~ /^nn\/(models?|quants?)[.\/]/)                return 7
        if (path ~ /^(ssl|optim|data|metrics)\//)                return 8
        if (path ~ /^(experiments|tests|bench)\//)               return 9
        return 0
    }
    function top(path) { sub(/\/.*/, "", path); return path }
    function refuse(why)
    {
        print file ":" line ": may not include " target ": " why
        bad = 1
    }

    {
        file = $0; sub(/:.*/, "", file)
        line = $0; sub(/^[^:]*:/, "", line); sub(/:.*/, "", line)
        target = $0; sub(/^[^:]*:[^:]*:/, "", target)

        if (target ~ /[<"\/]stb_image/ && file != "data/image.c") {
            target = "stb_image.h"
            refuse("data/image.c is the only user of stb_image")
        }
        if (target !~ /"/)
            next
        sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
        # a bare name is a neighbour in the same folder
        if (target !~ /\//) {
            folder = file; sub(/[^\/]*$/, "", folder)
            target = folder target
        }
        from = level(file); to = level(target)
        mine = top(file); theirs = top(target)

        # the one exception: this test calls the report with what the program never gives
        if (file == "tests/test_report.c" && target == "experiments/report.h")
            next
        if (!from) {
            print file ": stands on no floor; give it one in tools/floors.sh"; bad = 1
        } else if (!to) {
            refuse("that path stands on no floor (write it from the root of the tree)")
        } else if (mine == theirs && mine != "nn") {
            next
        } else if ((mine == "data" || mine == "metrics") && to > 2) {
            refuse(mine " sees numbers only: nn base, arena, rng, par, elem, setting, " \
                   "kern, linalg")
        } else if (to > from) {
            refuse("it stands on a higher floor")
        } else if (to == from && mine != theirs) {
            refuse(mine " and " theirs " are neighbours, who do not know each other")
        }
    }
    END { exit bad }'
}

# Objects of sources that exist: a stale object of a deleted file is nobody'\''s fault.
objects()
{
    sources '*.c' | sort | while read -r c; do
        case $c in tests/*|bench/*) continue ;; esac
        [ ! -e "$build/${c%.c}.o" ] || echo "$build/${c%.c}.o"
    done
}

# nm -A prints "path/x.o: value type name" and, undefined, "path/x.o: U name".
symbols()
{
    objects | xargs -r nm -A -g "$1" | sed "s|^$build/||; s|\.o:| |"
}

names()
{
    symbols --defined-only | awk '
    BEGIN {
        prefix["nn"] = "nn_"; prefix["optim"] = "opt_"; prefix["ssl"] = "ssl_"
        prefix["data"] = "data_"; prefix["metrics"] = "met_"
        prefix["experiments"] = "ex_"
    }
    {
        file = $1; name = $NF; folder = file; sub(/\/.*/, "", folder)
        if (name ~ /^__/)                       # added by the sanitizers
            next
        # names that the C library asks for
        if (file == "experiments/main" && name ~ /^(main|argp_program_.*)$/)
            next
        if (index(name, prefix[folder]) != 1) {
            print file ".c: exports " name ", which lacks the prefix " prefix[folder] \
                  " (or should be static)"
            bad = 1
        }
    }
    END { exit bad }'
}

calls()
{
    symbols -u | awk '
    BEGIN {
        split("exp exp2 exp10 expm1 log log2 log10 log1p pow sin cos sincos tan " \
              "sinh cosh tanh asin acos atan atan2 cbrt hypot erf erfc tgamma " \
              "lgamma", list, " ")
        for (i in list) {
            libm[list[i]] = libm[list[i] "f"] = 1
        }
    }
    {
        file = $1; name = $NF; sub(/@.*/, "", name)
        if (name in libm && file !~ /^experiments\//) {
            print file ".c: calls " name "() of the C library, whose bits differ " \
                  "between machines; nn/elem.h and the kernel tables have our own"
            bad = 1
        }
        if (name == "exit" && file != "experiments/main") {
            print file ".c: calls exit(); only experiments/main.c may"
            bad = 1
        }
    }
    END { exit bad }'
}

status=0
includes || status=1
names || status=1
calls || status=1
exit $status
