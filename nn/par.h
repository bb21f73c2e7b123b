#ifndef NN_PAR_H
#define NN_PAR_H

#include <stddef.h>

/* Parallel loops whose result does not depend on the number of threads.
 *
 * A loop is cut into jobs by the *problem* (so many rows, so many tiles), never by the
 * team.  Each job writes memory that no other job of the loop touches; which thread runs
 * it, and when, cannot be seen in the result.  Sums are folded afterwards in a fixed
 * order (nn_fold in a binary tree).  `worker` selects scratch space; it never enters
 * arithmetic.  A job must not start a loop that uses `worker` itself: inside a job every
 * loop runs in the thread it is called from, as worker 0.
 *
 * Short elementwise loops may use `#pragma omp parallel for schedule(static)`. */
typedef void nn_job(void *ctx, size_t job, int worker);

void nn_par_run(size_t jobs, nn_job *run, void *ctx);

/* Threads that nn_par_run may use; 0 <= worker < nn_par_threads().  Set once at start;
 * by default OMP_NUM_THREADS or the number of cores. */
int  nn_par_threads(void);
void nn_par_set_threads(int threads);

/* Work to do ahead of time: while a thread has run out of jobs and another is still busy
 * in the same loop, it takes one of these instead of waiting.  nn_par_ahead posts the
 * loop (one at a time; `ctx` must live until the matching finish), nn_par_finish runs
 * what is left with the whole team and returns when every job is done. */
void nn_par_ahead(size_t jobs, nn_job *run, void *ctx);
void nn_par_finish(void);

/* part[0] += part[1] + ... over `parts` rows of `n` numbers, as a binary tree of fixed
 * shape: part[i] += part[i + gap] for gap = 1, 2, 4 ...  Part of the result's format. */
void nn_fold_float(float *part, size_t parts, size_t n);
void nn_fold_double(double *part, size_t parts, size_t n);

#endif
