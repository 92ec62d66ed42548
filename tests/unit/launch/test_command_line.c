/* tests/unit/launch/test_command_line.c - words, options in their three spellings, errors. */
#include "tests/test.h"

#include "launch/command_line.h"

typedef struct {
    int64_t     count, n;
    double      rate;
    bool        fast, dry_run;
    const char *to;
    th_map      factors;
} options;

#define OPT(label, field, ...) TH_OPTION(options, label, field, __VA_ARGS__)
static const th_option table[] = {
    OPT("count", count, .fallback = "3", .max = 100, .help = "a number"),
    OPT("dry_run", dry_run, .fallback = "false", .help = "a flag of two words"),
    OPT("fast", fast, .fallback = "false", .help = "a flag"),
    OPT("lr.*", factors, .help = "a map"),
    OPT("n", n, .fallback = "0", .max = 64, .help = "a letter"),
    OPT("optimizer.rate", rate, .fallback = "0.5", .help = "a dotted name"),
    OPT("to", to, .help = "a text"),
};
#define ROWS (int)(sizeof table / sizeof *table)

static th_code parse(const char *const *words, th_command_line *line, options *out, th_arena *pool,
                     th_err *err)
{
    th_option_set set = { table, ROWS, out };
    char         *argv[300] = { "thaw", "verb" };
    int           argc = 2;
    th_code       rc;

    for (int i = 0; words[i]; i++)
        argv[argc++] = (char *)words[i];
    rc = th_arena_open(pool, 1 << 20, err);
    if (rc == TH_OK)
        rc = th_command_line_parse(argc, argv, 2, &set, 1, line, err);
    if (rc == TH_OK)
        rc = th_command_line_apply(line, &set, 1, pool, err);
    return rc;
}

#define PARSE(line, out, pool, err, ...)                                                           \
    parse((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL }, line, out, pool, err)

static void close_all(th_command_line *line, th_arena *pool)
{
    th_command_line_done(line);
    th_arena_close(pool);
}

static void options_have_three_spellings(void **state)
{
    th_command_line line = { 0 };
    th_arena        pool = { 0 };
    th_err          err = { 0 };
    options         out;

    (void)state;
    th_assert_ok(PARSE(&line, &out, &pool, &err, "run.yaml", "--count", "7",
                       "--optimizer.rate=0.25", "to=a=b c", "-n", "4", "second", "--fast",
                       "--dry-run", "lr.text.*=16x"),
                 &err);
    assert_int_equal(line.word_count, 2);
    assert_string_equal(line.words[0], "run.yaml");
    assert_string_equal(line.words[1], "second");
    assert_int_equal(out.count, 7);
    assert_true(out.rate == 0.25);
    assert_string_equal(out.to, "a=b c");
    assert_int_equal(out.n, 4);
    assert_true(out.fast && out.dry_run);
    assert_int_equal(out.factors.count, 1);
    assert_string_equal(out.factors.rows[0].key, "text.*");
    close_all(&line, &pool);
}

static void defaults_hold_where_nothing_is_given(void **state)
{
    th_command_line line = { 0 };
    th_arena        pool = { 0 };
    th_err          err = { 0 };
    options         out;

    (void)state;
    th_assert_ok(PARSE(&line, &out, &pool, &err), &err);
    assert_int_equal(line.word_count, 0);
    assert_int_equal(out.count, 3);
    assert_null(out.to);
    assert_false(out.fast);
    close_all(&line, &pool);
}

static void the_last_of_an_option_counts(void **state)
{
    th_command_line line = { 0 };
    th_arena        pool = { 0 };
    th_err          err = { 0 };
    options         out;

    (void)state;
    th_assert_ok(PARSE(&line, &out, &pool, &err, "count=1", "--count=2", "--fast", "fast=no"),
                 &err);
    assert_int_equal(out.count, 2);
    assert_false(out.fast);
    close_all(&line, &pool);
}

static void two_dashes_end_the_options(void **state)
{
    th_command_line line = { 0 };
    th_arena        pool = { 0 };
    th_err          err = { 0 };
    options         out;

    (void)state;
    th_assert_ok(PARSE(&line, &out, &pool, &err, "--", "--count", "a=b", "-n", "--"), &err);
    assert_int_equal(line.word_count, 4);
    assert_string_equal(line.words[1], "a=b");
    assert_int_equal(out.count, 3);
    close_all(&line, &pool);
}

static void assert_refused(const char *what, const char *first, const char *second)
{
    th_command_line line = { 0 };
    th_arena        pool = { 0 };
    th_err          err = { 0 };
    options         out;

    th_assert_error(PARSE(&line, &out, &pool, &err, first, second), TH_EUSAGE, &err, what);
    close_all(&line, &pool);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_refused("unknown option \"coumt\"; did you mean \"count\"?", "--coumt", "7");
    assert_refused("unknown option \"zzzzzzzz\"", "--zzzzzzzz", NULL);
    assert_refused("unknown option \"cuont\"; did you mean \"count\"?", "cuont=1", NULL);
    assert_refused("unknown option \"x\"", "-x", NULL);
    assert_refused("option --count has no value", "word", "--count");
    assert_refused("count", "--count", "many");
    assert_refused("count", "count=101", NULL);
    assert_refused("fast", "fast=perhaps", NULL);
}

static void too_many_words_are_refused(void **state)
{
    const char     *words[TH_WORDS + 2] = { 0 }, *behind[TH_WORDS + 3] = { "--" };
    th_command_line line = { 0 };
    th_arena        pool = { 0 };
    th_err          err = { 0 };
    options         out;

    (void)state;
    for (int i = 0; i <= TH_WORDS; i++)
        words[i] = behind[i + 1] = "word";
    th_assert_error(parse(words, &line, &out, &pool, &err), TH_EUSAGE, &err, "more than 256 words");
    close_all(&line, &pool);
    th_assert_error(parse(behind, &line, &out, &pool, &err), TH_EUSAGE, &err,
                    "more than 256 words");
    close_all(&line, &pool);
    for (int i = 0; i <= TH_WORDS; i++)
        words[i] = "count=1";
    th_assert_error(parse(words, &line, &out, &pool, &err), TH_EUSAGE, &err,
                    "more than 256 options");
    close_all(&line, &pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_have_three_spellings),
        cmocka_unit_test(defaults_hold_where_nothing_is_given),
        cmocka_unit_test(the_last_of_an_option_counts),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(too_many_words_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
