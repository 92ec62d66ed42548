#include "tests/unit/base/option_fixture.h"

#include <float.h>

static void defaults_are_the_fallbacks(void **state)
{
    struct fixture *f = *state;

    memset(&f->values, 0xff, sizeof f->values);
    th_assert_ok(th_options_default(f->sets, 2, &f->pool, &f->err), &f->err);
    assert_int_equal(f->values.batch, 256);
    assert_true(f->values.lr == 5e-4 && f->others.eps == 1e-6 && f->values.resume);
    assert_string_equal(f->values.shape, "cosine");
    assert_null(f->values.path);
    assert_null(f->values.run);
    assert_true(f->values.every.unit == TH_SECONDS && f->values.every.amount == 1800);
    assert_true(f->values.budget.count == INT64_C(8) << 30);
    assert_true(f->values.betas.first == 0.9 && f->values.betas.second == 0.98);
    assert_int_equal(f->values.rates.count, 0);
    assert_null(f->values.rates.rows);
    assert_int_equal(f->others.lower, 0);
}

static void numbers_flags_and_texts_parse(void **state)
{
    static const struct {
        const char *text;
        bool        value;
    } flags[] = { { "true", 1 }, { "false", 0 }, { "yes", 1 },
                  { "no", 0 },   { "on", 1 },    { "off", 0 } };
    struct fixture *f = *state;

    th_assert_ok(put(f, "lower", "-9223372036854775808"), &f->err);
    assert_true(f->others.lower == INT64_MIN);
    th_assert_ok(put(f, "lower", "+007 "), &f->err);
    assert_int_equal(f->others.lower, 7);
    th_assert_ok(put(f, "optimizer.eps", "-.5e-3"), &f->err);
    assert_true(f->others.eps == -.5e-3);
    th_assert_ok(put(f, "optimizer.eps", "4.9406564584124654e-324"), &f->err);
    assert_true(f->others.eps == DBL_TRUE_MIN);
    th_assert_ok(put(f, "optimizer.betas", "[ 0 ,1 ] "), &f->err);
    assert_true(f->values.betas.first == 0 && f->values.betas.second == 1);
    th_assert_ok(put(f, "optimizer.betas", "0.5,0.25"), &f->err);
    assert_true(f->values.betas.first == 0.5 && f->values.betas.second == 0.25);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        th_assert_ok(put(f, "resume", flags[i].text), &f->err);
        assert_int_equal(f->values.resume, flags[i].value);
    }
    char text[] = "a path";
    th_assert_ok(put(f, "path", text), &f->err);
    text[0] = 'X';
    assert_string_equal(f->values.path, "a path");
    th_assert_ok(put(f, "path", ""), &f->err);
    assert_string_equal(f->values.path, "");
    th_assert_ok(put(f, "path", "Schl\xc3\xbcssel \xe9\x9b\xaa \xf0\x9f\x90\x95"), &f->err);
    th_assert_ok(put(f, "lr.shape", "constant"), &f->err);
    assert_string_equal(f->values.shape, "constant");
}

static void spans_parse(void **state)
{
    static const struct {
        const char  *text;
        double       amount;
        th_span_unit unit;
    } spans[] = {
        { "500 steps", 500, TH_STEPS },    { "1 step", 1, TH_STEPS },
        { "0 steps", 0, TH_STEPS },        { "2 epochs", 2, TH_EPOCHS },
        { "0.5 epoch", 0.5, TH_EPOCHS },   { "1e6 samples", 1e6, TH_SAMPLES },
        { "1 sample", 1, TH_SAMPLES },     { "90 s", 90, TH_SECONDS },
        { "90 sec", 90, TH_SECONDS },      { "1 second", 1, TH_SECONDS },
        { "2 seconds", 2, TH_SECONDS },    { "30 min", 1800, TH_SECONDS },
        { "1 minute", 60, TH_SECONDS },    { "3 minutes", 180, TH_SECONDS },
        { "12h", 43200, TH_SECONDS },      { "1 hour", 3600, TH_SECONDS },
        { "0.5 hours", 1800, TH_SECONDS }, { "1 day", 86400, TH_SECONDS },
        { "7 days", 604800, TH_SECONDS },  { "never", 0, TH_NEVER },
    };
    static const char *const wrong[] = {
        "30",         "",           "min",        "30 m",        "30 Min", "-1 steps",
        "inf steps",  "nan s",      "1.5 steps",  "0.1 samples", "0x10 s", "1e999 s",
        "30 min ago", "never ever", "1e308 days", " ",           "30min."
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        th_assert_ok(put(f, "checkpoint.every", spans[i].text), &f->err);
        assert_int_equal(f->values.every.unit, spans[i].unit);
        assert_true(f->values.every.amount == spans[i].amount);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(put(f, "checkpoint.every", wrong[i]), TH_EUSAGE);
        assert_non_null(strstr(f->err.fix, "500 steps")); // the fix names the units
        th_assert_error(f->err.code, TH_EUSAGE, &f->err, "is not a span");
    }
    assert_int_equal(f->values.every.unit, TH_NEVER);
}

static void bytes_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t     count;
    } sizes[] = {
        { "4096", 4096 },
        { "0", 0 },
        { "12 B", 12 },
        { "3kB", 3000 },
        { "500 MB", 500000000 },
        { "2 GB", 2000000000 },
        { "1 TB", 1000000000000 },
        { "1 KiB", 1024 },
        { "7 MiB", 7 << 20 },
        { "1.5 GiB", INT64_C(3) << 29 },
        { "0.1 MB", 100000 },
        { "2 TiB", INT64_C(2) << 40 },
        { "1e3 kB", 1000000 },
    };
    static const char *const wrong[] = {
        "",      "GiB",     "1.5",       "1.5 B",       "-1",
        "8 gib", "8 GiBs",  "8 G",       "inf",         "9223372036854775808",
        "1e19",  "9e6 TiB", "1e300 TiB", "8388608 TiB", "8 GiB 2"
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        th_assert_ok(put(f, "memory_budget", sizes[i].text), &f->err);
        assert_true(f->values.budget.count == sizes[i].count);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        th_assert_error(put(f, "memory_budget", wrong[i]), TH_EUSAGE, &f->err,
                        "is not a number of bytes");
    assert_true(f->values.budget.count == 1000000);
}

static void maps_take_the_other_keys(void **state)
{
    struct fixture *f = *state;

    th_assert_ok(put(f, "lr.text.embed", "16x"), &f->err);
    th_assert_ok(put(f, "lr.image", "1e-5"), &f->err);
    options stage = f->values; // what a stage starts from
    th_assert_ok(put(f, "lr.text.embed", "8.5x"), &f->err);
    th_assert_ok(put(f, "lr.shape", "constant"), &f->err);
    th_assert_ok(put(f, "lr.image.blocks[6:9]", "0.5"), &f->err);
    const th_map *now = &f->values.rates, *then = &stage.rates;
    assert_int_equal(now->count, 3);
    assert_string_equal(now->rows[0].key, "text.embed");
    assert_true(now->rows[0].factor && now->rows[0].amount == 8.5);
    assert_string_equal(now->rows[1].key, "image");
    assert_true(!now->rows[1].factor && now->rows[1].amount == 1e-5);
    assert_string_equal(now->rows[2].key, "image.blocks[6:9]");
    assert_int_equal(then->count, 2);
    assert_true(then->rows[0].factor && then->rows[0].amount == 16);

    th_assert_error(put(f, "lr.image", "16 x"), TH_EUSAGE, &f->err, "neither an amount nor");
    th_assert_error(put(f, "lr.image", "x"), TH_EUSAGE, &f->err, "neither an amount nor");
    th_assert_error(put(f, "lr.image", "16xx"), TH_EUSAGE, &f->err, "neither an amount nor");
    th_assert_error(put(f, "lr.image", "1.5"), TH_EUSAGE, &f->err, "1.5 is out of range, 0 to 1");
    th_assert_error(put(f, "lr.\xff", "1x"), TH_EUSAGE, &f->err, "not UTF-8");
    th_assert_error(put(f, "lr.", "1x"), TH_EUSAGE, &f->err, "unknown option \"lr.\"");
    th_assert_error(put(f, "lr", "1x"), TH_EUSAGE, &f->err, "unknown option \"lr\"");
}

static void the_most_exact_row_wins(void **state)
{
    static const th_option wide[] = { OPT("a.*", rates) };
    static const th_option narrow[] = { OPT("a.b.*", rates), OPT("a.b.c", lr) };
    options                values;
    const th_option_set    sets[] = { { narrow, 2, &values }, { wide, 1, &values } };
    const th_option_set    turned[] = { sets[1], sets[0] };
    int                    set = -1;

    (void)state;
    assert_ptr_equal(th_option_find(sets, 2, "a.b.c", &set), &narrow[1]);
    assert_int_equal(set, 0);
    assert_ptr_equal(th_option_find(turned, 2, "a.b.c", &set), &narrow[1]);
    assert_int_equal(set, 1);
    assert_ptr_equal(th_option_find(sets, 2, "a.b.d", NULL), &narrow[0]);
    assert_ptr_equal(th_option_find(turned, 2, "a.b.d", NULL), &narrow[0]);
    assert_ptr_equal(th_option_find(sets, 2, "a.x", &set), &wide[0]);
    assert_int_equal(set, 1);
    assert_null(th_option_find(sets, 2, "a", &set));
    assert_null(th_option_find(sets, 2, "b.c", &set));
    assert_int_equal(set, 1); // not written on failure
}

static void wrong_values_are_refused(void **state)
{
    static const struct {
        const char *name, *text, *what;
    } lines[] = {
        { "batch", "1", "option \"batch\": 1 is out of range, 2 to 1048576 samples" },
        { "batch", "1048577", "out of range" },
        { "batch", "12.5", "option \"batch\": \"12.5\" is not a whole number" },
        { "batch", "", "is not a whole number" },
        { "batch", " 12", "is not a whole number" },
        { "batch", "12x", "is not a whole number" },
        { "batch", "9223372036854775808", "is not a whole number" },
        { "optimizer.lr", "1.5", "option \"optimizer.lr\": 1.5 is out of range, 0 to 1" },
        { "optimizer.lr", "-1e-9", "out of range" },
        { "optimizer.lr", "nan", "is not a number" },
        { "optimizer.lr", "inf", "is not a number" },
        { "optimizer.lr", "-infinity", "is not a number" },
        { "optimizer.lr", "1e999", "is not a number" },
        { "optimizer.lr", "1e-999", "is not a number" },
        { "optimizer.lr", "0x1p-3", "is not a number" },
        { "optimizer.lr", "-0x1", "is not a number" },
        { "optimizer.lr", "1e-3 per step", "is not a number" },
        { "optimizer.lr", "1,5", "is not a number" },
        { "optimizer.lr", ".", "is not a number" },
        { "optimizer.lr", "e5", "is not a number" },
        { "optimizer.lr", "", "is not a number" },
        { "optimizer.betas", "[0.9]", "is not a pair of numbers" },
        { "optimizer.betas", "[0.9, 0.98", "is not a pair of numbers" },
        { "optimizer.betas", "0.9, 0.98]", "is not a pair of numbers" },
        { "optimizer.betas", "[0.9, 0.98, 1]", "is not a pair of numbers" },
        { "optimizer.betas", "[0.9, nan]", "is not a pair of numbers" },
        { "optimizer.betas", "[0.9, 1.5]", "out of range, 0 to 1" },
        { "optimizer.betas", "[-1, 0.5]", "out of range, 0 to 1" },
        { "memory_budget", "2000 TB", "out of range" },
        { "checkpoint.every", "1e9 min", "out of range" },
        { "resume", "True", "option \"resume\": \"True\" is not true or false" },
        { "resume", "1", "is not true or false" },
        { "lr.shape", "cos", "option \"lr.shape\": \"cos\" is not one of: constant cosine" },
        { "lr.shape", "constant cosine", "is not one of" },
        { "lr.shape", "", "is not one of" },
        { "path", "\xc3", "option \"path\": the text is not UTF-8" },
        { "path", "\xff", "not UTF-8" },
        { "path", "\xc0\xaf", "not UTF-8" },
        { "path", "\xed\xa0\x80", "not UTF-8" },
        { "path", "\xf4\x90\x80\x80", "not UTF-8" },
        { "path", "\xe0\x80\xaf", "not UTF-8" },
        { "path", "\xf0\x80\x80\xaf", "not UTF-8" },
        { "optimiser.lr", "1", "unknown option \"optimiser.lr\", did you mean \"optimizer.lr\"?" },
        { "xyzzy", "1", "unknown option \"xyzzy\"" },
    };
    struct fixture *f = *state;
    options         before = f->values;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(put(f, lines[i].name, lines[i].text), TH_EUSAGE);
        assert_true(f->err.fix[0] != '\0');
        th_assert_error(f->err.code, TH_EUSAGE, &f->err, lines[i].what);
    }
    assert_memory_equal(&f->values, &before, sizeof before); // results are written on success only
}

static void a_full_pool_is_an_error(void **state)
{
    struct fixture *f = *state;
    char            text[200];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    while (th_arena_take(&f->pool, 64, 1))
        continue;
    th_assert_error(put(f, "path", text), TH_EIO, &f->err, "no room for the text");
    th_assert_error(put(f, "lr.image", "2x"), TH_EIO, &f->err, "no room for the key");
    assert_int_equal(f->values.rates.count, 0);
}

static void the_nearest_name_is_found(void **state)
{
    static const struct {
        const char *name, *nearest;
    } names[] = {
        { "bacth", "batch" },
        { "batch_size", NULL },
        { "optimizer.beta", "optimizer.betas" },
        { "optimiser.lr", "optimizer.lr" },
        { "memory_budgte", "memory_budget" },
        { "memorybudget", "memory_budget" },
        { "every", "checkpoint.every" },
        { "epss", "optimizer.eps" },
        { "thread", "threads" },
        { "x", NULL },
        { "", NULL },
        { "a.name.that.is.far.too.long.to.be.near.anything.and.longer.than.the.limit", NULL },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *nearest = th_option_nearest(f->sets, 2, names[i].name);
        if (!nearest || !names[i].nearest)
            assert_ptr_equal(nearest, names[i].nearest);
        else
            assert_string_equal(nearest, names[i].nearest);
    }
}

static void tables_are_checked(void **state)
{
#define ROW(label, field, ...) TH_OPTION(options, label, field, __VA_ARGS__)
    static const struct {
        const char *what;
        th_option   rows[2];
    } wrong[] = {
        { "not in order", { OPT("b", lr), OPT("a", lr) } },
        { "stands twice", { OPT("a", lr), OPT("a", eps) } },
        { "no help", { ROW("a", lr, .min = 0), OPT("b", lr) } },
        { "no help", { ROW("a", lr, .help = ""), OPT("b", lr) } },
        { "out of range, 1 to 2",
          { OPT("a", lr, .fallback = "3", .min = 1, .max = 2), OPT("b", lr) } },
        { "\"2 km\" is not a span", { OPT("a", every, .fallback = "2 km"), OPT("b", lr) } },
        { "\"c\" is not one of: a b",
          { OPT("a", shape, .fallback = "c", .choices = "a b"), OPT("b", lr) } },
        { "min is over max", { OPT("a", lr, .min = 2, .max = 1), OPT("b", lr) } },
        { "choices are for texts", { OPT("a", lr, .choices = "1 2"), OPT("b", lr) } },
        { "end in \".*\"", { OPT("a", rates), OPT("b", lr) } },
        { "end in \".*\"", { OPT("a.*", lr), OPT("b", lr) } },
        { "a fallback for a map", { OPT("a.*", rates, .fallback = "16x"), OPT("b", lr) } },
        { "a required option", { OPT("a", lr, .fallback = "1", .required = true), OPT("b", lr) } },
        { "lower case", { OPT("A", lr), OPT("b", lr) } },
        { "lower case", { OPT("", lr), OPT("b", lr) } },
        { "\"a\" is a value", { OPT("a", lr), OPT("a.b", lr) } },
    };
    struct fixture *f = *state;

    th_assert_ok(th_options_check(table, ROWS, &f->err), &f->err);
    th_assert_ok(th_options_check(more, MORE, &f->err), &f->err);
    th_assert_ok(th_options_check(NULL, 0, &f->err), &f->err);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        th_code code = th_options_check(wrong[i].rows, 2, &f->err);
        if (code == TH_OK || !strstr(f->err.what, wrong[i].what))
            fail_msg("table %zu: got \"%s\", want \"%s\"", i, f->err.what, wrong[i].what);
        f->err = (th_err){ 0 };
    }
}

int main(void)
{
#define WITH_TABLES(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        WITH_TABLES(defaults_are_the_fallbacks),
        WITH_TABLES(numbers_flags_and_texts_parse),
        WITH_TABLES(spans_parse),
        WITH_TABLES(bytes_parse),
        WITH_TABLES(maps_take_the_other_keys),
        cmocka_unit_test(the_most_exact_row_wins),
        WITH_TABLES(wrong_values_are_refused),
        WITH_TABLES(a_full_pool_is_an_error),
        WITH_TABLES(the_nearest_name_is_found),
        WITH_TABLES(tables_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
