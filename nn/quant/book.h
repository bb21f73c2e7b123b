#ifndef NN_QUANT_BOOK_H
#define NN_QUANT_BOOK_H

#include "nn/kern/members.h"
#include "nn/quant/quant.h"
#include "nn/rng.h"

/* What the kinds with a table of K codes share: how the nearest is found, what rows and
 * codes pay for their distance, where codes start, and what becomes of dead ones. */
typedef struct nn_book_settings {       /* a kind's struct begins with this one */
    nn_quant_common common;
    int codes, metric;
    double beta;
} nn_book_settings;

/* metric.  cosine: for the search alone, values and losses are those of the vectors and
 * codes as they are.  unit: vectors and codes are scaled to length 1 first. */
enum { NN_BOOK_EUCLID, NN_BOOK_COSINE, NN_BOOK_UNIT };

#define NN_BOOK_ROWS \
    NN_QUANT_ROWS, \
    NN_SET_I(nn_book_settings, codes, 512, 1, 1 << 20, "K, the size of the codebook"), \
    NN_SET_C(nn_book_settings, metric, NN_BOOK_EUCLID, "euclid|cosine|unit", \
             "nearest by distance, by angle, or by both with everything of length 1"), \
    NN_SET_F(nn_book_settings, beta, 0.25, 0, 1e6, \
             "weight of the commitment, the encoder's side of the loss")

/* Elements from which a loop over them is worth a team: what one core moves while a team
 * starts. */
enum { NN_BOOK_TEAM = 16384 };

int         nn_book_codes(const void *settings);        /* K: the `codes` of a kind */
const char *nn_book_wrong(const void *settings);
int         nn_book_searches(const void *settings);     /* 1: that of nn_book_search */

/* A table of codes that is looked up as it is.  A kind's state begins with this one, and
 * then nn_book_prepare and nn_book_table are its `prepare` and `table`. */
typedef struct nn_book {
    const nn_book_settings *set;
    nn_param *code;                     /* (k, d): trained, or a buffer */
    uint64_t hash;                      /* of the quantiser's name */
    size_t k, d;
} nn_book;

nn_book  nn_book_new(nn_store *s, const char *name, const nn_book_settings *set, int d,
                     nn_role role, int init);
nn_node *nn_book_prepare(nn_tape *t, void *state, nn_node *z);
nn_node *nn_book_table(nn_tape *t, void *state);
nn_part  nn_book_nearest(nn_tape *t, void *state, nn_node *z);  /* no loss yet */

/* Of the rows of z among the codes (k, d); in the step arena. */
const int *nn_book_search(nn_tape *t, const nn_book_settings *b, const nn_node *z,
                          const float *code);
/* unit: rows of length 1, for vectors and codes alike; otherwise x. */
nn_node   *nn_book_scaled(nn_tape *t, const nn_book_settings *b, nn_node *x);

/* What vectors and trained codes pay for their distance, beta on the vectors' side;
 * legacy: on the codes', as in VQGAN's code. */
nn_node   *nn_book_pull(nn_tape *t, const nn_book_settings *b, nn_node *z, nn_node *q,
                        int legacy);

/* Where codes start (spec 2, 5): a ball of radius 1/K around 0, as every public code has
 * it; a normal cloud, N(0, 1/d); rows of the first batches; or their clusters, found by
 * NN_BOOK_ROUNDS of k-means (as in the public codes) from rows drawn alike or far
 * apart. */
enum { NN_BOOK_UNIFORM, NN_BOOK_NORMAL, NN_BOOK_DATA, NN_BOOK_KMEANS, NN_BOOK_PLUSPLUS };
enum { NN_BOOK_ROUNDS = 10 };
#define NN_BOOK_INIT_WORDS "uniform|normal|data|kmeans|kmeans++"
#define NN_BOOK_INIT_HELP \
    "codes at the start: U(-1/K, 1/K), N(0, 1/d), vectors of the first batches, or" \
    " their clusters (++: from vectors far apart)"

/* The two that need no data; zeros for the others. */
void   nn_book_init(nn_store *s, nn_param *code, int init);
int    nn_book_clusters(int init);      /* 1: codes start as clusters (kmeans, kmeans++) */

/* How many rows the start wants, and the start: for the other three. */
size_t nn_book_rows(int init, size_t codes, size_t batch);
void   nn_book_fill(int init, size_t k, size_t d, float *code, const float *z, size_t n,
                    nn_rng *r, nn_arena *scratch);

/* Random numbers of the quantiser whose hash of its name is given, at a step. */
nn_rng nn_book_rng(const nn_quant_clock *clock, uint64_t hash);

/* Hits of every code as a moving average of counts per step (spec 4, 5):
 *
 *   N_k <- g N_k + (1 - g) c_k
 *
 * and what is done about codes with N_k < tau = t n / K: each gets a row of the batch,
 * drawn at random, and N_k = tau.  In the last tenth of a run, where it would only add
 * noise, nothing is restarted. */
typedef struct nn_restart { int *row, rows; } nn_restart;       /* codes, ascending */

void       nn_usage_decay(size_t k, double decay, const nn_members *m, float *usage);
nn_restart nn_restart_dead(size_t k, size_t d, float *usage, double share, const float *z,
                           size_t n, const nn_quant_clock *clock, uint64_t hash,
                           float *code, nn_arena *scratch);

/* Lloyd's k-means from codes that are there already: every round moves each code to the
 * mean of its rows; a code without rows stays.  code (k, d), z (n, d). */
void nn_kmeans(size_t k, size_t d, float *code, const float *z, size_t n, int rounds,
               nn_arena *scratch);

/* Where it can start (seeds.c): k rows of z, each drawn with a probability that goes with
 * w_i times the squared distance from the rows drawn before; k-means++ of Arthur and
 * Vassilvitskii, 2007.  Mirrored: from those and their opposites.  Rows of weight 0 or
 * that are not finite are left out; where no row is away from all seeds, one comes
 * again. */
typedef struct nn_seeds {
    size_t k, d, n;                     /* all above 0 */
    const float *z;                     /* (n, d) */
    const float *weight;                /* n, 0 or more; NULL: all 1 */
    int mirrored;
} nn_seeds;

void nn_seeds_draw(const nn_seeds *s, float *code, nn_rng *r, nn_arena *scratch);
void nn_kmeans_plusplus(size_t k, size_t d, float *code, const float *z, size_t n,
                        nn_rng *r, nn_arena *scratch);

/* From those seeds, `rounds` of k-means: the sum of the squared distances that are left,
 * NaN if a row is not finite. */
double nn_kmeans_fit(size_t k, size_t d, float *code, const float *z, size_t n,
                     int rounds, nn_rng *r, nn_arena *scratch);

#endif
