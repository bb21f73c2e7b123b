/* The command line.  This is the only file of the program that exits. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/data.h"
#include "data/map.h"
#include "experiments/ask.h"
#include "experiments/config.h"
#include "experiments/data_command.h"
#include "experiments/eval.h"
#include "experiments/loss.h"
#include "experiments/plan.h"
#include "experiments/progress.h"
#include "experiments/quantise.h"
#include "experiments/report.h"
#include "experiments/reproduce.h"
#include "experiments/train.h"
#include "experiments/version.h"

enum { OPT_SEED = 256, OPT_OUT, OPT_THREADS, OPT_RESUME, OPT_JSON, OPT_QUIET,
       OPT_DEBUG_NAN, OPT_PROFILE, OPT_GRAD };
enum { OPT_KNN = 320, OPT_KNN_T, OPT_LINEAR, OPT_PROBE, OPT_METRICS, OPT_SPLIT, OPT_JEPA,
       OPT_IMAGES, OPT_OF, OPT_CHECKPOINT };    /* of eval */
enum { OPT_CODEBOOK = 352, OPT_DECODE, OPT_FIT, OPT_ROUNDS,
       OPT_CODEBOOK_OUT };              /* of quantise */
enum { OPT_SET = 368, OPT_VIEWS, OPT_OPERATION };       /* of data */
enum { OPT_SEEDS = 384, OPT_QUICK, OPT_LIST, OPT_ONLY, OPT_JOBS, OPT_MARKDOWN };

const char *argp_program_version = "fullrank " EX_VERSION;

/* What the options and arguments of any command come to. */
typedef struct line {
    const char *command;
    int words, most, least;             /* arguments that are not options */
    const char **word;
    char setting[2][4096];              /* --seed and --out as KEY=VALUE */
    int threads, quiet, json, resume, debug_nan, profile;
    const char *output, *grad;
    ex_eval_options eval;
    ex_reproduce_options reproduce;
    ex_quantise_options quantise;
    ex_data_options data;
    nn_err err;
} line;

/* ---- options ------------------------------------------------------------------- */

static const struct argp_option train_options[] = {
    { "seed", OPT_SEED, "N", 0, "The same as seed=N", 0 },
    { "out", OPT_OUT, "DIR", 0, "The same as out=DIR: the folder that holds the runs",
      0 },
    { "threads", OPT_THREADS, "N", 0, "Threads to use; the result does not depend on it",
      0 },
    { "resume", OPT_RESUME, "auto", OPTION_ARG_OPTIONAL,
      "Go on where this run was stopped; =auto, for job scripts, starts it without asking"
      " when it has not begun", 0 },
    { "debug-nan", OPT_DEBUG_NAN, NULL, 0,
      "When loss or gradient is not finite, list every operator of that step in the run"
      " folder (with --resume from the last checkpoint on)", 0 },
    { "profile", OPT_PROFILE, NULL, 0,
      "Tell at the end where the time went: time, GFLOP/s and GB/s of every operator, as a"
      " table and, with a picture of a few steps for chrome://tracing or Perfetto, in"
      " profile.json in the run folder", 0 },
    { "quiet", OPT_QUIET, NULL, 0, "Print errors only", 0 },
    { "json", OPT_JSON, NULL, 0, "Print one JSON object and nothing else", 0 },
    { 0 }
};

static const struct argp_option plan_options[] = {
    { "seed", OPT_SEED, "N", 0, "The same as seed=N", 0 },
    { "threads", OPT_THREADS, "N", 0, "Threads to use", 0 },
    { "json", OPT_JSON, NULL, 0, "Print one JSON object and nothing else", 0 },
    {0}
};

static const struct argp_option loss_options[] = {
    { "grad", OPT_GRAD, "PREFIX", 0, "Write the gradient with respect to each file:"
      " PREFIX_0.npy, PREFIX_1.npy, ...", 0 },
    { "json", OPT_JSON, NULL, 0, "Print one JSON object and nothing else", 0 },
    {0}
};

static const struct argp_option quantise_options[] = {
    { "codebook", OPT_CODEBOOK, "C.npy", 0, "The codes, (K, D); for rvq one for every stage,"
      " or (S, K, D)", 0 },
    { "output", 'o', "FILE.npy", 0, "Write the indices, int32", 0 },
    { "decode", OPT_DECODE, "FILE.npy", 0, "Write what the codes make of the vectors", 0 },
    { "fit", OPT_FIT, "K", 0, "Learn K codes from the vectors by k-means", 0 },
    { "rounds", OPT_ROUNDS, "N", 0, "Its rounds (default: 20)", 0 },
    { "seed", OPT_SEED, "N", 0, "Which vectors it begins with (default: 0)", 0 },
    { "codebook-out", OPT_CODEBOOK_OUT, "FILE.npy", 0, "Write the codes that were learnt", 0 },
    { "export-codebook", 0, NULL, OPTION_ALIAS, NULL, 0 },
    { "split", OPT_SPLIT, "test|train", 0, "Images of the run (default: test)", 0 },
    { "checkpoint", OPT_CHECKPOINT, "last|prev|FILE", 0, "Its weights (default: last, or prev"
      " when that is missing or damaged)", 0 },
    { "threads", OPT_THREADS, "N", 0, "Threads to use; the result does not depend on it",
      0 },
    { "json", OPT_JSON, NULL, 0, "Print one JSON object and nothing else", 0 },
    {0}
};

static const struct argp_option data_options[] = {
    { "set", OPT_SET, "NAME", 0, "Whose files lie in the folder that is named", 0 },
    { "output", 'o', "FILE.png|PREFIX", 0, "What show and export write", 0 },
    { "images", OPT_IMAGES, "N", 0, "show: rows of the sheet (default: 10)", 0 },
    { "views", OPT_VIEWS, "N", 0, "show: views of each image (default: 8)", 0 },
    { "operation", OPT_OPERATION, "crop|flip|jitter|grey|blur|solarize|all", 0,
      "show: this operation alone, or each of them", 0 },
    { "json", OPT_JSON, NULL, 0, "list and check: print one JSON object and nothing else",
      0 },
    {0}
};

static const struct argp_option doctor_options[] = {
    { "threads", OPT_THREADS, "N", 0, "Threads to use", 0 },
    {0}
};

static const struct argp_option eval_options[] = {
    { "metrics", OPT_METRICS, NULL, 0, "Every collapse metric of z and h (without any of"
      " these options: that, and kNN as in the run)", 0 },
    { "knn", OPT_KNN, "K,K,...", 0, "Nearest neighbours of h, with each of these K", 0 },
    { "knn-t", OPT_KNN_T, "T", 0, "Their temperature instead of metrics.knn_t", 0 },
    { "linear", OPT_LINEAR, NULL, 0, "The linear probe of h, as in a run with metrics.linear", 0 },
    { "probe", OPT_PROBE, "ridge|sgd", 0, "How it learns (default: metrics.probe)", 0 },
    { "jepa-score", OPT_JEPA, NULL, 0, "Log volume of the Jacobian at single images", 0 },
    { "images", OPT_IMAGES, "N", 0, "The first N of them (default: 16)", 0 },
    { "of", OPT_OF, "h|z", 0, "The Jacobian of what (default: h)", 0 },
    { "split", OPT_SPLIT, "test|train", 0, "Images that metrics and JEPA-SCORE look at"
      " (default: test)", 0 },
    { "checkpoint", OPT_CHECKPOINT, "last|prev|FILE", 0, "Which weights (default: last, or"
      " prev when that is missing or damaged)", 0 },
    { "threads", OPT_THREADS, "N", 0, "Threads to use; the result does not depend on it",
      0 },
    { "quiet", OPT_QUIET, NULL, 0, "No progress", 0 },
    { "json", OPT_JSON, NULL, 0, "Print one JSON object and nothing else", 0 },
    {0}
};

static const struct argp_option report_options[] = {
    { "output", 'o', "FILE", 0, "The page to write (default: report.html)", 0 },
    {0}
};

static const struct argp_option reproduce_options[] = {
    { "seeds", OPT_SEEDS, "N-N,...", 0, "Seeds of every run (default: 0-2)", 0 },
    { "only", OPT_ONLY, "CLAIM,...", 0, "These claims, and the runs they need", 0 },
    { "quick", OPT_QUICK, NULL, 0,
      "Small runs that show that all works and say nothing about the claims", 0 },
    { "list", OPT_LIST, NULL, 0, "Show claims and runs, or all papers; train nothing",
      0 },
    { "out", OPT_OUT, "DIR", 0, "The folder that holds the runs (default: runs)", 0 },
    { "threads", OPT_THREADS, "N", 0, "Threads of all runs together", 0 },
    { "jobs", OPT_JOBS, "N", 0, "Runs at once, which share the threads (default: 1)", 0 },
    { "markdown", OPT_MARKDOWN, "FILE", 0, "Write the table as Markdown too", 0 },
    { "json", OPT_JSON, NULL, 0, "Print one JSON object and nothing else", 0 },
    {0}
};

static const struct argp_option no_options[] = { {0} };

/* The options of eval, whose words are checked by ex_eval. */
static error_t parse_eval(int key, const char *arg, ex_eval_options *o)
{
    switch (key) {
    case OPT_METRICS:
        o->metrics = 1;
        return 0;
    case OPT_KNN:
        o->knn = arg;
        return 0;
    case OPT_KNN_T:
        o->knn_t = arg;
        return 0;
    case OPT_LINEAR:
        o->linear = 1;
        return 0;
    case OPT_PROBE:
        o->probe = arg;
        return 0;
    case OPT_JEPA:
        o->jepa = 1;
        return 0;
    case OPT_IMAGES:
        o->images = arg;
        return 0;
    case OPT_OF:
        o->of = arg;
        return 0;
    case OPT_SPLIT:
        o->split = arg;
        return 0;
    case OPT_CHECKPOINT:
        o->checkpoint = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Of quantise, whose words are checked by ex_quantise. */
static error_t parse_quantise(int key, const char *arg, ex_quantise_options *o,
                              struct argp_state *state)
{
    switch (key) {
    case OPT_CODEBOOK:
        if (o->books == NN_QUANT_PARTS)
            argp_error(state, "--codebook is given more than %d times", NN_QUANT_PARTS);
        o->book[o->books++] = arg;
        return 0;
    case OPT_DECODE:
        o->decoded = arg;
        return 0;
    case OPT_FIT:
        o->fit = arg;
        return 0;
    case OPT_ROUNDS:
        o->rounds = arg;
        return 0;
    case OPT_CODEBOOK_OUT:
        o->codebook = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Of data, whose words are checked by ex_data. */
static error_t parse_data(int key, const char *arg, ex_data_options *o)
{
    switch (key) {
    case OPT_SET:
        o->set = arg;
        return 0;
    case OPT_VIEWS:
        o->views = arg;
        return 0;
    case OPT_OPERATION:
        o->operation = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A count of threads or of runs. */
static int some(const char *option, const char *arg, struct argp_state *state)
{
    char *end;
    int n = (int)strtol(arg, &end, 10);

    if (*end || end == arg || n < 1 || n > 1024 || strlen(arg) > 4)
        argp_error(state, "%s wants a whole number from 1 to 1024, not '%.40s'", option,
                   arg);
    return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    line *l = state->input;

    switch (key) {
    case OPT_SEED:
        snprintf(l->setting[0], sizeof l->setting[0], "seed=%s", arg);
        return 0;
    case OPT_OUT:
        if (strlen(arg) > sizeof l->setting[1] - 8)
            argp_error(state, "--out: the path is too long");
        snprintf(l->setting[1], sizeof l->setting[1], "out=%s", arg);
        return 0;
    case OPT_THREADS:
        l->threads = some("--threads", arg, state);
        return 0;
    case OPT_JOBS:
        l->reproduce.jobs = some("--jobs", arg, state);
        return 0;
    case OPT_SEEDS:
        l->reproduce.seeds = arg;
        return 0;
    case OPT_ONLY:
        l->reproduce.only = arg;
        return 0;
    case OPT_QUICK:
        l->reproduce.quick = 1;
        return 0;
    case OPT_LIST:
        l->reproduce.list = 1;
        return 0;
    case OPT_MARKDOWN:
        l->reproduce.markdown = arg;
        return 0;
    case OPT_RESUME:
        if (arg && strcmp(arg, "auto") != 0)
            argp_error(state, "--resume is given alone or as --resume=auto, not '%.40s'",
                       arg);
        l->resume = arg ? EX_RESUME_AUTO : EX_RESUME;
        return 0;
    case OPT_DEBUG_NAN:
        l->debug_nan = 1;
        return 0;
    case OPT_PROFILE:
        l->profile = 1;
        return 0;
    case OPT_QUIET:
        l->quiet = 1;
        return 0;
    case OPT_JSON:
        l->json = 1;
        return 0;
    case OPT_GRAD:
        l->grad = arg;
        return 0;
    case 'o':
        l->output = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (l->words == l->most)
            argp_error(state, "one argument too many: '%.80s'", arg);
        l->word[l->words++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (l->words < l->least)
            argp_error(state, "too few arguments");
        return 0;
    default:
        return parse_eval(key, arg, &l->eval) == 0 || parse_data(key, arg, &l->data) == 0
            ? 0 : parse_quantise(key, arg, &l->quantise, state);
    }
}

/* ---- commands ------------------------------------------------------------------ */

static int train(line *l)
{
    const char **pair = calloc((size_t)l->words + 2, sizeof *pair);
    int pairs = 0;

    if (!pair)
        return nn_fail(&l->err, NN_ERUN, "out of memory");
    for (int i = 1; i < l->words; i++)
        pair[pairs++] = l->word[i];
    for (size_t i = 0; i < NN_COUNT(l->setting); i++)
        if (l->setting[i][0])
            pair[pairs++] = l->setting[i];
    const ex_train_options o = { l->word[0], pairs, pair, l->threads, l->quiet, l->json,
                                 l->resume, l->debug_nan, l->profile };
    int code = ex_train(&o, &l->err);
    free(pair);
    return code;
}

static int plan(line *l)
{
    const char **pair = calloc((size_t)l->words + 1, sizeof *pair);
    int pairs = 0;

    if (!pair)
        return nn_fail(&l->err, NN_ERUN, "out of memory");
    for (int i = 1; i < l->words; i++)
        pair[pairs++] = l->word[i];
    if (l->setting[0][0])
        pair[pairs++] = l->setting[0];
    const ex_plan_options o = { l->word[0], pairs, pair, l->threads, l->json };
    int code = (int)ex_plan_print(&o, stdout, &l->err);
    free(pair);
    return code;
}

static int eval(line *l)
{
    l->eval.run = l->word[0];
    l->eval.pairs = l->words - 1;
    l->eval.pair = l->word + 1;
    l->eval.threads = l->threads;
    l->eval.quiet = l->quiet;
    l->eval.json = l->json;
    return (int)ex_eval(&l->eval, &l->err);
}

static int loss(line *l)
{
    const ex_loss_options o = { l->words, l->word, l->grad, l->json };
    return (int)ex_loss(&o, stdout, &l->err);
}

static int quantise(line *l)
{
    ex_quantise_options *o = &l->quantise;

    o->words = l->words;
    o->word = l->word;
    o->indices = l->output;
    o->seed = l->setting[0][0] ? l->setting[0] + strlen("seed=") : NULL;
    o->split = l->eval.split;
    o->checkpoint = l->eval.checkpoint;
    o->threads = l->threads;
    o->json = l->json;
    return (int)ex_quantise(o, stdout, &l->err);
}

static int report(line *l)
{
    return (int)ex_report(l->words, l->word, l->output ? l->output : "report.html",
                          stdout, &l->err);
}

static int reproduce(line *l)
{
    ex_reproduce_options *o = &l->reproduce;

    o->paper = l->words ? l->word[0] : NULL;
    o->out = l->setting[1][0] ? l->setting[1] + strlen("out=") : NULL;
    o->threads = l->threads;
    o->json = l->json;
    return ex_reproduce(o, &l->err);
}

static int data(line *l)
{
    ex_data_options *o = &l->data;

    o->words = l->words;
    o->word = l->word;
    o->output = l->output;
    o->images = l->eval.images;
    o->json = l->json;
    return (int)ex_data(o, stdout, &l->err);
}

static int list(line *l)
{
    return (int)ex_list(l->word[0], stdout, &l->err);
}

static int doctor(line *l)
{
    return (int)ex_doctor(l->threads, stdout, &l->err);
}

/* The races are a program of their own, beside this one: it loads other libraries, which
 * a training run never does. */
static int bench(char **argv, nn_err *err)
{
    char path[4096 + 32];
    ssize_t n = readlink("/proc/self/exe", path, 4096);

    snprintf(path + (n > 0 ? n : 0), 32, "-bench");
    execv(path, argv);
    return nn_fail(err, NN_ERUN, "bench: %s: %s; `make` builds it beside fullrank", path,
                   strerror(errno));
}

static int help(line *l);

static const struct command {
    const char *name, *arguments, *about;
    int least, most;
    const struct argp_option *options;
    int (*run)(line *l);
} commands[] = {
    { "train", "CONFIG.yaml [KEY=VALUE...]",
      "Train one configuration and fill its run folder.\v"
      "A KEY is written section.key (optim.base_lr=0.1) or, outside any section, alone"
      " (epochs=5); 'fullrank help config' lists them all.  Exit codes: 0 finished, 1 the"
      " disk or the memory failed, 2 command line or configuration, 3 stopped for "
      "collapse,"
      " 4 diverged, 5 data, 6 checkpoint, 75 interrupted and saved (--resume goes on),"
      " 128 + n signal n before there was anything to save.",
      1, 1 << 20, train_options, train },
    { "plan", "CONFIG.yaml [KEY=VALUE...]",
      "Tell what a run will take: parameters, memory, work, time.\v"
      "Rehearses parts of a step to see whether the run fits into its memory, then times"
      " a few real steps and an evaluation.  Writes nothing.  Exit code 1: it does not"
      " fit.",
      1, 1 << 20, plan_options, plan },
    { "eval", "RUN [KEY=VALUE...]",
      "Measure a trained network again: metrics, probes, JEPA-SCORE.\v"
      "A RUN is the folder that 'fullrank train' names when it ends; nothing is written"
      " into it.  A KEY of data, metrics or memory may be another than in the run."
      "  Exit codes: 5 data, 6 no whole checkpoint.",
      1, 1 << 20, eval_options, eval },
    { "loss", "METHOD FILE.npy... [KEY=VALUE...]",
      "Tell a method's loss, and its gradient, on given embeddings.\v"
      "METHOD is a method or a regulariser (add.NAME where both have the name).  The files"
      " are the embeddings z of each view, as (N, d) arrays of float32 or float64; for"
      " methods with a predictor they may be the predictions p of each view and then the"
      " z.  KEY is a setting of the method (lambda=1), or epoch or epochs for warm-ups,"
      " which are over by default.  Exit codes: 2 command line, 4 the loss or a gradient"
      " is not finite, 5 a file.",
      2, 1 << 20, loss_options, loss },
    { "quantise", "METHOD X.npy | RUN [KEY=VALUE...]",
      "Tell the codes of given vectors, or of a run's images, and how codes are used.\v"
      "METHOD is vq, cosine, unit or rvq on a codebook (--codebook, or --fit K), or fsq or"
      " lfq; 'fullrank list quantisers' has more names.  X.npy holds rows of D numbers, in"
      " any number of dimensions before the last.  A RUN is the folder of a run of vqvae;"
      " nothing is written into it.  Exit codes: 1 a file cannot be written, 2 command"
      " line, 5 a file or data, 6 no whole checkpoint.",
      1, 1 << 20, quantise_options, quantise },
    { "data", "list|check|fetch-help|show|export [SET|PATH|CONFIG.yaml] [KEY=VALUE...]",
      "Look at data sets: what is there, whether it is whole, what views look like.\v"
      "list names the sets; check counts, measures and compares the images of one and its"
      " files; fetch-help tells which files a set has and where they go; show draws a sheet"
      " of images and their augmented views (-o FILE.png); export writes NumPy arrays (-o"
      " PREFIX).  A PATH is a folder or file whose set is told by what lies there, or by"
      " --set.  KEY is a setting of data or augment, or seed.  Exit codes: 1 a file cannot"
      " be written, 2 command line, 5 something is wrong with the files.",
      1, 1 << 20, data_options, data },
    { "report", "RUN...",
      "Write one HTML page about runs, and print their table.\v"
      "A RUN is the folder that 'fullrank train' names when it ends.",
      1, 1 << 20, report_options, report },
    { "reproduce", "[PAPER]",
      "Run a paper's experiments and hold its claims against what is measured.\v"
      "A PAPER is one of 'fullrank list papers', or a folder written with a '/'.  Runs that"
      " are there already are not trained again, and a run that was stopped goes on.  Exit"
      " codes: 0 every claim reproduced, 7 one is not, 75 interrupted and saved (the same"
      " command goes on), others as of train.",
      0, 1, reproduce_options, reproduce },
    { "list", "methods|addons|models|datasets|optimizers|quantisers|metrics|papers",
      "Show what there is to choose from.", 1, 1, no_options, list },
    { "bench", "gemm|conv|step|losses|metrics [OPTION...]",
      "Time our code beside the libraries that one would pick instead.", 0, 1 << 20,
      no_options, NULL },
    { "doctor", "", "Look at the machine: processor, kernel tables, speed, data sets.", 0,
      0, doctor_options, doctor },
    { "help", "[config|COMMAND]", "Explain a command, or every setting of a run.", 0, 1,
      no_options, help },
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static nn_status unknown_command(const char *name, nn_err *err)
{
    const char *known[NN_COUNT(commands) + 2] = { NULL };
    size_t n = 0;

    for (; n < NN_COUNT(commands); n++)
        known[n] = commands[n].name;
    const char *near = nn_nearest(name, known);
    return nn_fail(err, NN_ECONFIG, "command line: no command '%.40s'%s%s%s", name,
                   near ? "; did you mean '" : "; 'fullrank --help' lists them",
                   near ? near : "", near ? "'?" : "");
}

static void print_overview(FILE *out)
{
    fputs("Usage: fullrank COMMAND [ARGUMENT...]\n"
          "Train self-supervised methods and watch whether their representations "
          "collapse.\n\n",
          out);
    for (size_t i = 0; i < NN_COUNT(commands); i++) {
        const char *about = commands[i].about, *end = strpbrk(about, "\v");
        char usage[80];
        snprintf(usage, sizeof usage, "%s %s", commands[i].name, commands[i].arguments);
        fprintf(out, "  %s\n      %.*s\n", usage,
                (int)(end ? end - about : (long)strlen(about)), about);
    }
    fputs("\n'fullrank COMMAND --help' tells more.  'fullrank --version' tells the "
          "version.\n",
          out);
}

/* Runs one command; argv[0] is its name. */
static int dispatch(const struct command *c, int argc, char **argv, nn_err *err)
{
    char name[64];
    line l = { .command = c->name, .least = c->least, .most = c->most };
    const struct argp argp = { .options = c->options, .parser = parse,
                               .args_doc = c->arguments[0] ? c->arguments : NULL,
                               .doc = c->about };

    l.word = calloc((size_t)argc + 1, sizeof *l.word);
    if (!l.word)
        return nn_fail(err, NN_ERUN, "out of memory");
    snprintf(name, sizeof name, "fullrank %s", c->name);
    argv[0] = name;
    if (!c->run)                        /* argv is for the other program to read */
        return bench(argv, err);
    argp_parse(&argp, argc, argv, 0, NULL, &l);
    data_on_news(l.quiet || l.json ? ex_progress_remarks : ex_progress_news);
    int code = c->run(&l);
    *err = l.err;
    free(l.word);
    return code;
}

static int help(line *l)
{
    const char *what = l->words ? l->word[0] : "";

    if (!what[0]) {
        print_overview(stdout);
        return NN_OK;
    }
    if (strcmp(what, "config") == 0) {
        ex_config_help(stdout);
        return NN_OK;
    }
    const struct command *c = find(what);
    if (!c)
        return unknown_command(what, &l->err);
    char name[16], option[] = "--help", *argv[] = { name, option, NULL };
    snprintf(name, sizeof name, "%s", c->name);
    return dispatch(c, 2, argv, &l->err);       /* argp prints the help and ends here */
}

/* Threads of libgomp wait for work by spinning, for milliseconds.  That is right on idle
 * cores; on cores shared with others the waiting takes the time of the working, and a run
 * becomes ten times slower.  So the spinning is cut to tens of microseconds, a little
 * more than the gaps between two loops of a step, unless the user has decided.  The
 * library reads the environment before main, hence the second start; if that is refused,
 * the run goes on as it is.  The result does not depend on it. */
static void limit_spinning(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (setenv("GOMP_SPINCOUNT", "2000", 1) == 0)
        execv("/proc/self/exe", argv);
}

/* A file that the run writes must not become its standard output: whoever starts the
 * program without these three gets them as /dev/null. */
static void have_streams(void)
{
    int file;

    do
        file = open("/dev/null", O_RDWR);
    while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0)
        close(file);
}

static void end_without_memory(const char *text)
{
    fflush(stdout);
    fprintf(stderr, "%s\n", text);
    ex_train_no_memory(text);
    ex_plan_no_memory(text);
    _exit(NN_ERUN);                     /* other threads may be at work: no exit handlers */
}

static void say(const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t got = write(STDERR_FILENO, text, n);
        if (got <= 0)
            return;
        text += got;
        n -= (size_t)got;
    }
}

/* A mapped file became shorter, or its disk fails: there is nothing to compute with, and
 * no function to return a status from.  Anything else is a bug and ends as one. */
static void end_without_file(int number, siginfo_t *about, void *context)
{
    const char *file = data_map_of(about->si_addr);
    (void)context;

    if (!file) {
        signal(number, SIG_DFL);
        return;                         /* the same access again, and then the end */
    }
    say(file);
    say(": became shorter, or cannot be read any more, while it was used; remove it and run"
        " again (with --resume from the last checkpoint on)\n");
    _exit(NN_EDATA);
}

static void watch_files(void)
{
    struct sigaction act = { .sa_sigaction = end_without_file, .sa_flags = SA_SIGINFO };
    sigaction(SIGBUS, &act, NULL);
}

int main(int argc, char **argv)
{
    nn_err err = {0};
    int code;

    have_streams();
    limit_spinning(argv);
    nn_on_no_memory(end_without_memory);
    watch_files();

    setlocale(LC_CTYPE, "");                    /* for the terminal; numbers stay plain */
    argp_err_exit_status = NN_ECONFIG;
    const char *first = argc > 1 ? argv[1] : "";
    const struct command *c = find(first);
    if (c) {
        code = dispatch(c, argc - 1, argv + 1, &err);
    } else if (strcmp(first, "--help") == 0 || strcmp(first, "-?") == 0) {
        print_overview(stdout);
        code = NN_OK;
    } else if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
        puts(argp_program_version);
        code = NN_OK;
    } else if (argc < 2) {
        print_overview(stderr);
        code = NN_ECONFIG;
    } else {
        code = (int)unknown_command(first, &err);
    }
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("standard output");
        code = code ? code : NN_ERUN;
    }
    return code;
}
