/* The report: what stands in the run folders stands in the page and in the table, and a
 * folder that is missing, cut, damaged or foreign gives one clear line and no page. */

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "experiments/report.h"
#include "tests/suites.h"

/* ---- run folders made for the tests ----------------------------------------------- */

static char folder[] = "/tmp/fullrank-report-XXXXXX";
static char healthy[64], collapsed[64], page[64];

static void put(const char *run, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", run, file);
    FILE *f = fopen(path, "w");
    ck_assert_msg(f, "%s cannot be written", path);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

static char *slurp(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "r"), *m = open_memstream(&text, &size);
    ck_assert_msg(f, "%s cannot be read", path);
    for (int c; (c = getc(f)) != EOF;)
        putc(c, m);
    fclose(f);
    fclose(m);
    return text;
}

static const char status_text[] =
    "{\"state\":\"finished\",\"epoch\":2,\"epochs\":2,\"exit\":0,\"message\":\"\","
    "\"name\":\"demo\",\"label\":\"a run\",\"seed\":7,\"host\":\"node07\","
    "\"version\":\"0.1\",\"compiler\":\"gcc 12.2.0\",\"kernel\":\"avx2\",\"threads\":2,"
    "\"started\":\"2025-03-01T10:00:00Z\",\"ended\":\"2025-03-01T10:01:22Z\","
    "\"seconds\":82.4,\"weights_sha256\":\"5f1d\",\"method\":\"simsiam\","
    "\"baseline\":{\"chance\":0.5,\"raw_pixel_knn\":0.8066,\"untrained_knn\":0.7734},"
    "\"reference\":{\"collapse/std\":1.0,\"collapse/erank\":3.9,\"h/collapse/std\":1.0},"
    "\"data\":{\"name\":\"shapes\",\"train\":100,\"test\":50,\"h\":2,\"w\":2,\"c\":1,"
    "\"classes\":2,\"fingerprint\":\"9c41\"},"
    "\"model\":{\"name\":\"mlp\",\"parameters\":164}}\n";

static const char config_text[] =
    "# every setting\n"
    "method:\n"
    "  name: simsiam                   # file\n"
    "  stop_gradient: true             # default\n"
    "augment:\n"
    "  order: \"a # b\"                  # recipe\n"
    "  note: \"c # d\"\n"
    "epochs: 2                         # command line\n"
    "seed: 7                           # default\n";

#define COUNTS "\"n\":50,\"d\":4,\"r\":8,\"k\":5,\"knn_k\":20,\"bank\":100,"
static const char rows_text[] =
    "{\"epoch\":0,\"loss\":null," COUNTS
    "\"collapse/std\":0.61,\"collapse/erank\":3.1,\"eval/knn\":0.7734,"
    "\"verdict\":\"healthy\",\"why\":\"as it begins\"}\n"
    "{\"epoch\":1,\"loss\":-0.5125," COUNTS
    "\"collapse/std\":0.72,\"collapse/erank\":null,\"eval/knn\":0.79,"
    "\"verdict\":\"healthy\",\"why\":\"half way\"}\n"
    "{\"epoch\":2,\"loss\":-0.9375," COUNTS
    "\"collapse/std\":0.8125,\"collapse/erank\":3.25,\"h/collapse/std\":0.5,"
    "\"eval/knn\":0.8275,\"verdict\":\"healthy\",\"why\":\"sqrt(d)*std = 0.81\","
    "\"weights_sha256\":\"5f1d\"}\n";

/* Three points of two classes; one pair of 2 x 2 grey images: 4 bytes are 8 of base64. */
static const char shots_text[] =
    "{\"classes\":[\"cat\",\"dog\"],\"label\":[0,1,1],\"pairs\":{\"h\":2,\"w\":2,\"c\":1,"
    "\"count\":1,\"original\":\"AAECAw==\",\"view1\":\"AAECAw==\","
    "\"view2\":\"AAECAw==\"}}\n"
    "{\"epoch\":0,\"spectrum_z\":[0.4,0.2,0.1,0.05],\"spectrum_h\":[0.5,0.123456],"
    "\"map\":[0.5,-0.25,0.1,0.2,-0.3,0.00004],\"share\":[0.6,0.3]}\n"
    "{\"epoch\":2,\"spectrum_z\":[0.4,0.2,0.1,null],\"spectrum_h\":[0.5,0.1],"
    "\"map\":[0.5,null,0.1,0.2,-0.3,-0.4],\"share\":null}\n";

static void make_run(char *path, const char *name)
{
    snprintf(path, 64, "%s/%s", folder, name);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    put(path, "status.json", status_text);
    put(path, "config.yaml", config_text);
    put(path, "metrics.jsonl", rows_text);
    put(path, "snapshots.jsonl", shots_text);
}

/* `text` with the first `from` replaced; fails when there is none to replace.  The result
 * is good until the next call, which may have it as its text. */
static const char *with(const char *text, const char *from, const char *to)
{
    static char out[8192];
    char made[sizeof out];
    const char *at = strstr(text, from);
    ck_assert_msg(at, "the test looks for %s, which is not there", from);
    snprintf(made, sizeof made, "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
    memcpy(out, made, sizeof out);
    return out;
}

static void set_up(void)
{
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(page, sizeof page, "%s/report.html", folder);
    make_run(healthy, "healthy");
    make_run(collapsed, "collapsed");
    put(collapsed, "config.yaml", with(config_text, "stop_gradient: true ",
                                       "stop_gradient: false"));
    const char *rows = with(with(rows_text, "0.8125", "0.0862"), "0.8275", "0.7636");
    put(collapsed, "metrics.jsonl",
        with(rows, "\"healthy\",\"why\":\"sqrt(d)*std = 0.81",
             "\"complete collapse\",\"why\":\"sqrt(d)*std = 0.09"));
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static void tear_down(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static nn_status report_on(int runs, const char *const *run, char **table, nn_err *err)
{
    size_t size;
    FILE *f = open_memstream(table, &size);
    nn_status s = ex_report(runs, run, page, f, err);
    fclose(f);
    return s;
}

/* Reports on both runs and returns the page. */
static char *page_of_both(char **table)
{
    const char *run[] = { healthy, collapsed };
    char *own = NULL;
    nn_err err = {0};
    nn_status s = report_on(2, run, table ? table : &own, &err);
    free(own);
    ck_assert_msg(s == NN_OK, "%s", err.text);
    return slurp(page);
}

static json_t *data_of(const char *html)
{
    static const char open[] = "<script id=\"data\" type=\"application/json\">";
    const char *from = strstr(html, open);
    ck_assert_ptr_nonnull(from);
    from += strlen(open);
    json_error_t e;
    json_t *data = json_loadb(from, (size_t)(strstr(from, "</script>") - from), 0, &e);
    ck_assert_msg(data, "the data of the page are not JSON: %s", e.text);
    return data;
}

static json_t *run_of(const json_t *data, size_t i)
{
    return json_array_get(json_object_get(data, "runs"), i);
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "(none)";
}

static double number_at(const json_t *array, size_t i)
{
    return json_number_value(json_array_get(array, i));
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
        n++;
    return n;
}

static int files_beside(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- the page --------------------------------------------------------------------- */

START_TEST(the_page_holds_the_numbers_of_the_runs)
{
    char *html = page_of_both(NULL);
    json_t *data = data_of(html), *run = run_of(data, 0);
    json_t *curve = json_object_get(run, "curve");

    /* six digits are written: 1e-6 relative is their last place */
    const json_t *loss = json_object_get(curve, "loss");
    ck_assert_uint_eq(json_array_size(loss), 3);
    ck_assert(json_is_null(json_array_get(loss, 0)));
    ck_assert_double_eq_tol(number_at(loss, 1), -0.5125, 1e-6);
    ck_assert_double_eq_tol(number_at(loss, 2), -0.9375, 1e-6);
    ck_assert(json_is_null(json_array_get(json_object_get(curve, "collapse/erank"), 1)));
    /* a metric that only some epochs have is null in the others */
    ck_assert(json_is_null(json_array_get(json_object_get(curve, "h/collapse/std"), 0)));
    ck_assert_double_eq_tol(number_at(json_object_get(curve, "h/collapse/std"), 2), .5,
                            1e-6);
    ck_assert_str_eq(text_at(json_object_get(run, "status"), "weights_sha256"), "5f1d");
    const json_t *base = json_object_get(json_object_get(run, "status"), "baseline");
    ck_assert_double_eq_tol(json_number_value(json_object_get(base, "untrained_knn")),
                            0.7734, 1e-6);
    json_decref(data);
    free(html);
}
END_TEST

START_TEST(maps_are_ten_thousandths_and_spectra_keep_four_digits)
{
    char *html = page_of_both(NULL);
    json_t *data = data_of(html), *shots = json_object_get(run_of(data, 0), "shots");
    json_t *first = json_array_get(shots, 0), *map = json_object_get(first, "map");
    static const int wanted[] = { 5000, -2500, 1000, 2000, -3000, 0 };

    ck_assert_uint_eq(json_array_size(shots), 2);
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(json_integer_value(json_array_get(map, i)), wanted[i]);
    map = json_object_get(json_array_get(shots, 1), "map");
    ck_assert(json_is_null(json_array_get(map, 1)));
    ck_assert_double_eq_tol(number_at(json_object_get(first, "h"), 1), 0.1235, 1e-9);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "zn")), 4);
    json_decref(data);
    free(html);
}
END_TEST

START_TEST(settings_keep_their_origin_and_a_hash_inside_quotes)
{
    char *html = page_of_both(NULL);
    json_t *data = data_of(html), *row;
    json_t *config = json_object_get(run_of(data, 1), "config");
    char all[1024] = "";
    size_t i;

    json_array_foreach(config, i, row)
        for (size_t k = 0; k < 3; k++)
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s",
                     json_string_value(json_array_get(row, k)), k < 2 ? "=" : "\n");
    ck_assert_str_eq(all, "method.name=simsiam=file\n"
                          "method.stop_gradient=false=default\n"
                          "augment.order=a # b=recipe\n"
                          "augment.note=c # d=\n"
                          "epochs=2=command line\n"
                          "seed=7=default\n");
    json_decref(data);
    free(html);
}
END_TEST

START_TEST(runs_are_named_by_what_differs)
{
    char *html = page_of_both(NULL);
    json_t *data = data_of(html);
    ck_assert_str_eq(text_at(run_of(data, 0), "label"), "stop_gradient=true");
    ck_assert_str_eq(text_at(run_of(data, 1), "label"), "stop_gradient=false");
    json_decref(data);
    free(html);
}
END_TEST

/* The first run lacks the regulariser; both have epochs, which differ, too. */
START_TEST(a_regulariser_that_one_run_lacks_tells_them_apart)
{
    put(healthy, "config.yaml", with(config_text, "epochs: 2", "epochs: 3"));
    put(collapsed, "config.yaml", with(config_text, "augment:\n",
        "add:\n  ldreg:\n    beta: 0.5  # file\naugment:\n"));
    char *html = page_of_both(NULL);
    json_t *data = data_of(html);
    ck_assert_str_eq(text_at(run_of(data, 0), "label"), "epochs=3, ldreg.beta=-");
    ck_assert_str_eq(text_at(run_of(data, 1), "label"), "epochs=2, ldreg.beta=0.5");
    json_decref(data);
    free(html);
}
END_TEST

START_TEST(slashes_at_the_end_of_a_path_do_not_matter)
{
    char path[128], *table;
    const char *run[] = { path };
    nn_err err = {0};

    snprintf(path, sizeof path, "%s//", healthy);
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    char *html = slurp(page);
    json_t *data = data_of(html);
    ck_assert_str_eq(text_at(run_of(data, 0), "path"), healthy);
    json_decref(data);
    free(html);
    free(table);
}
END_TEST

START_TEST(equal_runs_get_different_names)
{
    const char *run[] = { healthy, healthy, collapsed };
    char *table, *html;
    nn_err err = {0};

    put(collapsed, "config.yaml", with(config_text, "seed: 7", "seed: 8"));
    put(collapsed, "status.json", with(status_text, "\"seed\":7", "\"seed\":8"));
    ck_assert_int_eq(report_on(3, run, &table, &err), NN_OK);
    html = slurp(page);
    json_t *data = data_of(html);
    ck_assert_str_eq(text_at(run_of(data, 0), "label"), "a run, seed 7");
    ck_assert_str_eq(text_at(run_of(data, 1), "label"), "a run, seed 7 (2)");
    ck_assert_str_eq(text_at(run_of(data, 2), "label"), "a run, seed 8");
    json_decref(data);
    free(html);
    free(table);
}
END_TEST

START_TEST(runs_on_the_same_data_share_one_set_of_pairs)
{
    char *html = page_of_both(NULL);
    json_t *data = data_of(html);
    ck_assert_uint_eq(json_array_size(json_object_get(data, "sets")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(run_of(data, 1), "set")), 0);
    ck_assert_int_eq(count(html, "AAECAw=="), 3);
    json_decref(data);
    free(html);

    put(collapsed, "snapshots.jsonl", with(shots_text, "cat", "cow"));
    html = page_of_both(NULL);
    data = data_of(html);
    ck_assert_uint_eq(json_array_size(json_object_get(data, "sets")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(run_of(data, 1), "set")), 1);
    json_decref(data);
    free(html);
}
END_TEST

/* Every element that is opened is closed, in order.  Returns what is wrong, or NULL.  The
 * content of <script> and <style> ends at their closing tag, whatever is in it. */
static const char *unbalanced(const char *p)
{
    static const char *const empty[] = { "meta", "input", "br", "wbr", "img", "link" };
    static char open[64][16], wrong[96];
    int depth = 0;

    while ((p = strchr(p, '<'))) {
        if (p[1] == '!') {
            p++;
            continue;
        }
        int closing = p[1] == '/', alone = 0;
        char name[16] = "";
        p += 1 + closing;
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        for (size_t i = 0; i < NN_COUNT(empty); i++)
            alone |= strcmp(name, empty[i]) == 0;
        if (!n) {
            snprintf(wrong, sizeof wrong, "a bare < before %.20s", p);
            return wrong;
        }
        if (closing && (depth == 0 || strcmp(open[--depth], name) != 0)) {
            snprintf(wrong, sizeof wrong, "</%.15s> closes <%.15s>", name, open[depth]);
            return wrong;
        }
        if (!closing && !alone && depth < 64)
            memcpy(open[depth++], name, sizeof name);
        if (!closing && (strcmp(name, "script") == 0 || strcmp(name, "style") == 0)) {
            char end[24];
            snprintf(end, sizeof end, "</%s", name);
            if (!(p = strstr(p, end)))
                return "a script that never ends";
        }
    }
    return depth ? open[depth - 1] : NULL;
}

START_TEST(the_page_is_well_formed)
{
    char *html = page_of_both(NULL);
    const char *wrong = unbalanced(html);
    ck_assert_msg(!wrong, "%s", wrong);
    ck_assert_msg(!strstr(html, "{{"), "a slot of the template was left empty");
    free(html);
}
END_TEST

START_TEST(the_check_of_form_sees_a_planted_fault)
{
    ck_assert_ptr_null(unbalanced("<p>a<b>c</b><br></p>"));
    ck_assert_ptr_nonnull(unbalanced("<p>a<b>c</p></b>"));
    ck_assert_ptr_nonnull(unbalanced("<p>"));
    ck_assert_ptr_nonnull(unbalanced("<p>1 < 2</p>"));
}
END_TEST

START_TEST(the_page_asks_for_nothing_outside_itself)
{
    char *html = page_of_both(NULL);
    ck_assert_int_eq(count(html, " src="), 0);
    ck_assert_int_eq(count(html, "<link"), 0);
    ck_assert_int_eq(count(html, "@import"), 0);
    ck_assert_int_eq(count(html, "default-src 'none'"), 1);
    ck_assert_msg(strstr(html, "Chart.js v"), "Chart.js is not in the page");
    free(html);
}
END_TEST

START_TEST(a_name_with_markup_stays_text)
{
    static const char evil[] = "</script><script>alert(1)</script><!--&\\\"\\u2028";
    char *html = page_of_both(NULL);
    int scripts = count(html, "<script"), ends = count(html, "</script");
    char status[4096];
    free(html);

    snprintf(status, sizeof status, "%s", with(status_text, "a run", evil));
    put(healthy, "status.json", status);
    put(healthy, "config.yaml", with(config_text, "a # b", "</script><b>"));
    put(healthy, "snapshots.jsonl", with(shots_text, "cat", "</script><i>"));
    const char *run[] = { healthy };
    char *table;
    nn_err err = {0};
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    html = slurp(page);
    ck_assert_int_eq(count(html, "<script"), scripts);
    ck_assert_int_eq(count(html, "</script"), ends);
    ck_assert_ptr_null(unbalanced(html));
    /* the name comes back whole from the data, and escaped in the title */
    json_t *data = data_of(html);
    ck_assert_str_eq(text_at(json_object_get(run_of(data, 0), "status"), "label"),
                     "</script><script>alert(1)</script><!--&\"\u2028");
    ck_assert_ptr_nonnull(strstr(html, "<title>&lt;/script&gt;&lt;script&gt;alert(1)"));
    json_decref(data);
    free(html);
    free(table);
}
END_TEST

START_TEST(the_same_folders_give_the_same_bytes)
{
    char *a = page_of_both(NULL), *b = page_of_both(NULL);
    ck_assert_msg(strcmp(a, b) == 0, "two reports on the same runs differ");
    free(a);
    free(b);
}
END_TEST

START_TEST(a_long_run_shows_its_first_its_last_and_some_between)
{
    const char *run[] = { healthy };
    char *table, *text = NULL;
    size_t size;
    nn_err err = {0};
    FILE *f = open_memstream(&text, &size);

    fprintf(f, "%.*s\n", (int)strcspn(shots_text, "\n"), shots_text);
    for (int e = 0; e <= 400; e++) {
        fprintf(f, "{\"epoch\":%d,\"spectrum_z\":[", e);
        for (int i = 0; i < 1000; i++)
            fprintf(f, "%s%d", i ? "," : "", 1000 - i);
        fputs("],\"map\":[0,0,0,0,0,0]}\n", f);
    }
    fclose(f);
    put(healthy, "snapshots.jsonl", text);
    free(text);
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    char *html = slurp(page);
    json_t *data = data_of(html), *shots = json_object_get(run_of(data, 0), "shots");
    size_t n = json_array_size(shots);
    ck_assert_uint_eq(n, 41);
    for (size_t i = 0; i < n; i++) {    /* 400 epochs over 40 gaps: every tenth */
        const json_t *e = json_object_get(json_array_get(shots, i), "epoch");
        ck_assert_int_eq(json_integer_value(e), (json_int_t)(10 * i));
    }
    json_t *z = json_object_get(json_array_get(shots, 0), "z");
    ck_assert_double_eq(number_at(z, 0), 1000);
    ck_assert_double_eq(number_at(z, json_array_size(z) - 1), 1);
    ck_assert_uint_le(json_array_size(z), 256);
    const json_t *all = json_object_get(run_of(data, 0), "evaluated");
    ck_assert_int_eq(json_integer_value(all), 401);
    json_decref(data);
    free(html);
    free(table);
}
END_TEST

/* ---- the table -------------------------------------------------------------------- */

START_TEST(the_table_sets_the_runs_side_by_side)
{
    char *table;
    free(page_of_both(&table));
    ck_assert_str_eq(table,
        "                       stop_gradient=true  stop_gradient=false  reference\n"
        "verdict                healthy             complete collapse\n"
        "sqrt(d)*std of z       0.81                0.09                 "
        "1 isotropic, under 0.35 collapsed\n"
        "effective rank of z    3.2 of 4            3.2 of 4             3.9 isotropic\n"
        "kNN of h               82.8 %              76.4 %\n"
        "  untrained network    77.3 %              77.3 %\n"
        "  raw pixels           80.7 %              80.7 %\n"
        "  chance               50.0 %              50.0 %\n"
        "loss                   -0.9375             -0.9375\n"
        "epoch                  2 of 2              2 of 2\n"
        "n / d / k              50/4/5              50/4/5\n"
        "kNN k / bank           20/100              20/100\n"
        "\n"
        "stop_gradient=false: kNN of h, 76.4 %, is below the 77.3 % of the untrained "
        "network: training has not improved the features\n");
    free(table);
}
END_TEST

START_TEST(many_runs_get_a_line_each_and_share_what_they_share)
{
    const char *run[] = { healthy, collapsed, healthy, collapsed };
    char *table;
    nn_err err = {0};

    put(collapsed, "status.json", with(status_text, "finished", "running"));
    ck_assert_int_eq(report_on(4, run, &table, &err), NN_OK);
    ck_assert_ptr_nonnull(strstr(table, "\n\nstd: "));
    *(strstr(table, "\n\nstd: ") + 1) = 0;
    ck_assert_str_eq(table,
        "run                              verdict            state     std   "
        "erank     kNN     untrained  loss     epoch\n"
        "stop_gradient=true, seed 7       healthy            finished  0.81  "
        "3.2 of 4  82.8 %  77.3 %     -0.9375  2 of 2\n"
        "stop_gradient=false, seed 7      complete collapse  running   0.09  "
        "3.2 of 4  76.4 %  77.3 %     -0.9375  2 of 2\n"
        "stop_gradient=true, seed 7 (2)   healthy            finished  0.81  "
        "3.2 of 4  82.8 %  77.3 %     -0.9375  2 of 2\n"
        "stop_gradient=false, seed 7 (2)  complete collapse  running   0.09  "
        "3.2 of 4  76.4 %  77.3 %     -0.9375  2 of 2\n");
    const char *rest = table + strlen(table) + 1;
    ck_assert_ptr_nonnull(strstr(rest, "All runs: raw pixels 80.7 %, chance 50.0 %, "
                                       "n / d / k 50/4/5, kNN k / bank 20/100\n"));
    free(table);
}
END_TEST

/* A row only where somebody measured it: older runs have no such key. */
START_TEST(waiting_for_data_is_shown_where_it_was_measured)
{
    const char *run[] = { collapsed, healthy };
    char *table;
    nn_err err = {0};

    put(healthy, "metrics.jsonl", with(rows_text, "\"loss\":-0.9375,",
                                       "\"loss\":-0.9375,\"data_wait\":0.0123,"));
    ck_assert_int_eq(report_on(2, run, &table, &err), NN_OK);
    ck_assert_ptr_nonnull(strstr(table,
        "kNN k / bank           20/100               20/100\n"
        "waiting for data       -                    1.2 %\n"));
    free(table);
    put(healthy, "metrics.jsonl", with(rows_text, "\"loss\":-0.9375,",
                                       "\"loss\":-0.9375,\"data_wait\":\"much\","));
    ck_assert_int_eq(report_on(2, run, &table, &err), NN_ERUN);
    ck_assert_ptr_nonnull(strstr(err.text, "\"data_wait\" is a text, wanted a number"));
    free(table);
}
END_TEST

/* Three rows where a run has a probe; its untrained figure tells that it has one. */
START_TEST(a_linear_probe_is_shown_where_there_is_one)
{
    const char *run[] = { collapsed, healthy };
    char *table;
    nn_err err = {0};

    put(healthy, "metrics.jsonl", with(rows_text, "\"eval/knn\":0.8275,",
                                       "\"eval/knn\":0.8275,\"eval/linear\":0.7013,"
                                       "\"linear_bank\":100,"));
    put(healthy, "status.json", with(status_text, "\"raw_pixel_knn\":0.8066,",
                                     "\"raw_pixel_knn\":0.8066,\"raw_pixel_linear\":"
                                     "0.84,\"untrained_linear\":0.71,"));
    ck_assert_int_eq(report_on(2, run, &table, &err), NN_OK);
    ck_assert_msg(strstr(table,
        "  chance               50.0 %               50.0 %\n"
        "linear probe of h      -                    70.1 %\n"
        "  untrained network    -                    71.0 %\n"
        "  raw pixels (linear)  -                    84.0 %\n"
        "loss "), "%s", table);
    ck_assert_msg(strstr(table, "stop_gradient=true: the linear probe of h, 70.1 %, is "
                         "below the 71.0 % of the untrained network\n"), "%s", table);
    free(table);
    put(healthy, "metrics.jsonl", with(rows_text, "\"eval/knn\":0.8275,",
                                       "\"eval/knn\":0.8275,\"eval/linear\":\"x\","));
    ck_assert_int_eq(report_on(2, run, &table, &err), NN_ERUN);
    ck_assert_ptr_nonnull(strstr(err.text, "\"eval/linear\" is a text"));
    free(table);
}
END_TEST

/* The page asks for numbers whose key it does not know: they must be some. */
START_TEST(terms_of_the_loss_reach_the_page_as_numbers)
{
    const char *run[] = { healthy };
    char *table;
    nn_err err = {0};

    put(healthy, "metrics.jsonl", with(rows_text, "\"loss\":-0.9375,",
                                       "\"loss\":-0.9375,\"term/a\":0.5,"));
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    free(table);
    char *html = slurp(page);
    json_t *data = data_of(html);
    json_t *a = json_object_get(json_object_get(run_of(data, 0), "curve"), "term/a");
    ck_assert_uint_eq(json_array_size(a), 3);
    ck_assert(json_is_null(json_array_get(a, 0)));
    ck_assert_double_eq(number_at(a, 2), 0.5);
    json_decref(data);
    free(html);
    put(healthy, "metrics.jsonl", with(rows_text, "\"loss\":-0.9375,",
                                       "\"loss\":-0.9375,\"term/a\":\"much\","));
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_ERUN);
    ck_assert_ptr_nonnull(strstr(err.text, "\"term/a\" is a text, wanted a number"));
    free(table);
}
END_TEST

START_TEST(the_table_alone_needs_no_page)
{
    const char *run[] = { healthy };
    char *table = NULL;
    size_t size;
    nn_err err = {0};
    FILE *f = open_memstream(&table, &size);
    ck_assert_int_eq(ex_report(1, run, NULL, f, &err), NN_OK);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(table, "82.8 %"));
    ck_assert_int_ne(access(page, F_OK), 0);
    free(table);
}
END_TEST

/* What arrives at the other end of a terminal; NULL when the machine gives none. */
static char *on_a_terminal(void)
{
    static char text[8192];
    const char *run[] = { collapsed };
    nn_err err = {0};
    int end = posix_openpt(O_RDWR | O_NOCTTY);

    if (end < 0 || grantpt(end) != 0 || unlockpt(end) != 0)
        return NULL;
    FILE *f = fopen(ptsname(end), "w");
    if (!f)
        return NULL;
    ck_assert_int_eq(ex_report(1, run, NULL, f, &err), NN_OK);
    size_t used = 0;
    struct pollfd in = { .fd = end, .events = POLLIN };
    *text = 0;
    while (!strstr(text, "improved the features") && poll(&in, 1, 2000) == 1) {
        ssize_t n = read(end, text + used, sizeof text - 1 - used);
        ck_assert_int_gt(n, 0);
        text[used += (size_t)n] = 0;
    }
    fclose(f);
    close(end);
    return text;
}

START_TEST(colour_only_on_a_terminal_that_wants_it)
{
    const char *run[] = { collapsed };
    char path[128];
    nn_err err = {0};

    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    snprintf(path, sizeof path, "%s/table.txt", folder);
    FILE *f = fopen(path, "w");
    ck_assert_int_eq(ex_report(1, run, NULL, f, &err), NN_OK);
    fclose(f);
    char *text = slurp(path);
    ck_assert_msg(!strchr(text, '\033'), "escape codes in a file");
    free(text);
    const char *seen = on_a_terminal();
    if (!seen) {
        puts("report: no pseudo-terminal here, so colour on a terminal is not tested");
        return;
    }
    ck_assert_ptr_nonnull(strstr(seen, "\033[1;31mcomplete collapse\033[0m"));
    setenv("NO_COLOR", "1", 1);
    ck_assert_ptr_null(strchr(on_a_terminal(), '\033'));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    ck_assert_ptr_null(strchr(on_a_terminal(), '\033'));
}
END_TEST

START_TEST(control_characters_never_reach_the_terminal)
{
    const char *run[] = { healthy };
    char *table;
    nn_err err = {0};

    put(healthy, "status.json", with(status_text, "a run", "\\u001b[31mred\\u009b\\n"));
    put(healthy, "metrics.jsonl", with(rows_text, "\"healthy\",\"why\":\"sqrt",
                                       "\"heal\\u001bthy\",\"why\":\"sqrt"));
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    for (const char *c = table; *c; c++)
        ck_assert_msg((unsigned char)*c >= 32 || *c == '\n', "byte %d in the table", *c);
    ck_assert_ptr_nonnull(strstr(table, "?[31mred??"));
    free(table);
}
END_TEST

/* ---- runs that are not whole ------------------------------------------------------ */

START_TEST(a_cut_last_line_is_left_out_and_told)
{
    const char *run[] = { healthy };
    char *table, cut[4096];
    nn_err err = {0};

    snprintf(cut, sizeof cut, "%.*s", (int)strlen(rows_text) - 40, rows_text);
    put(healthy, "metrics.jsonl", cut);
    put(healthy, "status.json", with(status_text, "finished", "running"));
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    char *html = slurp(page);
    json_t *data = data_of(html);
    json_t *curve = json_object_get(run_of(data, 0), "curve");
    ck_assert_uint_eq(json_array_size(json_object_get(curve, "epoch")), 2);
    static const char note[] = "metrics.jsonl ends in a line that was cut off (line 3)";
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(json_object_get(run_of(
        data, 0), "notes"), 0)), note));
    ck_assert_ptr_nonnull(strstr(table, note));
    ck_assert_ptr_nonnull(strstr(table, "epoch                  1 of 2"));
    json_decref(data);
    free(html);
    free(table);
}
END_TEST

START_TEST(a_whole_last_line_without_newline_is_used)
{
    const char *run[] = { healthy };
    char *table, cut[4096];
    nn_err err = {0};

    snprintf(cut, sizeof cut, "%.*s", (int)strlen(rows_text) - 1, rows_text);
    put(healthy, "metrics.jsonl", cut);
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    ck_assert_ptr_nonnull(strstr(table, "epoch                  2 of 2"));
    ck_assert_ptr_null(strstr(table, "cut off"));
    free(table);
}
END_TEST

START_TEST(epochs_done_again_after_a_resume_count_once)
{
    const char *run[] = { healthy };
    char *table, twice[8192];
    nn_err err = {0};
    const char *second = strchr(rows_text, '\n') + 1;

    snprintf(twice, sizeof twice, "%s%s", rows_text, second);
    put(healthy, "metrics.jsonl", twice);
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    char *html = slurp(page);
    json_t *data = data_of(html);
    const json_t *e = json_object_get(json_object_get(run_of(data, 0), "curve"), "epoch");
    ck_assert_uint_eq(json_array_size(e), 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(json_integer_value(json_array_get(e, i)), (json_int_t)i);
    json_decref(data);
    free(html);
    free(table);
}
END_TEST

START_TEST(a_run_without_an_epoch_is_shown_as_unfinished)
{
    const char *run[] = { healthy };
    char *table, path[128];
    nn_err err = {0};

    put(healthy, "status.json", with(with(status_text, "finished", "running"),
                                     "\"a run\"", "null"));
    snprintf(path, sizeof path, "%s/metrics.jsonl", healthy);
    remove(path);
    snprintf(path, sizeof path, "%s/snapshots.jsonl", healthy);
    remove(path);
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    ck_assert_str_eq(table,
        "                       simsiam  reference\n"
        "verdict                -\n"
        "state                  running\n"
        "sqrt(d)*std of z       -        1 isotropic, under 0.35 collapsed\n"
        "effective rank of z    -        3.9 isotropic\n"
        "kNN of h               -\n"
        "  untrained network    77.3 %\n"
        "  raw pixels           80.7 %\n"
        "  chance               50.0 %\n"
        "loss                   -\n"
        "epoch                  - of 2\n"
        "n / d / k              -/-/-\n"
        "kNN k / bank           -/-\n"
        "\n"
        "simsiam: no epoch has been evaluated yet\n"
        "simsiam: not finished: still training, or killed without a chance to say so\n");
    free(table);
}
END_TEST

START_TEST(a_finished_run_whose_metrics_end_early_says_so)
{
    const char *run[] = { healthy };
    char *table;
    nn_err err = {0};
    put(healthy, "status.json", with(status_text, "\"epochs\":2", "\"epochs\":5"));
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    ck_assert_ptr_nonnull(strstr(table, "the run says it has finished 5 epochs, but its "
                                        "metrics end at epoch 2"));
    free(table);
    put(healthy, "status.json",
        with(with(status_text, "\"epochs\":2", "\"epochs\":5"), "\"message\":\"\"",
             "\"message\":\"stopped by alarm.action=stop: bad\""));
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_OK);
    ck_assert_ptr_nonnull(strstr(table, ": stopped by alarm.action=stop: bad\n"));
    ck_assert_ptr_null(strstr(table, "says it has finished"));
    free(table);
}
END_TEST

/* ---- what cannot be reported ------------------------------------------------------ */

/* One fault each: `file` gets `text` (NULL: is removed), and the message holds `says`. */
static const struct fault {
    const char *file, *text;
    nn_status code;
    const char *says;
} faults[] = {
    { "status.json", NULL, NN_ECONFIG, "not a run folder (no status.json in it)" },
    { "status.json", "", NN_ERUN, "status.json: empty; the file is damaged" },
    { "status.json", "{\"state\":\"fini", NN_ERUN, "the file is damaged: train again" },
    { "status.json", "[1, 2]", NN_ERUN, "status.json: not a JSON object" },
    { "status.json", "{\"ok\":true}", NN_ERUN,
      "status.json: no \"state\" known to fullrank" },
    { "status.json", "{\"state\":\"finished\"}", NN_ERUN,
      "\"method\" is missing, wanted a text" },
    { "status.json", "{\"state\":\"finished\",\"method\":\"simsiam\",\"baseline\":3}",
      NN_ERUN, "\"baseline\" is an integer, wanted an object" },
    { "status.json", "{\"state\":\"finished\",\"method\":\"simsiam\",\"seed\":\"0\"}",
      NN_ERUN, "\"seed\" is a text, wanted a number" },
    { "config.yaml", NULL, NN_ERUN,
      "config.yaml: No such file or directory; the run folder is incomplete" },
    { "config.yaml", "", NN_ERUN, "config.yaml: empty" },
    { "config.yaml", "just words\n", NN_ERUN, "config.yaml: holds no settings" },
    { "config.yaml", "method: {name: simsiam\n", NN_ERUN, "the file is damaged" },
    { "config.yaml", "? [a]\n: 1\n", NN_ERUN, "config.yaml:1: a key is not a word" },
    { "config.yaml", "a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}\n", NN_ERUN,
      "nested more than 8 deep" },
    { "metrics.jsonl", NULL, NN_ERUN, "metrics.jsonl: No such file or directory" },
    { "metrics.jsonl", "", NN_ERUN, "metrics.jsonl: no whole line, though the run has "
                                    "finished" },
    { "metrics.jsonl", "{\"epoch\":0}\n{\"epoch\":1,\"lo\n{\"epoch\":2}\n", NN_ERUN,
      "metrics.jsonl:2: " },
    { "metrics.jsonl", "{\"epoch\":0}\n\n{\"epoch\":2}\n", NN_ERUN,
      "metrics.jsonl:2: an empty line" },
    { "metrics.jsonl", "{\"step\":1}\n", NN_ERUN,
      "metrics.jsonl:1: no \"epoch\"; it was not written by this version of `fullrank" },
    { "metrics.jsonl", "{\"epoch\":\"1\"}\n", NN_ERUN, "metrics.jsonl:1: no \"epoch\"" },
    { "metrics.jsonl", "{\"epoch\":-1}\n", NN_ERUN, "metrics.jsonl:1: no \"epoch\"" },
    { "metrics.jsonl", "{\"epoch\":1,\"collapse/std\":\"big\"}\n", NN_ERUN,
      "metrics.jsonl:1: \"collapse/std\" is a text, wanted a number or null" },
    { "metrics.jsonl", "{\"epoch\":1,\"loss\":NaN}\n", NN_ERUN, "metrics.jsonl:1: " },
    { "metrics.jsonl", "{\"epoch\":1,\"n\":1.5}\n", NN_ERUN,
      "metrics.jsonl:1: \"n\" is a number, wanted a count" },
    { "metrics.jsonl", "{\"epoch\":1,\"verdict\":3}\n", NN_ERUN,
      "metrics.jsonl:1: \"verdict\" is an integer, wanted a text" },
    { "metrics.jsonl", "[]\n", NN_ERUN, "metrics.jsonl:1: not a JSON object" },
    { "snapshots.jsonl", "{\"epoch\":0}\n", NN_ERUN,
      "snapshots.jsonl:1: no \"classes\" and \"label\"" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[1]}\n", NN_ERUN,
      "label 0 is not one of the 1 classes" },
    { "snapshots.jsonl", "{\"classes\":[1],\"label\":[0]}\n", NN_ERUN,
      "class 0 is an integer, wanted a text" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0]}\n"
      "{\"epoch\":0,\"map\":[1]}\n", NN_ERUN,
      "snapshots.jsonl:2: the map has 1 numbers, wanted 2 for each of the 1 labels" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0]}\n{\"epoch\":0,"
      "\"spectrum_z\":[\"x\"]}\n", NN_ERUN, "\"spectrum_z\" is not a list of numbers" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0]}\n{\"map\":[1,2]}\n",
      NN_ERUN, "snapshots.jsonl:2: no \"epoch\"" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0],\"pairs\":{\"h\":2,\"w\":2,"
      "\"c\":1,\"count\":1,\"original\":\"AAEC\"}}\n", NN_ERUN,
      "\"pairs.original\" is not base64 of 4 bytes" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0],\"pairs\":{\"h\":2,\"w\":2,"
      "\"c\":1,\"count\":1,\"original\":\"AA!CAw==\"}}\n", NN_ERUN,
      "\"pairs.original\" is not base64 of 4 bytes" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0],\"pairs\":{\"h\":2,\"w\":2,"
      "\"c\":1,\"count\":1,\"original\":\"AAEC==AA\"}}\n", NN_ERUN,
      "\"pairs.original\" is not base64 of 4 bytes" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0],\"pairs\":{\"h\":2,\"w\":2,"
      "\"c\":1,\"count\":1,\"original\":\"AAECA===\"}}\n", NN_ERUN,
      "\"pairs.original\" is not base64 of 4 bytes" },
    { "snapshots.jsonl", "{\"classes\":[\"a\"],\"label\":[0],\"pairs\":{\"h\":0,\"w\":2,"
      "\"c\":1,\"count\":1}}\n", NN_ERUN, "\"pairs\" needs h and w from 1 to 4096" },
};

START_TEST(a_damaged_folder_gives_one_line_and_no_page)
{
    const struct fault *t = &faults[_i];
    const char *run[] = { collapsed, healthy };
    char *table, path[128];
    nn_err err = {0};

    snprintf(path, sizeof path, "%s/%s", healthy, t->file);
    if (t->text)
        put(healthy, t->file, t->text);
    else
        remove(path);
    put(folder, "report.html", "the page of yesterday");
    nn_status s = report_on(2, run, &table, &err);
    ck_assert_msg(s == t->code, "status %d, wanted %d: %s", s, t->code, err.text);
    ck_assert_msg(strstr(err.text, t->says), "\"%s\" does not say \"%s\"", err.text,
                  t->says);
    ck_assert_msg(strncmp(err.text, healthy, strlen(healthy)) == 0,
                  "\"%s\" does not begin with the folder", err.text);
    ck_assert_msg(!strchr(err.text, '\n'), "more than a line: %s", err.text);
    ck_assert_str_eq(table, "");
    free(table);
    table = slurp(page);
    ck_assert_str_eq(table, "the page of yesterday");
    free(table);
}
END_TEST

START_TEST(a_damaged_file_cannot_drive_the_terminal)
{
    const char *run[] = { healthy };
    char *table;
    nn_err err = {0};
    put(healthy, "status.json", "{\"state\": \033[31mred\n\n");
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_ERUN);
    for (const char *c = err.text; *c; c++)
        ck_assert_msg((unsigned char)*c >= 32, "byte %d in: %s", *c, err.text);
    free(table);
}
END_TEST

START_TEST(a_path_that_is_no_run_folder_is_a_usage_error)
{
    char file[128], parent[128], missing[128], *table;
    snprintf(file, sizeof file, "%s/metrics.jsonl", healthy);
    snprintf(missing, sizeof missing, "%s/nowhere", folder);
    snprintf(parent, sizeof parent, "%s/parent", folder);
    const char *const path[] = { missing, file, folder };
    static const char *const says[] = {
        "No such file or directory; name a run folder such as runs/",
        "a file, not a run folder; name the folder that holds it",
        "not a run folder (no status.json in it); name the folder of one seed",
    };
    for (size_t i = 0; i < NN_COUNT(path); i++) {
        nn_err err = {0};
        ck_assert_int_eq(report_on(1, &path[i], &table, &err), NN_ECONFIG);
        ck_assert_msg(strstr(err.text, says[i]), "%s", err.text);
        free(table);
    }

    nn_err err = {0};
    char seed[64];
    const char *run[] = { parent };
    ck_assert_int_eq(mkdir(parent, 0777), 0);
    make_run(seed, "parent/s0");
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_ECONFIG);
    ck_assert_msg(strstr(err.text, "/parent/s0 ?"), "%s", err.text);
    free(table);
    ck_assert_int_eq(ex_report(0, NULL, page, NULL, &err), NN_ECONFIG);
}
END_TEST

START_TEST(a_pipe_in_the_place_of_a_file_does_not_hold_us)
{
    const char *run[] = { healthy };
    char path[128], *table;
    nn_err err = {0};
    snprintf(path, sizeof path, "%s/metrics.jsonl", healthy);
    remove(path);
    ck_assert_int_eq(mkfifo(path, 0666), 0);
    ck_assert_int_eq(report_on(1, run, &table, &err), NN_ERUN);
    ck_assert_msg(strstr(err.text, "not a regular file"), "%s", err.text);
    free(table);
}
END_TEST

START_TEST(a_page_that_cannot_be_written_there_is_told)
{
    char nowhere[128], pipe_there[128];
    snprintf(nowhere, sizeof nowhere, "%s/no/report.html", folder);
    snprintf(pipe_there, sizeof pipe_there, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(pipe_there, 0666), 0);
    const struct { const char *out; nn_status code; const char *says; } t[] = {
        { nowhere, NN_ERUN, "No such file or directory; make the folder first" },
        { healthy, NN_ECONFIG, "is a folder, so the report cannot be written there" },
        { pipe_there, NN_ECONFIG, "is not a regular file" },
        { "", NN_ECONFIG, "the report needs a file name" },
    };
    const char *run[] = { healthy };
    for (size_t i = 0; i < NN_COUNT(t); i++) {
        nn_err err = {0};
        nn_status s = ex_report(1, run, t[i].out, NULL, &err);
        ck_assert_msg(s == t[i].code && strstr(err.text, t[i].says), "%d: %s", s,
                      err.text);
    }
}
END_TEST

START_TEST(a_full_disk_leaves_the_old_page_and_no_rest)
{
    const char *run[] = { healthy };
    nn_err err = {0};
    struct rlimit small = { 4096, 4096 };           /* the page is far larger */

    put(folder, "report.html", "the page of yesterday");
    int before = files_beside();
    signal(SIGXFSZ, SIG_IGN);                       /* write() then fails with EFBIG */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(ex_report(1, run, page, NULL, &err), NN_ERUN);
    ck_assert_msg(strstr(err.text, "make room and run again"), "%s", err.text);
    ck_assert_int_eq(files_beside(), before);
    char *old = slurp(page);
    ck_assert_str_eq(old, "the page of yesterday");
    free(old);
}
END_TEST

START_TEST(the_page_may_be_read_by_whoever_the_umask_allows)
{
    struct stat s;
    umask(027);
    free(page_of_both(NULL));
    ck_assert_int_eq(stat(page, &s), 0);
    ck_assert_int_eq(s.st_mode & 0777, 0640);
    ck_assert_int_eq(files_beside(), 3);            /* two runs, one page, nothing else */
}
END_TEST

Suite *suite_report(void)
{
    Suite *s = suite_create("report");
    TCase *tc = tcase_create("page");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, the_page_holds_the_numbers_of_the_runs);
    tcase_add_test(tc, maps_are_ten_thousandths_and_spectra_keep_four_digits);
    tcase_add_test(tc, settings_keep_their_origin_and_a_hash_inside_quotes);
    tcase_add_test(tc, runs_are_named_by_what_differs);
    tcase_add_test(tc, a_regulariser_that_one_run_lacks_tells_them_apart);
    tcase_add_test(tc, slashes_at_the_end_of_a_path_do_not_matter);
    tcase_add_test(tc, equal_runs_get_different_names);
    tcase_add_test(tc, runs_on_the_same_data_share_one_set_of_pairs);
    tcase_add_test(tc, the_page_is_well_formed);
    tcase_add_test(tc, the_check_of_form_sees_a_planted_fault);
    tcase_add_test(tc, the_page_asks_for_nothing_outside_itself);
    tcase_add_test(tc, a_name_with_markup_stays_text);
    tcase_add_test(tc, the_same_folders_give_the_same_bytes);
    tcase_add_test(tc, a_long_run_shows_its_first_its_last_and_some_between);
    suite_add_tcase(s, tc);

    tc = tcase_create("table");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, the_table_sets_the_runs_side_by_side);
    tcase_add_test(tc, many_runs_get_a_line_each_and_share_what_they_share);
    tcase_add_test(tc, waiting_for_data_is_shown_where_it_was_measured);
    tcase_add_test(tc, a_linear_probe_is_shown_where_there_is_one);
    tcase_add_test(tc, terms_of_the_loss_reach_the_page_as_numbers);
    tcase_add_test(tc, the_table_alone_needs_no_page);
    tcase_add_test(tc, colour_only_on_a_terminal_that_wants_it);
    tcase_add_test(tc, control_characters_never_reach_the_terminal);
    suite_add_tcase(s, tc);

    tc = tcase_create("not whole");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_cut_last_line_is_left_out_and_told);
    tcase_add_test(tc, a_whole_last_line_without_newline_is_used);
    tcase_add_test(tc, epochs_done_again_after_a_resume_count_once);
    tcase_add_test(tc, a_run_without_an_epoch_is_shown_as_unfinished);
    tcase_add_test(tc, a_finished_run_whose_metrics_end_early_says_so);
    suite_add_tcase(s, tc);

    tc = tcase_create("refused");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, a_damaged_folder_gives_one_line_and_no_page, 0,
                        (int)NN_COUNT(faults));
    tcase_add_test(tc, a_damaged_file_cannot_drive_the_terminal);
    tcase_add_test(tc, a_path_that_is_no_run_folder_is_a_usage_error);
    tcase_add_test(tc, a_pipe_in_the_place_of_a_file_does_not_hold_us);
    tcase_add_test(tc, a_page_that_cannot_be_written_there_is_told);
    tcase_add_test(tc, a_full_disk_leaves_the_old_page_and_no_rest);
    tcase_add_test(tc, the_page_may_be_read_by_whoever_the_umask_allows);
    suite_add_tcase(s, tc);
    return s;
}
