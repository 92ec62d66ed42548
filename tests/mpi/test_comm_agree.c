// Ranks agree: failures, flags and sameness. Each table row says which ranks misbehave.
#include "tests/mpi/mpi_test.h"

#include "comm/agree.h"

#include <stdlib.h>

static th_world *const world = &th_mpi_world;

// The error that a rank of these tests has: its own words, so that a mix-up shows.
static th_code own_failure(th_code code, int rank, th_err *err)
{
    char fix[64];

    (void)snprintf(fix, sizeof fix, "fix of rank %d", rank);
    code = th_fail(err, code, fix, "some/file.c", 40 + rank, "failure %d of rank %d", code, rank);
    (void)th_during(err, "trying on rank %d", rank);
    return code;
}

// What the others return when a rank failed with a code: its code where that tells a scheduler
// what to do, else TH_EPEER.
static const struct {
    th_code code, peers;
} codes[] = {
    { TH_EUSAGE, TH_EUSAGE }, { TH_EDATA, TH_EDATA }, { TH_EIO, TH_EIO },
    { TH_EPEER, TH_EPEER },   { TH_EFAIL, TH_EPEER }, { TH_ESTOP, TH_ESTOP },
};

static void expect_own(th_code code, const th_err *err)
{
    char what[64];

    (void)snprintf(what, sizeof what, "failure %d of rank %d", code, world->rank);
    assert_int_equal(err->code, code);
    assert_string_equal(err->what, what);
    assert_int_equal(err->line, 40 + world->rank);
}

static void expect_quote(int first, th_code code, th_code peers, const th_err *err)
{
    char text[512];

    (void)snprintf(text, sizeof text, "rank %d of %d on %s: failure %d of rank %d", first,
                   world->size, th_world_host(world, first), code, first);
    assert_int_equal(err->code, peers);
    assert_string_equal(err->what, text);
    (void)snprintf(text, sizeof text, "fix of rank %d", first);
    assert_string_equal(err->fix, text);
    (void)snprintf(text, sizeof text, "trying on rank %d, at some/file.c:%d there", first,
                   40 + first);
    assert_string_equal(err->trail, text);
}

static void all_is_well_leaves_err_alone(void **state)
{
    (void)state;
    th_err err = { 0 };

    th_assert_ok(th_agree(world, TH_OK, &err), &err);
    assert_int_equal(err.code, TH_OK);
    assert_string_equal(err.what, "");
}

static void one_failing_rank_is_quoted_by_all_others(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
        for (int bad = 0; bad < world->size; bad++) {
            th_err  err = { 0 };
            th_code code = TH_OK;
            if (world->rank == bad)
                code = own_failure(codes[c].code, bad, &err);
            code = th_agree(world, code, &err);
            assert_int_equal(code, world->rank == bad ? codes[c].code : codes[c].peers);
            if (world->rank == bad)
                expect_own(codes[c].code, &err);
            else
                expect_quote(bad, codes[c].code, codes[c].peers, &err);
        }
}

// Every set of failing ranks, each rank with a code of its own: the lowest one is quoted.
static void the_lowest_of_several_failing_ranks_is_quoted(void **state)
{
    (void)state;
    for (unsigned set = 1; set < 1u << world->size; set++) {
        th_err  err = { 0 };
        th_code code = TH_OK;
        int     first = 0;
        while (!(set >> first & 1))
            first++;
        th_code mine = codes[world->rank % 6].code;
        if (set >> world->rank & 1) {
            code = th_agree(world, own_failure(mine, world->rank, &err), &err);
            assert_int_equal(code, mine);
            expect_own(mine, &err);
        } else {
            code = th_agree(world, TH_OK, &err);
            assert_int_equal(code, codes[first % 6].peers);
            expect_quote(first, codes[first % 6].code, codes[first % 6].peers, &err);
        }
    }
}

static void long_texts_are_cut_not_overrun(void **state)
{
    (void)state;
    th_err  err = { 0 };
    th_code code = TH_OK;
    char    text[400];

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    if (world->rank == world->size - 1) {
        (void)th_fail(&err, TH_EIO, text, text, 1, "%s", text);
        code = th_during(&err, "%s", text);
    }
    assert_int_equal(th_agree(world, code, &err), TH_EIO);
    if (world->rank < world->size - 1)
        assert_int_equal(strlen(err.what), sizeof err.what - 1);
    assert_int_equal(strlen(err.fix), sizeof err.fix - 1);
    assert_int_equal(strlen(err.trail), sizeof err.trail - 1);
}

static void an_error_without_words_still_travels(void **state)
{
    (void)state;
    th_code code = world->rank == 0 ? TH_EDATA : TH_OK;
    th_err  err = { 0 };

    assert_int_equal(th_agree(world, code, NULL), TH_EDATA);
    assert_int_equal(th_agree(world, code, world->rank == 0 ? NULL : &err), TH_EDATA);
    if (world->rank > 0)
        assert_non_null(strstr(err.what, ": TH_EDATA"));
}

static void flags_are_joined_over_ranks(void **state)
{
    (void)state;
    th_err   err = { 0 };
    uint32_t all = 7;

    th_assert_ok(th_agree_flags(world, 0, &all, &err), &err);
    assert_int_equal(all, 0);
    th_assert_ok(th_agree_flags(world, 0x80000000u | 1u << world->rank, &all, &err), &err);
    assert_int_equal(all, 0x80000000u | ((1u << world->size) - 1));
}

static th_code agree_on_facts(const uint64_t pack_of_rank[], th_err *err)
{
    const th_fact facts[] = {
        { "program", 11, "install the same build of thaw on every node" },
        { "configuration", 22, "use one run file" },
        { "pack data.train", pack_of_rank[world->rank], "copy the pack to every node again" },
    };
    return th_agree_same(world, facts, 3, err);
}

static void the_same_everywhere_is_fine(void **state)
{
    (void)state;
    const uint64_t pack[] = { 5, 5, 5, 5 };
    th_err         err = { 0 };

    th_assert_ok(agree_on_facts(pack, &err), &err);
    th_assert_ok(th_agree_same(world, NULL, 0, &err), &err);
}

// `who` names ranks and counts; %s stands for the host, which is one in these tests.
static const struct {
    int         ranks;
    uint64_t    pack[4];
    const char *who;
} differences[] = {
    { 2, { 1, 2 }, "rank 1 on %s differs from rank 0 on %s" }, // a tie: rank 0's side is right
    { 3, { 1, 2, 1 }, "rank 1 on %s differs from the 2 that agree" },
    { 3, { 1, 2, 2 }, "rank 0 on %s differs from the 2 that agree" },
    { 3, { 1, 2, 3 }, "rank 1 on %s, rank 2 on %s differ from rank 0 on %s" },
    { 4, { 1, 1, 1, 2 }, "rank 3 on %s differs from the 3 that agree" },
    { 4, { 2, 1, 1, 1 }, "rank 0 on %s differs from the 3 that agree" },
    { 4, { 2, 1, 1, 2 }, "rank 1 on %s, rank 2 on %s differ from the 2 that agree" },
    { 4, { 3, 1, 1, 2 }, "rank 0 on %s, rank 3 on %s differ from the 2 that agree" },
    { 4, { 3, 1, 4, 2 }, "rank 1 on %s, rank 2 on %s and 1 more differ from rank 0 on %s" },
};

static void fill_hosts(char *out, size_t size, const char *pattern)
{
    size_t used = 0;

    for (const char *host; (host = strstr(pattern, "%s")); pattern = host + 2)
        used += (size_t)snprintf(out + used, size - used, "%.*s%s", (int)(host - pattern), pattern,
                                 th_world_host(world, 0));
    (void)snprintf(out + used, size - used, "%s", pattern);
}

static void ranks_that_differ_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        th_err err = { 0 };
        char   who[512], what[1024];
        if (differences[i].ranks != world->size)
            continue;
        assert_int_equal(agree_on_facts(differences[i].pack, &err), TH_EUSAGE);
        fill_hosts(who, sizeof who, differences[i].who);
        (void)snprintf(what, sizeof what, "pack data.train is not the same on all %d ranks: %s",
                       world->size, who);
        what[sizeof err.what - 1] = 0;
        assert_string_equal(err.what, what);
        assert_string_equal(err.fix, "copy the pack to every node again");
    }
}

// Two builds may ask for different facts, even for a different number of them.
static void different_lists_of_facts_are_refused(void **state)
{
    (void)state;
    const th_fact facts[] = { { "program", 1, "" }, { "configuration", 1, "" } };
    int           last = world->rank == world->size - 1;
    th_err        err = { 0 };

    if (world->size == 1)
        return; // nobody to differ from
    for (int fewest = 1; fewest >= 0; fewest--) {
        assert_int_equal(th_agree_same(world, facts, last ? fewest : 2, &err), TH_EUSAGE);
        assert_non_null(strstr(err.what, "the list of what to compare is not the same"));
        assert_non_null(strstr(err.fix, "same build"));
    }
    assert_int_equal(th_agree_same(world, facts + last, 1, &err), TH_EUSAGE);
    assert_non_null(strstr(err.what, "the list of what to compare is not the same"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well_leaves_err_alone),
        cmocka_unit_test(one_failing_rank_is_quoted_by_all_others),
        cmocka_unit_test(the_lowest_of_several_failing_ranks_is_quoted),
        cmocka_unit_test(long_texts_are_cut_not_overrun),
        cmocka_unit_test(an_error_without_words_still_travels),
        cmocka_unit_test(flags_are_joined_over_ranks),
        cmocka_unit_test(the_same_everywhere_is_fine),
        cmocka_unit_test(ranks_that_differ_are_named),
        cmocka_unit_test(different_lists_of_facts_are_refused),
    };
    return th_mpi_test_main(&argc, &argv, tests, sizeof tests / sizeof *tests, 60);
}
