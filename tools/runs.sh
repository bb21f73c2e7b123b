# Small runs and what is compared of them; read by bits.sh, neon.sh and same_bits.sh.
#
#   models PROGRAM             the models it knows
#   run_config MODEL IMAGES    a configuration on generated images: every random
#                              augmentation, and another optimiser for every model;
#                              on generated vectors where the model wants those
#   run_hash FOLDER            weights_sha256 of the finished run below FOLDER
#   run_figures FOLDER         every figure of its metrics.jsonl but the times
#   run_compare WANT GOT       the runs below both folders: how they differ, and status 1;
#                              nothing when all is the same
#   run_colours                sets $good, $bad and $plain, empty away from a terminal
# shellcheck shell=sh disable=SC2034

models()
{
    "$1" list models | awk '{ print $1 }'
}

# Autoencoders train a codebook, each another one.
#
# resnet8 is wide enough to take tiles of Winograd.  Large steps: when weights hardly move,
# a gradient that is off in its last bit moves them to the same float.
run_config()
{
    method='{name: simsiam, proj_dim: 16, proj_bn: hidden, pred_hidden: 4}'
    case $1 in
        autoencoder)      codes='{name: ema, codes: 24, init: kmeans, restart: 0.5}' ;;
        autoencoder_toy)  codes='{name: simvq, codes: 24, stages: 2}' ;;
        mlp_autoencoder)  codes='{name: cvq, codes: 24, metric: cosine}' ;;
        identity)         codes='{name: vq, codes: 24, init: normal}' ;;
        *)                codes= ;;
    esac
    [ -z "$codes" ] || method="{name: vqvae}
quantiser: $codes"
    case $1 in
        mlp)      width=0.1   optim=sgd        lr=0.5 ;;
        conv3)    width=0.5   optim=lars       lr=5 ;;
        resnet8)  width=0.5   optim=adamw      lr=0.02 ;;
        *)        width=0.03  optim=lars_clip  lr=0.5 ;;
    esac
    case $1 in
        identity) cat <<END ;;
model: {name: identity}
data: {name: clouds, size: $2}
augment: {noise: 0.5}
END
        *)        cat <<END ;;
model: {name: $1, width: $width}
data: {name: shapes, size: $2}
augment: {crop: true, flip: 0.5, jitter: 0.8, brightness: 0.4, contrast: 0.4,
          saturation: 0.4, hue: 0.1, grey: 0.2, blur: 0.5, blur2: 0.1,
          solarize: 0.1, solarize2: 0.2}
END
    esac
    cat <<END
method: $method
optim: {name: $optim, lr: $lr}
metrics: {samples: 6, bank: 10, knn_k: 5}
batch: 4
epochs: 2
END
}

run_hash()
{
    sed -n 's/.*"weights_sha256": *"\([0-9a-f]*\)".*/\1/p' "$1"/*/*/s*/status.json
}

run_figures()
{
    sed -E 's/"(seconds|eval_seconds|images_per_s|data_wait)":[^,}]*,?//g' \
        "$1"/*/*/s*/metrics.jsonl
}

run_compare()
{
    # a run that ended without its hash is like no other
    if [ -z "$(run_hash "$1")" ] || [ "$(run_hash "$1")" != "$(run_hash "$2")" ]; then
        echo "DIFFERENT weights: $(run_hash "$2")"
        return 1
    fi
    run_figures "$1" >"$1/figures"
    run_figures "$2" >"$2/figures"
    cmp -s "$1/figures" "$2/figures" && return 0
    echo "DIFFERENT figures:"
    diff "$1/figures" "$2/figures"
    return 1
}

run_colours()
{
    good='' bad='' plain=''
    if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
        good=$(printf '\033[32m') bad=$(printf '\033[1;31m') plain=$(printf '\033[0m')
    fi
}
