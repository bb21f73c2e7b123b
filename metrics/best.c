#include "metrics/best.h"

#include <string.h>

static uint64_t key_of(float s, int place)
{
    uint32_t bits;

    s += 0.0f;                                  /* -0 becomes 0: equal numbers, one key */
    memcpy(&bits, &s, sizeof bits);
    bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~place;
}

float met_best_value(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    float s;

    bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
    memcpy(&s, &bits, sizeof s);
    return s;
}

int met_best_place(uint64_t key)
{
    return (int)~(uint32_t)key;
}

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t keep = *a;
    *a = *b;
    *b = keep;
}

/* Quickselect (Hoare): the k largest of n different keys come first, the last of
 * them at k - 1. */
static void select_largest(uint64_t *key, int n, int k)
{
    int lo = 0, hi = n - 1;

    while (lo < hi) {
        uint64_t a = key[lo], b = key[lo + (hi - lo) / 2], c = key[hi];
        uint64_t low = a < b ? a : b, high = a < b ? b : a;
        uint64_t middle = c < low ? low : c > high ? high : c;
        int i = lo, j = hi;
        while (i <= j) {
            while (key[i] > middle)
                i++;
            while (key[j] < middle)
                j--;
            if (i <= j)
                swap(&key[i++], &key[j--]);
        }
        if (k - 1 <= j)
            hi = j;
        else if (k - 1 >= i)
            lo = i;
        else
            break;
    }
}

void met_best_settle(met_best *b)
{
    if (b->held == 0)
        return;
    int k = b->held < b->k ? b->held : b->k;

    select_largest(b->key, b->held, k);
    b->held = k;
    if (k == b->k)
        b->least = met_best_value(b->key[k - 1]);
}

static void append(met_best *b, float s, int place)
{
    if (!(s > b->least))
        return;
    b->key[b->held++] = key_of(s, place);
    if (b->held == 2 * b->k)
        met_best_settle(b);
}

/* 1 when one of eight numbers is above `least` */
static int any_above(const float *s, float least)
{
    typedef float four __attribute__((vector_size(16)));
    typedef int32_t flags __attribute__((vector_size(16)));
    four a, b, bar = { least, least, least, least };
    uint64_t word[2];

    memcpy(&a, s, sizeof a);
    memcpy(&b, s + 4, sizeof b);
    flags above = (flags)(a > bar) | (flags)(b > bar);
    memcpy(word, &above, sizeof word);
    return (word[0] | word[1]) != 0;
}

void met_best_take(met_best *b, const float *s, int n, int first)
{
    int j = 0;

    for (; j + 8 <= n; j += 8)
        if (any_above(s + j, b->least))
            for (int i = j; i < j + 8; i++)
                append(b, s[i], first + i);
    for (; j < n; j++)
        append(b, s[j], first + j);
}

/* Shell sort, gaps of "Best Increments for the Average Case of Shellsort", Ciura, 2001 */
void met_best_sort(met_best *b)
{
    static const int gaps[] = { 1750, 701, 301, 132, 57, 23, 10, 4, 1 };

    met_best_settle(b);
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (int gap = gaps[g], i = gap; i < b->held; i++) {
            uint64_t key = b->key[i];
            int j = i;
            for (; j >= gap && b->key[j - gap] < key; j -= gap)
                b->key[j] = b->key[j - gap];
            b->key[j] = key;
        }
}
