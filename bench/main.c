/* fullrank-bench: ours beside theirs on the same cores.  `fullrank bench` starts it. */
#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

static const bench_kind *const kinds[] = {
    &bench_kind_gemm,   &bench_kind_conv,    &bench_kind_step,
    &bench_kind_losses, &bench_kind_metrics,
};

typedef struct line {
    const bench_kind *kind;
    const char *serve;
    bench_options o;
} line;

enum {
    OPT_THREADS = 256,
    OPT_ROUNDS,
    OPT_QUICK,
    OPT_JSON,
    OPT_ONLY,
    OPT_PEER,
    OPT_SERVE
};

static const struct argp_option options[] = {
    { "threads", OPT_THREADS, "N", 0, "Threads of every side (default: all cores)", 0 },
    { "rounds", OPT_ROUNDS, "N", 0, "Rounds of a row, up to 64", 0 },
    { "only", OPT_ONLY, "TEXT", 0, "Rows whose set or shape holds TEXT", 0 },
    { "quick", OPT_QUICK, NULL, 0, "Leave out the long rows", 0 },
    { "json", OPT_JSON, NULL, 0, "Print one JSON object and nothing else", 0 },
    { "peer", OPT_PEER, "PROGRAM", 0,
      "step only: another fullrank-bench in the place of the others", 0 },
    { "serve", OPT_SERVE, "SIDE", OPTION_HIDDEN, "Be one side, on standard input", 0 },
    { 0 }
};

static int number(struct argp_state *state, const char *name, const char *arg, int most)
{
    int v;
    if (!bench_int(arg, 1, most, &v))
        argp_error(state, "--%s wants a whole number from 1 to %d, not '%.40s'", name,
                   most, arg);
    return v;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    line *l = state->input;

    switch (key) {
    case OPT_THREADS:
        l->o.threads = number(state, "threads", arg, 1024);
        return 0;
    case OPT_ROUNDS:
        l->o.rounds = number(state, "rounds", arg, BENCH_ROUNDS);
        return 0;
    case OPT_QUICK:
        l->o.quick = 1;
        return 0;
    case OPT_JSON:
        l->o.json = 1;
        return 0;
    case OPT_ONLY:
        l->o.only = arg;
        return 0;
    case OPT_PEER:
        l->o.peer = arg;
        return 0;
    case OPT_SERVE:
        l->serve = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (l->kind)
            argp_error(state, "one argument too many: '%.80s'", arg);
        for (size_t i = 0; i < NN_COUNT(kinds); i++)
            if (strcmp(kinds[i]->name, arg) == 0)
                l->kind = kinds[i];
        if (!l->kind)
            argp_error(state,
                       "no bench '%.40s'; there is gemm, conv, step, losses, metrics",
                       arg);
        return 0;
    case ARGP_KEY_END:
        if (!l->kind && !l->serve)
            argp_error(state, "say which: gemm, conv, step, losses or metrics");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static char name[] = "fullrank bench";
    line l = { 0 };
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "gemm|conv|step|losses|metrics",
        .doc = "Time our code beside the libraries that one would pick instead, in turns,"
               " on the same cores.\vBLAS libraries are loaded if the system has them;"
               " PyTorch is asked through the Python that PYTHON names (python3).  Sides "
               "that"
               " are not here are named and left out.  Exit code 1: a row failed, or two"
               " sides disagree about its result.",
    };

    argp_err_exit_status = NN_ECONFIG;
    if (argc > 0)
        argv[0] = name;
    argp_parse(&argp, argc, argv, 0, NULL, &l);
    if (!nn_kern_choose(NULL)) {
        fprintf(stderr,
                "bench: FULLRANK_KERN=%.40s: no such kernel table on this machine\n",
                getenv("FULLRANK_KERN"));
        return NN_ECONFIG;
    }
    if (!l.o.threads)
        l.o.threads = nn_par_threads();
    if (l.serve)
        return bench_serve(l.serve, l.o.threads);
    if (l.o.peer && l.kind != &bench_kind_step) {
        fputs("bench: --peer goes with 'step' alone\n", stderr);
        return NN_ECONFIG;
    }
    return bench_conduct(l.kind, &l.o);
}
