#include "base/file.h"
#include "base/hash.h"
#include "tests/test.h"

#include <limits.h>

// The lengths and values of xxHash 0.8's own self-test (cli/xsum_sanity_check.c, XXH3_64bits with
// seed 0), over the bytes that its generator makes: one length for each branch of the algorithm.
static const struct {
    size_t   size;
    uint64_t hash;
} known[] = {
    { 0, 0x2D06800538D394C2 },    { 1, 0xC44BDFF4074EECDB },    { 6, 0x27B56A84CD2D7325 },
    { 12, 0xA713DAF0DFBB77E7 },   { 24, 0xA3FE70BF9D3510EB },   { 48, 0x397DA259ECBA1F11 },
    { 80, 0xBCDEFBBB2C47C90A },   { 195, 0xCD94217EE362EC3A },  { 403, 0xCDEB804D65C6DEA4 },
    { 512, 0x617E49599013CB6B },  { 2048, 0xDD59E2C3A5F038E0 }, { 2240, 0x6E73A90539CF2948 },
    { 2367, 0xCB37AEB9E5D361ED },
};
enum { KNOWN = sizeof known / sizeof *known, LONGEST = 2367 };

static void fill(unsigned char bytes[LONGEST])
{
    uint64_t generator = 2654435761u;

    for (int i = 0; i < LONGEST; i++) {
        bytes[i] = (unsigned char)(generator >> 56);
        generator *= UINT64_C(11400714785074694797);
    }
}

static void agrees_with_published_values(void **state)
{
    unsigned char bytes[LONGEST];

    (void)state;
    fill(bytes);
    for (int i = 0; i < KNOWN; i++)
        assert_true(th_hash(bytes, known[i].size) == known[i].hash);
}

static void running_hash_does_not_see_the_pieces(void **state)
{
    unsigned char bytes[LONGEST];
    th_err        err = { 0 };

    (void)state;
    fill(bytes);
    for (size_t piece = 1; piece <= LONGEST; piece = piece * 3 + 1) {
        th_hasher *hasher = NULL;
        th_assert_ok(th_hasher_open(&hasher, &err), &err);
        assert_true(th_hasher_value(hasher) == known[0].hash);
        for (size_t at = 0; at < LONGEST; at += piece)
            th_hasher_add(hasher, bytes + at, piece < LONGEST - at ? piece : LONGEST - at);
        th_hasher_add(hasher, NULL, 0);
        assert_true(th_hasher_value(hasher) == known[KNOWN - 1].hash);
        th_hasher_close(hasher);
    }
    th_hasher_close(NULL);
}

static void file_hashes_like_its_bytes(void **state)
{
    const size_t   size = 2500001; // more than two of the pieces it is read in
    unsigned char *bytes = calloc(size, 1);
    char           path[PATH_MAX];
    uint64_t       hash = 0, count = 0;
    th_err         err = { 0 };

    assert_non_null(bytes);
    bytes[size - 1] = 1;
    th_test_path(path, sizeof path, *state, "file");
    th_assert_ok(th_file_replace(path, bytes, size, &err), &err);
    th_assert_ok(th_hash_file(path, &hash, &count, &err), &err);
    assert_true(hash == th_hash(bytes, size));
    assert_int_equal(count, size);
    th_assert_ok(th_hash_file(path, &hash, NULL, &err), &err);
    free(bytes);

    th_assert_error(th_hash_file(*state, &hash, &count, &err), TH_EIO, &err, "could not read");
    th_test_path(path, sizeof path, *state, "missing");
    th_assert_error(th_hash_file(path, &hash, &count, &err), TH_EIO, &err, "No such file");
    assert_int_equal(count, size);
}

static void text_reads_back(void **state)
{
    static const char *const wrong[] = { "",
                                         "0",
                                         "00000000000000000",
                                         "000000000000000g",
                                         "0x00000000000000",
                                         "00000000000000AB",
                                         " 00000000000000a" };
    char                     text[TH_HASH_TEXT];
    uint64_t                 value = 0;

    (void)state;
    th_hash_print(0x00ab, text);
    assert_string_equal(text, "00000000000000ab");
    for (int i = 0; i < KNOWN; i++) {
        th_hash_print(known[i].hash, text);
        assert_true(th_hash_parse(text, &value));
        assert_true(value == known[i].hash);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(th_hash_parse(wrong[i], &value));
    assert_true(value == known[KNOWN - 1].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_published_values),
        cmocka_unit_test(running_hash_does_not_see_the_pieces),
        cmocka_unit_test_setup_teardown(file_hashes_like_its_bytes, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test(text_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
