#!/bin/sh
# The demonstration behind `make demo`: SimSiam with and without stop-gradient, on
# Fashion-MNIST where the package is installed, otherwise on generated shapes.  Ends with
# a table of both runs and a report page.
#
#   FULLRANK_BIN   the program (default ./fullrank)     DEMO_OUT   folder (default runs)
set -eu

program=${FULLRANK_BIN:-./fullrank}
out=${DEMO_OUT:-runs}
here=$(dirname "$0")
config=$here/simsiam/demo.yaml

if "$program" list datasets | grep -q '^fashion-mnist .*not here'; then
    echo "Fashion-MNIST is not installed (Debian package dataset-fashion-mnist);"
    echo "the demo uses the generated shapes instead."
    echo
    config=$here/simsiam/demo-shapes.yaml
fi

# Trains with stop-gradient on or off; `folder` is then the run's own.
train() {
    "$program" train "$config" "method.stop_gradient=$1" name=demo --out "$out"
    folder=$(dirname "$(ls -t "$out"/demo/*/s0/status.json | head -n 1)")
}

echo "1 of 2: SimSiam with stop-gradient"
echo
train true
with=$folder
echo
echo "2 of 2: the same without stop-gradient; watch sqrt(d)*std"
echo
train false
without=$folder
echo
"$program" report "$with" "$without" -o "$out/demo/report.html"
echo
echo "report: $out/demo/report.html"
