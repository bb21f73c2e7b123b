#include "nn/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

nn_status nn_fail(nn_err *err, nn_status code, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
        for (char *p = err->text; *p; p++)      /* names from files may hold anything */
            if ((unsigned char)*p < ' ' || *p == 0x7F)
                *p = '?';
    }
    return code;
}

_Noreturn void nn_panic(const char *file, int line, const char *format, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "fullrank: bug at %s:%d: ", file, line);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

static nn_memory_act *memory_act;       /* set once, by the program at its start */

void nn_on_no_memory(nn_memory_act *act)
{
    memory_act = act;
}

_Noreturn void nn_no_memory(const char *format, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (memory_act)
        memory_act(text);
    fprintf(stderr, "fullrank: %s\n", text);
    abort();
}

/* Levenshtein distance by one rolling row.  Words longer than the row are compared by
 * their first MAX letters: settings and methods have short names. */
static int edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    int row[MAX + 1];
    int la = (int)strnlen(a, MAX), lb = (int)strnlen(b, MAX);

    for (int j = 0; j <= lb; j++)
        row[j] = j;
    for (int i = 1; i <= la; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = corner + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

const char *nn_nearest(const char *word, const char *const *words)
{
    const char *best = NULL;
    int least = (int)strlen(word) / 2 + 1;      /* more than half wrong is another word */

    for (; *words; words++) {
        int distance = edit_distance(word, *words);
        if (distance < least) {
            least = distance;
            best = *words;
        }
    }
    return best;
}
