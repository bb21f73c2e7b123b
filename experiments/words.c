#include "experiments/words.h"

#include <stdarg.h>
#include <stdio.h>

void ex_say(ex_words *w, const char *format, ...)
{
    va_list ap;

    w->count++;
    va_start(ap, format);
    int n = vsnprintf(w->at + w->used, w->size - w->used, format, ap);
    va_end(ap);
    if (n > 0)
        w->used += (size_t)n < w->size - w->used ? (size_t)n : w->size - w->used - 1;
}
