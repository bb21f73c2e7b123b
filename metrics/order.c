#include "metrics/order.h"

#include <math.h>

/* Shell sort with the gaps of Knuth, (3^k - 1) / 2 */
void met_ascend(double *x, int n)
{
    int gap = 1;

    while (gap < n / 3)
        gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (int i = gap; i < n; i++) {
            double now = x[i];
            int j = i;
            for (; j >= gap && x[j - gap] > now; j -= gap)
                x[j] = x[j - gap];
            x[j] = now;
        }
}

double met_quantile(const double *x, int n, double q)
{
    if (n == 0)
        return NAN;
    double at = q * (n - 1);
    int low = (int)at;
    double high = low + 1 < n ? x[low + 1] : x[low];

    return x[low] + (at - low) * (high - x[low]);
}
