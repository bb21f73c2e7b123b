/* Nearest codes; part of body.h, used by nn/quant/search.c.
 *
 * Rows of a tile are codes, its columns are vectors, so a lane is a vector and meets the
 * codes in order: "greater than the best so far" keeps the first of equals, and there is
 * nothing to fold at the end.  A panel of codes is d + 1 rows of MR numbers: first -h,
 * where the sums start, then the codes.  Numbers of codes are floats: exact to 2^24. */
LANE void scores(const float *code, size_t d, const float *z, vec s[MR][NV])
{
    vec zk[NV];
    UNROLL
    for (int i = 0; i < MR; i++)
        UNROLL
        for (int v = 0; v < NV; v++)
            s[i][v] = v_set1(code[i]);
    code += MR;
    for (size_t k = 0; k < d; k++, code += MR, z += NR) {
        UNROLL
        for (int v = 0; v < NV; v++)
            zk[v] = v_load(z + 16 * v);
        UNROLL
        for (int i = 0; i < MR; i++) {
            vec c = v_set1(code[i]);
            UNROLL
            for (int v = 0; v < NV; v++)
                s[i][v] = v_fma(c, zk[v], s[i][v]);
        }
    }
}

static void code_max(size_t panels, size_t d, const float *code, float first,
                     const float *z, float *best, float *which)
{
    vec s[MR][NV], number = v_set1(first);
    for (; panels > 0; panels--, code += (d + 1) * MR) {
        scores(code, d, z, s);
        vec b[NV], w[NV];
        UNROLL
        for (int v = 0; v < NV; v++) {
            b[v] = v_load(best + 16 * v);
            w[v] = v_load(which + 16 * v);
        }
        UNROLL
        for (int i = 0; i < MR; i++) {
            UNROLL
            for (int v = 0; v < NV; v++) {
                w[v] = v_pick(v_gt(s[i][v], b[v]), number, w[v]);
                b[v] = v_max(s[i][v], b[v]);
            }
            number = v_add(number, v_set1(1));
        }
        UNROLL
        for (int v = 0; v < NV; v++) {
            v_store(best + 16 * v, b[v]);
            v_store(which + 16 * v, w[v]);
        }
    }
}
