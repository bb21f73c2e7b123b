#!/usr/bin/env bash
# Our training step beside PyTorch's on the same cores: `make bench`.
#
#   bench/run.sh PATH/TO/step
#
#   MODELS="conv3 resnet8"   ROUNDS=9   SECONDS_EACH=1   BATCH=256   THREADS=<cores>
#   PYTHON=python3           a Python that has torch; without one, our side is timed alone
#   PEER=PATH/TO/step        another build of our step in PyTorch's place (bench/free.sh)
#
# On a shared machine a time says little; a ratio says something if both sides met the
# same conditions.  So all programs stay alive and take turns, in rotating order, a second
# each; a round gives one ratio (theirs / ours, with PyTorch's better memory layout of
# that round), and what is reported is the median of the rounds.  Rounds in which the host
# took more than 5 % of the processor time away are dropped.
set -euo pipefail
step=$1
here=$(cd "$(dirname "$0")" && pwd)
models=${MODELS:-conv3 resnet8}
rounds=${ROUNDS:-9}
each=${SECONDS_EACH:-1}
batch=${BATCH:-256}
threads=${THREADS:-$(nproc)}
python=${PYTHON:-python3}
peer=${PEER:-}

work=$(mktemp -d)
pids=()
cleanup()
{
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

# Partners: names, and one pair of pipes each.
partner=() to=() from=()

# join NAME COMMAND... starts a partner and waits until it is ready.
join()
{
    local name=$1 in out said
    shift
    mkfifo "$work/$name.in" "$work/$name.out"
    (
        # pipes of the partners before: who holds one open keeps its reader waiting
        for fd in "${to[@]}" "${from[@]}"; do exec {fd}>&-; done
        exec "$@"
    ) <"$work/$name.in" >"$work/$name.out" 2>"$work/$name.err" &
    pids+=($!)
    exec {in}>"$work/$name.in" {out}<"$work/$name.out"
    if ! read -r said <&"$out"; then
        echo "bench: $name did not start:" >&2
        cat "$work/$name.err" >&2
        exit 1
    fi
    echo "  $name: ${said#ready }"
    partner+=("$name") to+=("$in") from+=("$out")
}

# ask I: the median step of partner I in milliseconds
ask()
{
    local answer
    echo "$each" >&"${to[$1]}"
    read -r answer <&"${from[$1]}"
    echo "$answer"
}

leave()
{
    local i said in out
    for i in "${!partner[@]}"; do
        in=${to[$i]} out=${from[$i]}
        exec {in}>&-
        read -r said <&"$out" && echo "  ${partner[$i]}: $said"
        exec {out}<&-
        rm -f "$work/${partner[$i]}".*
    done
    wait "${pids[@]}"
    partner=() to=() from=() pids=()
}

# "stolen total" of the processor so far, in ticks
ticks()
{
    awk '/^cpu / { for (i = 2; i <= 9; i++) t += $i; print $9, t; exit }' /proc/stat
}

has_torch=0
if [ -n "$peer" ]; then
    :
elif "$python" -c 'import torch' 2>/dev/null; then
    has_torch=1
else
    echo "PyTorch is not there (PYTHON=$python), so our side is timed alone;" \
         "\`pip install torch\` in an environment of its own, then PYTHON=.../bin/python"
fi

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "processor: ${cpu:-unknown}, $threads threads"
echo "rounds: $rounds of $each s a side, batch $batch (images a step; each is two views)"

for model in $models; do
    echo "$model"
    join ours "$step" "$model" "$batch" "$threads"
    if [ -n "$peer" ]; then
        join peer "$peer" "$model" "$batch" "$threads"
    fi
    if [ $has_torch = 1 ]; then
        for layout in contiguous channels_last; do
            join "torch-$layout" "$python" "$here/torch_step.py" "$model" "$batch" \
                "$threads" "$layout"
        done
    fi
    n=${#partner[@]}
    : >"$work/rows"
    for ((round = 0; round < rounds; round++)); do
        before=$(ticks)
        took=()
        for ((k = 0; k < n; k++)); do
            i=$(((round + k) % n))
            took[i]=$(ask "$i")
        done
        echo "$before $(ticks) ${took[*]}" >>"$work/rows"
    done
    awk -v batch="$batch" -v n="$n" '
    function median(v, c,    i, j, t)
    {
        for (i = 2; i <= c; i++)
            for (j = i; j > 1 && v[j] < v[j - 1]; j--) {
                t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
            }
        return c % 2 ? v[(c + 1) / 2] : (v[c / 2] + v[c / 2 + 1]) / 2
    }
    {
        stolen = $4 > $2 ? ($3 - $1) / ($4 - $2) : 0
        printf "  round %2d  stolen %4.1f %%  step ms", NR, 100 * stolen
        for (i = 5; i <= NF; i++)
            printf "  %8.1f", $i
        if (n == 3)
            printf "  ratio %.2f", ($6 < $7 ? $6 : $7) / $5
        if (n == 2)
            printf "  ratio %.3f", $5 / $6
        print (stolen > 0.05 ? "  dropped" : "")
        if (stolen > 0.05)
            next
        kept++
        ours[kept] = batch / $5 * 1e3
        if (n == 3) {
            plain[kept] = batch / $6 * 1e3
            last[kept] = batch / $7 * 1e3
            ratio[kept] = ($6 < $7 ? $6 : $7) / $5
        }
        if (n == 2)
            ratio[kept] = $5 / $6
    }
    END {
        if (!kept) { print "  every round was disturbed: no figure"; exit }
        printf "  median of %d rounds, images/s: ours %.0f", kept, median(ours, kept)
        if (n == 3) {
            printf ", torch contiguous %.0f, torch channels_last %.0f", \
                   median(plain, kept), median(last, kept)
            m = median(ratio, kept)     # sorts the ratios
            printf "\n  ratio, ours / the better torch: %.2f (from %.2f to %.2f)", \
                   m, ratio[1], ratio[kept]
        }
        if (n == 2) {
            m = median(ratio, kept)
            printf "\n  time of a step, ours / the peer: %.3f (from %.3f to %.3f)", \
                   m, ratio[1], ratio[kept]
        }
        print ""
    }' "$work/rows"
    leave
done
