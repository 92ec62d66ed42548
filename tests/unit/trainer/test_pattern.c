/* tests/unit/trainer/test_pattern.c - which rows a pattern of the run file selects. */
#include "tests/test.h"

#include "trainer/parameters.h"

static const th_model_config small = {
    .image = { .size = 8, .patch = 4, .width = 8, .layers = 3, .heads = 2 },
    .text = { .context = 8, .vocabulary = 9, .width = 4, .layers = 2, .heads = 2 },
    .embed = 4,
};

// Groups in the order of the table, one letter each: image embed, blocks 0 to 2, head; text the
// same with two blocks; logit scale. '#' all rows are selected, '.' none, '+' some.
static const struct {
    const char *pattern, *groups;
} cases[] = {
    { "all", "##########" },
    { "image", "#####....." },
    { "text", ".....####." },
    { "heads", "....#...##" },
    { "logit_scale", ".........#" },
    { "image.embed", "#........." },
    { "image.head", "....#....." },
    { "text.embed", ".....#...." },
    { "text.head", "........#." },
    { "image.blocks", ".###......" },
    { "image.blocks[1]", "..#......." },
    { "image.blocks[0:2]", ".##......." },
    { "image.blocks[2:9]", "...#......" },
    { "image.blocks[3]", ".........." },
    { "text.blocks[1]", ".......#.." },
    { "image.top(0)", "....#....." },
    { "image.top(2)", "..###....." },
    { "image.top(99)", ".####....." }, // the head and every block, not the embedding
    { "text.top(1)", ".......##." },
    { "*", "##########" },
    { "visual.*", "#####....." },
    { "*.ln_1.*", ".+++..++.." },
    { "visual.proj", "....#....." },
    { "token_embedding.weight", ".....+...." },
    { "visual.transformer.resblocks.1.*", "..#......." },
    { "", ".........." },
    { "images", ".........." },
    { "image.", ".........." },
    { "image.blocks[", ".........." },
    { "image.blocks[1]x", ".........." },
    { "image.blocks[1:", ".........." },
    { "image.top(2", ".........." },
    { "image.top()", ".........." },
    { "image.block[1]", ".........." },
};

static void pattern_selects(void **state)
{
    th_parameters p;
    th_err        err = { 0 };

    (void)state;
    th_assert_ok(th_parameters_open(&small, &p, &err), &err);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char got[11] = { 0 };
        for (int g = 0; g < p.group_count; g++) {
            const th_group *group = &p.groups[g];
            int             selected = 0;
            for (int i = 0; i < group->row_count; i++)
                selected += th_parameters_match(&p, group->first_row + i, cases[c].pattern);
            got[g] = selected == 0 ? '.' : selected == group->row_count ? '#' : '+';
        }
        if (strcmp(got, cases[c].groups) != 0)
            fail_msg("\"%s\": got %s, want %s", cases[c].pattern, got, cases[c].groups);
    }
    th_parameters_close(&p);
}

// A model for the sigmoid loss has a bias beside the scale: one of the heads, and a name of its
// own.
static void the_logit_bias_is_a_head(void **state)
{
    static const char *const with[] = { "all", "heads", "logit_*", "logit_bias" };
    static const char *const without[] = { "image", "text", "logit_scale", "image.head", "*.bias" };
    th_model_config          sigmoid = small;
    th_parameters            p;
    th_err                   err = { 0 };

    (void)state;
    sigmoid.logit_bias = true;
    th_assert_ok(th_parameters_open(&sigmoid, &p, &err), &err);
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        assert_true(th_parameters_match(&p, p.logit_bias, with[i]));
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        assert_false(th_parameters_match(&p, p.logit_bias, without[i]));
    th_parameters_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pattern_selects),
                                        cmocka_unit_test(the_logit_bias_is_a_head) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
