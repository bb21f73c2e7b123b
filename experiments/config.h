#ifndef EX_CONFIG_H
#define EX_CONFIG_H

#include <stdio.h>
#include "data/data.h"
#include "nn/model.h"
#include "nn/quant/quant.h"
#include "optim/opt.h"
#include "ssl/objective.h"

/* A run's configuration: one YAML file, settings on the command line, and the tables of
 * settings that every component brings along (nn/setting.h).
 *
 * Values are found in this order, the later wins: the table's default, the augmentation
 * recipe, the file, KEY=VALUE.  Whatever cannot be understood is NN_ECONFIG with one line
 * that begins with the place ("demo.yaml:3: " or "command line: "). */
typedef struct ex_top {                 /* keys outside any section */
    int epochs, batch, shards, seed;
    const char *name, *out;
} ex_top;

typedef struct ex_metrics {             /* section `metrics` */
    int every, samples, bank, knn_k, lid_k;
    double knn_t;
    int linear, linear_bank, probe, probe_epochs;
    double probe_lr;
    int online; double online_lr;
} ex_metrics;

enum { EX_LINEAR_OFF, EX_LINEAR_LAST, EX_LINEAR_EVERY };

typedef struct ex_alarm {               /* section `alarm` */
    int action, patience;
} ex_alarm;

enum { EX_ALARM_WARN, EX_ALARM_STOP, EX_ALARM_OFF };

typedef struct ex_init {                /* section `init` */
    const char *from;                   /* a safetensors file; "" = random */
    int part;
} ex_init;

enum { EX_INIT_BACKBONE, EX_INIT_ALL };

typedef struct ex_saving {              /* section `checkpoint` */
    double seconds;
} ex_saving;

typedef struct ex_memory {              /* section `memory` */
    double limit;                       /* GiB */
} ex_memory;

extern const nn_setting ex_top_table[], ex_metrics_table[], ex_alarm_table[],
                        ex_init_table[], ex_saving_table[], ex_memory_table[];

typedef enum ex_origin { EX_DEFAULT, EX_RECIPE, EX_FILE, EX_COMMAND } ex_origin;

typedef struct ex_mark { ex_origin from; int line; } ex_mark;   /* line 0: not a file */

/* EX_QUANTISER is empty, but for its name, where the method has no codebook. */
enum { EX_TOP, EX_METHOD, EX_MODEL, EX_QUANTISER, EX_DATA, EX_AUGMENT, EX_OPTIM,
       EX_METRICS, EX_ALARM, EX_INIT, EX_CHECKPOINT, EX_MEMORY, EX_SECTIONS };

/* Regulariser i of addons.def, if `add` names it, is section EX_SECTIONS + i, "add.NAME";
 * so the order in the file does not matter.  The rest of these sections is empty.  There
 * is room for all regularisers one may think of; a run has at most SSL_MAX_ADDONS. */
enum { EX_ADDONS = 32, EX_ALL_SECTIONS = EX_SECTIONS + EX_ADDONS };

typedef struct ex_section {
    const char *name;                   /* "" outside any section; NULL: empty */
    const char *chosen;                 /* the component (key `name`), or NULL */
    ex_mark chosen_mark;                /* of a regulariser: where it was added */
    const nn_setting *table;
    int rows;
    void *at;                           /* the struct that the table describes */
    ex_mark *mark;                      /* one per row */
} ex_section;

typedef struct ex_config {
    const char *file;
    const ssl_method *method;   void *method_config;
    ssl_extra extra[SSL_MAX_ADDONS]; int extras;    /* `add:`, in the order of addons.def */
    const nn_model *model;      void *model_config;
    nn_quant_plan quantiser;    /* kind NULL: the method has no codebook */
    const data_source *source;  data_settings data;
    const opt_method *optimiser; opt_settings optim;
    data_augment augment;
    ex_top top;
    ex_metrics metrics;
    ex_alarm alarm;
    ex_init init;
    ex_saving checkpoint;
    ex_memory memory;
    char init_sha256[65];               /* of the file init.from; "" without one */
    ex_section section[EX_ALL_SECTIONS];
    char digest[9];                     /* 8 hex digits: see ex_config_digest */
    char label[96];                     /* what distinguishes the run, for people */
} ex_config;

/* Reads, checks and resolves.  `pair` holds the KEY=VALUE of the command line.
 * Everything the configuration points to lives in the arena. */
nn_status ex_config_load(ex_config *c, const char *file, int pairs,
                         const char *const *pair, nn_arena *a, nn_err *err);

/* "demo.yaml:3", "command line", "default" or "recipe": where a value came from.
 * `key` is the name of a row, or "name" for the component. */
const char *ex_config_where(const ex_config *c, int section, const char *key,
                            char *out, size_t size);

/* 0 for rows that say nothing here: the key `name` (it stands in `chosen`), and settings
 * of optim that the chosen optimiser does not read. */
int ex_row_counts(const ex_config *c, int section, int row);

/* The component taken when the file does not choose; NULL for the method. */
const char *ex_usual(int section);

/* A row's value as it is written in YAML. */
const char *ex_value_text(const nn_setting *s, const void *config, char *out,
                          size_t size);

/* The resolved configuration as YAML with the origin of each value beside it; reading it
 * back gives the same digest.  Text in the arena. */
const char *ex_config_yaml(const ex_config *c, nn_arena *a);

/* A line "section.key=value" for every resolved value that a result depends on.  Left out
 * is what a run's folder already tells (seed, name, out), what differs from machine to
 * machine for the same data (data.dir), and what no result depends on (sections
 * checkpoint and memory).  A file of weights counts by its contents.  Text in the arena. */
const char *ex_config_lines(const ex_config *c, nn_arena *a);

/* First 8 hex digits of the SHA-256 over these lines. */
void ex_config_digest(const ex_config *c, char out[9]);

/* Every section, key, type, default and range: `fullrank help config`. */
void ex_config_help(FILE *out);

#endif
