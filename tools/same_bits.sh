#!/bin/sh
# Promise 1 for the eye: one small configuration trained in several ways, and the SHA-256
# of the weights that each of them ends in.
#
#   tools/same_bits.sh      what `make same-bits` runs, from the root of the tree
#
# One thread, two threads, the portable kernel table, the fastest table of this processor,
# and a run that is killed half-way (SIGKILL: it cannot say goodbye) and continued with
# --resume.  Compared are the weights and every figure of metrics.jsonl but the times.
# Status 1 when one differs.  NO_COLOR is honoured; everything lies in a temporary folder.
set -u
. tools/runs.sh

program=${FULLRANK_BIN:-./fullrank}
epochs=4
half=$((epochs / 2))

unset FULLRANK_KERN OMP_NUM_THREADS
tmp=$(mktemp -d)
killed=
trap '[ -z "$killed" ] || kill -9 $killed 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
run_colours
differ=0 first=''

cat >"$tmp/same-bits.yaml" <<END
method: {name: simsiam, proj_dim: 32, proj_bn: hidden, pred_hidden: 8}
model: {name: conv3, width: 0.5}
data: {name: shapes, size: 400}
augment: {recipe: simsiam_cifar, blur: 0.5, solarize2: 0.2}
optim: {name: sgd, base_lr: 0.2}
metrics: {samples: 80, bank: 400, knn_k: 20}
batch: 16
epochs: $epochs
END

# train FOLDER OPTION...
train()
{
    to=$1
    shift
    "$program" train "$tmp/same-bits.yaml" --out "$tmp/$to" "$@"
}

# row FOLDER TABLE THREADS HOW: the line of a finished run
row()
{
    hash=$(run_hash "$tmp/$1" 2>/dev/null)
    said=''
    if [ -z "$first" ]; then
        first=$1
    elif why=$(run_compare "$tmp/$first" "$tmp/$1" 2>/dev/null); then
        said="${good}equal$plain"
    else
        differ=1
        said="$bad${why%%:*}$plain"
    fi
    printf '  %-38s %-8s %-7s %-16.16s%s\n' "$4" "$3" "$2" "${hash:-no weights}" \
        "${said:+  $said}"
}

# way FOLDER TABLE THREADS HOW: trains and tells
way()
{
    FULLRANK_KERN=$2 train "$1" --quiet --threads "$3"
    row "$@"
}

# lines of metrics.jsonl: one before training, one an epoch
measured()
{
    cat "$tmp"/killed/*/*/s*/metrics.jsonl 2>/dev/null | wc -l
}

fastest=$("$program" doctor | sed -n 's/.*[ ,]\([a-z0-9]*\) (chosen).*/\1/p')

echo
echo "SimSiam on 400 generated images, $epochs epochs of 25 steps, random augmentation"
echo
printf '  %-38s %-8s %-7s %s\n' "how it was run" threads table weights_sha256

way one "$fastest" 1 "one thread"
way two "$fastest" 2 "two threads"
way seven "$fastest" 7 "seven threads"
way ref ref 2 "portable table, plain C"

# Half of the epochs are behind it and the next one has begun; a checkpoint after every
# step, so that the run is about to write one, or writing, when it goes.
export FULLRANK_KERN="$fastest"
"$program" train "$tmp/same-bits.yaml" --out "$tmp/killed" --quiet --threads 2 \
    checkpoint.seconds=0 &              # no function: its pid is the program's own
killed=$!
while [ "$(measured)" -le $half ] && kill -0 $killed 2>/dev/null; do
    sleep 0.02
done
sleep 0.1
kill -9 $killed 2>/dev/null
wait $killed 2>/dev/null
killed=
train killed --threads 1 checkpoint.seconds=0 --resume >"$tmp/resumed" 2>&1
place=$(sed -n 's/.*going on in \(epoch [0-9]*\) of [0-9]*/\1/p' "$tmp/resumed" |
    sed -n 's/ after \(step [0-9]*\) of .*/, \1/p')
if [ -n "$place" ]; then
    row killed "$fastest" "2, 1" "killed in $place; --resume"
else
    echo "  the run that was to be killed and continued was not:"
    cat "$tmp/resumed"
    differ=1
fi

echo
if [ $differ -eq 0 ]; then
    echo "The same weights to the last bit, and every measured figure the same."
else
    echo "Not all is as it should be; \`fullrank doctor\` tells about this machine."
fi
exit $differ
