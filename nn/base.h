#ifndef NN_BASE_H
#define NN_BASE_H

#include <stddef.h>

/* The number of the format of results.  Same settings, same seed and same NN_BITS give
 * the same bits; whatever changes them (the order of a sum, the draws of an augmentation,
 * a polynomial) raises it, and a checkpoint of another format is not continued. */
enum { NN_BITS = 3 };

/* Errors come in three kinds, and each has one answer.
 *
 *   a bug of the caller   NN_NEED prints the place and the values, then aborts
 *   the world             a function returns nn_status and fills an nn_err
 *   the numbers           NaN or divergence is a recorded outcome of the run
 *
 * The values of nn_status are the exit codes of the command line (docs/cli.md), so
 * that experiments/main.c, the only place that exits, has nothing to translate. */
typedef enum nn_status {
    NN_OK = 0,
    NN_ERUN = 1,            /* run time: disk full, folder not writable, out of memory */
    NN_ECONFIG = 2,         /* command line or configuration */
    NN_ECOLLAPSE = 3,       /* stopped because of collapse (alarm.action=stop) */
    NN_EDIVERGED = 4,       /* NaN or infinity in the loss or the weights */
    NN_EDATA = 5,           /* data set missing, truncated or corrupt */
    NN_ECHECKPOINT = 6,     /* checkpoint unreadable */
    NN_ECLAIM = 7,          /* a reproduced claim outside its band */
    NN_EAGAIN = 75          /* interrupted but saved: run again to go on */
} nn_status;

/* One error text: where, what, what now.  The caller's; empty if all is well.  Long
 * enough for the names of all tensors of a small network. */
typedef struct nn_err { char text[4096]; } nn_err;

/* Writes the text (err may be NULL) as one line, control characters as '?', and returns
 * `code`:
 *     return nn_fail(err, NN_EDATA, ...); */
nn_status nn_fail(nn_err *err, nn_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

_Noreturn void nn_panic(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Out of memory: there is nothing to return to, so the text goes to `act`, which ends the
 * process as it sees fit and does not return.  By default, and if it does return, the
 * text is printed and the process aborts. */
typedef void nn_memory_act(const char *text);
void nn_on_no_memory(nn_memory_act *act);
_Noreturn void nn_no_memory(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

#define NN_TRY(call) \
    do { nn_status s_ = (call); if (s_ != NN_OK) return s_; } while (0)
#define NN_NEED(cond, ...) \
    do { if (!(cond)) nn_panic(__FILE__, __LINE__, __VA_ARGS__); } while (0)
#define NN_COUNT(array) (sizeof (array) / sizeof *(array))

/* The word of `words` (a list that ends with NULL) nearest to `word`, for "did you mean":
 * Levenshtein distance, NULL when nothing is nearer than half of the word's length. */
const char *nn_nearest(const char *word, const char *const *words);

#endif
