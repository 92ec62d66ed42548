#include "tests/unit/base/option_fixture.h"

#include <float.h>

static void printed_values_read_back_to_the_same_bits(void **state)
{
    static const double reals[] = { 0,
                                    -0.0,
                                    0.1,
                                    1.0 / 3,
                                    5e-4,
                                    1e-6,
                                    1e22,
                                    123456789,
                                    1e15,
                                    DBL_MAX,
                                    DBL_MIN,
                                    DBL_TRUE_MIN,
                                    0x1.fffffffffffffp-1,
                                    -2.5e-8,
                                    9007199254740992 };
    struct fixture     *f = *state;
    char                text[128];

    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        f->others.eps = reals[i];
        th_option_print(&more[1], &f->others, text, sizeof text);
        f->others.eps = 77;
        th_assert_ok(put(f, "optimizer.eps", text), &f->err);
        assert_memory_equal(&f->others.eps, &reals[i], sizeof reals[i]);
    }
    f->others.eps = 0.1;
    th_option_print(&more[1], &f->others, text, sizeof text);
    assert_string_equal(text, "0.1");
    f->others.eps = 30;
    th_option_print(&more[1], &f->others, text, sizeof text);
    assert_string_equal(text, "30");

    static const char *const spans[] = { "never",  "500 steps", "1 epoch", "0.1 epochs", "1 sample",
                                         "30 min", "12 h",      "90 s",    "0.5 s",      "0 s" };
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        th_assert_ok(put(f, "checkpoint.every", spans[i]), &f->err);
        th_option_print(&table[1], &f->values, text, sizeof text);
        assert_string_equal(text, spans[i]);
    }
    static const char *const sizes[] = { "0 B", "1001 B", "4 KiB", "500 MB", "8 GiB", "3 TB" };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        th_assert_ok(put(f, "memory_budget", sizes[i]), &f->err);
        th_option_print(&table[4], &f->values, text, sizeof text);
        assert_string_equal(text, sizes[i]);
    }
    th_assert_ok(put(f, "lr.text", "16x"), &f->err);
    th_assert_ok(put(f, "lr.image", "0.5"), &f->err);
    th_option_print(&table[2], &f->values, text, sizeof text);
    assert_string_equal(text, "{text: 16x, image: 0.5}");
    th_option_print(&table[2], &f->values, text, 10);
    assert_string_equal(text, "{text: 16");
}

static char *yaml(struct fixture *f, bool whole)
{
    char  *text = NULL;
    size_t size = 0;
    FILE  *to = open_memstream(&text, &size);

    assert_non_null(to);
    th_options_print_yaml(f->sets, 2, whole, to);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void resolved_configuration_is_nested_yaml(void **state)
{
    struct fixture *f = *state;

    th_assert_ok(put(f, "lr.text.embed", "16x"), &f->err);
    th_assert_ok(put(f, "lr.image.*", "0.5"), &f->err);
    th_assert_ok(put(f, "path", "true"), &f->err);
    th_assert_ok(put(f, "run", "a \"b\"\\\n\xc3\xbc"), &f->err);
    char *text = yaml(f, true);
    assert_string_equal(text, "batch: 256\n"
                              "checkpoint:\n"
                              "  every: 30 min\n"
                              "lower: 0\n"
                              "lr:\n"
                              "  text.embed: 16x\n"
                              "  \"image.*\": 0.5\n"
                              "  shape: cosine\n"
                              "memory_budget: 8 GiB\n"
                              "optimizer:\n"
                              "  betas: [0.9, 0.98]\n"
                              "  eps: 1e-06\n"
                              "  lr: 0.0005\n"
                              "path: \"true\"\n"
                              "resume: true\n"
                              "run: \"a \\\"b\\\"\\\\\\x0a\xc3\xbc\"\n"
                              "threads: 1\n");
    free(text);
    text = yaml(f, false);
    assert_null(strstr(text, "threads"));
    assert_non_null(strstr(text, "batch: 256\n"));
    free(text);
}

// Reads the YAML back with what little of YAML it uses, into fresh structs, and prints it again.
static void resolved_configuration_reads_back(void **state)
{
    struct fixture *f = *state;
    char            folder[64] = "", *rest = NULL;

    th_assert_ok(put(f, "batch", "1000"), &f->err);
    th_assert_ok(put(f, "optimizer.lr", "0.30000000000000004"), &f->err);
    th_assert_ok(put(f, "checkpoint.every", "0.1 epochs"), &f->err);
    th_assert_ok(put(f, "lr.text", "16x"), &f->err);
    th_assert_ok(put(f, "run", "runs/one"), &f->err);
    options before = f->values;
    char   *text = yaml(f, true), *copy = strdup(text);
    assert_non_null(copy);
    th_assert_ok(th_options_default(f->sets, 2, &f->pool, &f->err), &f->err);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[160], *colon = strchr(line, ':');
        bool nested = line[0] == ' ';
        assert_non_null(colon);
        *colon = '\0';
        if (colon[1] == '\0') {
            (void)snprintf(folder, sizeof folder, "%s", line);
            continue;
        }
        (void)snprintf(name, sizeof name, "%s%s%s", nested ? folder : "", nested ? "." : "",
                       line + (nested ? 2 : 0));
        th_assert_ok(put(f, name, colon + 2), &f->err);
    }
    char *again = yaml(f, true);
    assert_string_equal(again, text);
    assert_memory_equal(&f->values.lr, &before.lr, sizeof before.lr);
    assert_memory_equal(&f->values.every.amount, &before.every.amount, sizeof(double));
    free(again);
    free(copy);
    free(text);
}

static void help_shows_every_row(void **state)
{
    struct fixture *f = *state;
    char           *text = NULL;
    size_t          size = 0;
    FILE           *to = open_memstream(&text, &size);

    assert_non_null(to);
    th_options_print_help(f->sets, 2, to);
    assert_int_equal(fclose(to), 0);
    for (int i = 0; i < ROWS; i++)
        assert_non_null(strstr(text, table[i].name));
    assert_non_null(
        strstr(text, "  batch             256          help (samples, 2 to 1048576)\n"));
    assert_non_null(
        strstr(text, "  lr.shape          cosine       help (one of: constant cosine)\n"));
    assert_non_null(strstr(text, "  run               required     help\n"));
    assert_non_null(strstr(text, "  path              -            help\n"));
    assert_true(strstr(text, "optimizer.betas") < strstr(text, "optimizer.eps"));
    assert_true(strstr(text, "optimizer.eps") < strstr(text, "optimizer.lr"));
    free(text);
}

int main(void)
{
#define WITH_TABLES(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        WITH_TABLES(printed_values_read_back_to_the_same_bits),
        WITH_TABLES(resolved_configuration_is_nested_yaml),
        WITH_TABLES(resolved_configuration_reads_back),
        WITH_TABLES(help_shows_every_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
