#ifndef NN_QUANT_QUANT_H
#define NN_QUANT_QUANT_H

#include "nn/layer.h"
#include "nn/setting.h"

/* Vector quantisers: every row z_i of (n, D) becomes one of finitely many codes q_i.
 * One file each in nn/quant, one line in quant.def.
 *
 *   z -> [project to `dim`] -> cut into `groups` -> `stages` of one kind on what the
 * stages
 *     before left over -> sum, joined -> [project back]
 *
 * What all share lies in quantiser.c: the path above, and the way back, where the
 * gradient of q goes to z once (straight-through or rotated), however many stages there
 * are. A kind is one stage of one group: it finds the codes of its rows and says what the
 * rows and codes have to pay.
 *
 *   auxiliary loss = weight (sum over stages, mean over groups of a kind's loss)
 *
 * Means of losses are over all n D scalars, as in the public codes. */
enum { NN_QUANT_PARTS = 32 };           /* groups times stages at most */

/* What every kind can be told.  A kind's own struct begins with this one. */
typedef struct nn_quant_common {
    int groups, stages, share;
    double stage_dropout;
    int dim, transport;
    double weight;
} nn_quant_common;

enum { NN_STRAIGHT, NN_ROTATED };       /* transport */

#define NN_QUANT_ROWS \
    NN_SET_I(nn_quant_common, groups, 1, 1, NN_QUANT_PARTS, \
             "cut every vector into so many parts, each with a codebook of its own"), \
    NN_SET_I(nn_quant_common, stages, 1, 1, NN_QUANT_PARTS, \
             "residual quantisation: quantise what is left over, so often in all"), \
    NN_SET_B(nn_quant_common, share, 0, "stages (and groups) share one codebook"), \
    NN_SET_F(nn_quant_common, stage_dropout, 0, 0, 1, \
             "probability that a training step uses only the first few stages"), \
    NN_SET_I(nn_quant_common, dim, 0, 0, 65536, \
             "project to so many columns before the search, and back after it; 0: no"), \
    NN_SET_C(nn_quant_common, transport, NN_STRAIGHT, "straight|rotation", \
             "how the gradient passes from code to vector (rotation: the rotation trick)"), \
    NN_SET_F(nn_quant_common, weight, 1, 0, 1e6, "of the auxiliary loss (w_c)")

/* One stage of one group. */
typedef struct nn_part {
    nn_node *q;                         /* (n, d): codes, with the gradient they want */
    nn_node *loss;                      /* one element, or NULL */
    const int *index;                   /* n, in the step arena */
} nn_part;

/* Where training stands: what is random or ends early is a function of it.  The quantiser
 * puts in the seed of its store. */
typedef struct nn_quant_clock { uint64_t seed; long step, steps; } nn_quant_clock;

/* Rows of a trained codebook that were overwritten: whoever keeps momentum of them has to
 * forget it. */
typedef struct nn_quant_moved { nn_param *param; const int *row; int rows; } nn_quant_moved;

typedef struct nn_quant {
    const char *name, *about;
    size_t config_size;
    const nn_setting *settings;
    /* Codes of one stage; and the columns it insists on, 0: any.  What a configuration
     * can get wrong beyond ranges: a literal reason, or NULL. */
    int         (*codes)(const void *config);
    int         (*columns)(const void *config);
    const char *(*wrong)(const void *config);
    int own_gradient;                   /* 1: q brings its gradient to z itself */
    /* 1: q is more than its index tells (a gain, an offset); table holds the shapes */
    int side_information;
    /* How often a training step compares every row with every code; NULL: never. */
    int         (*searches)(const void *config);
    /* Parameters and buffers "name.*" for rows of d columns. */
    void    *(*build)(nn_store *s, const char *name, const void *config, int d);
    /* What is done to rows before the first stage; NULL: nothing. */
    nn_node *(*prepare)(nn_tape *t, void *state, nn_node *z);
    nn_part  (*quantise)(nn_tape *t, void *state, nn_node *z);
    /* The codes as they are used, after every projection, (K, d).  NULL where they are no
     * table that a tape could look rows up in; then decode gives q of n indices. */
    nn_node *(*table)(nn_tape *t, void *state);
    void     (*decode)(void *state, const int *index, size_t n, float *q);
    /* Before the first step, on `n` rows as training will bring them, `batch` to a step
     * (of all parts that share this state).  NULL: nothing to do.  `rows`: how many are
     * wanted, at least one batch. */
    size_t   (*rows)(const void *config, size_t batch);
    void     (*start)(void *state, const float *z, size_t n, size_t batch,
                      const nn_quant_clock *clock, nn_arena *scratch);
    /* After backward and before the optimiser, with the rows of this training step and
     * their codes: state that no gradient moves.  *moved tells overwritten rows, which
     * lie in `scratch`.  Returns how many codes were restarted.  NULL: no such state. */
    int      (*settle)(void *state, const float *z, const int *index, size_t n,
                       const nn_quant_clock *clock, nn_quant_moved *moved,
                       nn_arena *scratch);
} nn_quant;

int             nn_quant_count(void);
const nn_quant *nn_quant_at(int i);
const nn_quant *nn_quant_find(const char *name);        /* NULL if there is none */

/* A kind with its settings, as a configuration chooses them. */
typedef struct nn_quant_plan { const nn_quant *kind; const void *config; } nn_quant_plan;

/* NULL, or why rows of d columns cannot be quantised so, in the caller's memory. */
const char *nn_quant_refuses(const nn_quant_plan *p, int d, char *out, size_t size);

typedef struct nn_quantiser nn_quantiser;

/* What one call of nn_quantise found.  Parts: group by group, its stages in order. */
typedef struct nn_quantised {
    nn_node *q;                         /* (n, D): value of the codes, gradient to z */
    nn_node *loss;                      /* weighted; NULL: none */
    int parts;
    nn_node *z[NN_QUANT_PARTS];         /* what each part was given, pinned */
    nn_node *code[NN_QUANT_PARTS];      /* what it made of it, pinned */
    const int *index[NN_QUANT_PARTS];   /* NULL: the stage was dropped in this step */
} nn_quantised;

/* Parameters "name.*" on rows of d columns; the plan's config outlives it.  The quantiser
 * lies in the store's arena. */
nn_quantiser *nn_quantiser_new(nn_store *s, const char *name, const nn_quant_plan *p,
                               int d);

int  nn_quantiser_parts(const nn_quantiser *u);
int  nn_quantiser_codes(const nn_quantiser *u);         /* K of one part */
int  nn_quantiser_columns(const nn_quantiser *u);       /* of one part */
int  nn_quantiser_has_book(const nn_quantiser *u);      /* 1: codes are a table */
int  nn_quantiser_decodes(const nn_quantiser *u);       /* 1: indices alone give q back */
int  nn_quantiser_drops(const nn_quantiser *u);         /* 1: some steps have few stages */
const char *nn_quantiser_part_name(const nn_quantiser *u, int part, char *out, size_t size);

/* Operations of the searches of one training step on n rows, which are on no tape:
 *
 *   2 n K d for each search of each part                (a multiply-add is two) */
double nn_quantiser_flops(const nn_quantiser *u, double n);

/* z (n, D).  What is random (dropped stages) follows the clock, in training alone.  A row
 * that is not finite makes the loss NaN; where codes are a table its q is that of code 0,
 * so that weight = 0 hides it.  NaN passes fsq and lfq, to which infinity is a large
 * number. */
nn_quantised nn_quantise(nn_tape *t, nn_quantiser *u, nn_node *z,
                         const nn_quant_clock *clock);

/* Rows wanted by nn_quantiser_start, 0: none.  `batch` rows make a training step. */
size_t nn_quantiser_rows(const nn_quantiser *u, size_t batch);
/* z (n, D), from the network as it stands.  Once, before the first step of a run. */
void   nn_quantiser_start(nn_quantiser *u, const float *z, size_t n, size_t batch,
                          const nn_quant_clock *clock, nn_arena *scratch);

/* After backward and before the optimiser.  Calls `moved` (may be NULL) for rows that
 * were overwritten.  Returns the number of codes restarted. */
int    nn_quantiser_settle(nn_quantiser *u, const nn_quantised *found,
                           const nn_quant_clock *clock,
                           void (*moved)(void *ctx, const nn_quant_moved *m), void *ctx,
                           nn_arena *scratch);

/* Decodes: index (parts, n) -> q (n, D), the value of nn_quantised.q to the bit.  -1: the
 * stage adds nothing.  Only where nn_quantiser_decodes. */
void   nn_quantiser_decode(nn_quantiser *u, const int *index, size_t n, float *q,
                           nn_arena *scratch);

/* The codes of a part as they are used, (K, columns), in the quantiser's or the scratch
 * memory; NULL where they are no table. */
const float *nn_quantiser_book(nn_quantiser *u, int part, nn_arena *scratch);

#define X(name) extern const nn_quant nn_quant_##name;
#include "nn/quant/quant.def"
#undef X

#endif
