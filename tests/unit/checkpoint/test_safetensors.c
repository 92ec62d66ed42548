// tests/unit/checkpoint/test_safetensors.c - the format of weights: what is written reads back, and
// a header that lies is refused with its reason.
#include "checkpoint/interchange/safetensors.h"
#include "tests/test.h"

#include "base/file.h"

#include <limits.h>
#include <math.h>

#define T(name, type, shape, from, to)                                                             \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

// A file of this JSON and `data` bytes of data, as the parser gets it.
static th_code parse(const char *json, uint64_t data, th_safetensors_index *out, th_err *err)
{
    uint64_t       length = strlen(json);
    unsigned char *bytes = malloc(sizeof length + length);
    th_code        rc;

    assert_non_null(bytes);
    memcpy(bytes, &length, sizeof length);
    memcpy(bytes + sizeof length, json, length);
    // An allocation of exactly these bytes: the sanitizer sees a read beyond the header.
    rc = th_safetensors_parse(bytes, sizeof length + length, sizeof length + length + data, out,
                              err);
    free(bytes);
    return rc;
}

static void a_good_header_is_listed_by_place(void **state)
{
    th_safetensors_index index;
    th_err               err = { 0 };

    (void)state;
    th_assert_ok(
        parse("{\"__metadata__\":{\"format\":\"pt\"}," T("b", "F32", "[2,3]", 4, 28) "," T(
                  "a", "F16", "[2]", 0, 4) "," T("ids", "I64", "[1]", 28,
                                                 36) "," T("none", "BF16", "[0,7]", 28, 28) "}  ",
              36, &index, &err),
        &err);
    assert_int_equal(index.count, 4);
    assert_string_equal(index.tensors[0].name, "a");
    assert_int_equal(index.tensors[0].type, TH_STORED_F16);
    assert_string_equal(index.tensors[1].name, "b");
    assert_int_equal(index.tensors[1].dimensions, 2);
    assert_int_equal(index.tensors[1].shape[1], 3);
    assert_int_equal(index.tensors[1].elements, 6);
    assert_int_equal(index.tensors[1].first_byte - index.tensors[0].first_byte, 4);
    assert_string_equal(index.tensors[2].name, "none");
    assert_int_equal(index.tensors[3].type, TH_STORED_OTHER);
    assert_string_equal(index.tensors[3].type_name, "I64");
    th_safetensors_index_done(&index);
}

static const struct hostile {
    const char *name, *json;
    uint64_t    data;
    const char *words; // in the error
} hostile[] = {
    { "no_json", "not JSON", 0, "no JSON object" },
    { "an_array", "[1,2]", 0, "no JSON object" },
    { "json_cut", "{\"a\":{\"dtype\":\"F32\",", 0, "no JSON object" },
    { "garbage_behind_json", "{}x", 0, "no JSON object" },
    { "a_name_twice", "{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}", 8,
      "no JSON object" },
    { "a_zero_in_a_name", "{" T("a\\u0000b", "F32", "[1]", 0, 4) "}", 4, "no JSON object" },
    { "an_empty_name", "{" T("", "F32", "[1]", 0, 4) "}", 4, "name of 0 bytes" },
    { "a_tensor_that_is_a_number", "{\"a\":7}", 0, "dtype \"none\"" },
    { "no_dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype \"none\"" },
    { "an_unknown_dtype", "{" T("a", "F33", "[1]", 0, 4) "}", 4, "dtype \"F33\"" },
    { "no_shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "has no shape" },
    { "nine_dimensions", "{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "has no shape" },
    { "a_negative_size", "{" T("a", "F32", "[-1]", 0, 4) "}", 4, "no file can hold" },
    { "a_size_that_is_real", "{" T("a", "F32", "[1.0]", 0, 4) "}", 4, "no file can hold" },
    { "a_size_that_is_text", "{" T("a", "F32", "[\"1\"]", 0, 4) "}", 4, "no file can hold" },
    { "elements_that_overflow", "{" T("a", "F32", "[1099511627776,1099511627776]", 0, 4) "}", 4,
      "no file can hold" },
    { "a_huge_size_of_nothing", "{" T("a", "F32", "[0,4611686018427387904]", 0, 0) "}", 0,
      "no file can hold" },
    { "bytes_that_overflow", "{" T("a", "F32", "[1099511627776,4194304]", 0, 0) "}", 0,
      "elements of F32" },
    { "a_number_beyond_64_bits", "{" T("a", "F32", "[18446744073709551616]", 0, 4) "}", 4,
      "no JSON object" },
    { "one_offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
      "no data_offsets" },
    { "offsets_that_are_real", "{" T("a", "F32", "[1]", 0.0, 4.0) "}", 4, "no data_offsets" },
    { "a_negative_offset", "{" T("a", "F32", "[2]", -4, 4) "}", 4, "stands at bytes -4" },
    { "offsets_in_reverse", "{" T("a", "F32", "[1]", 4, 0) "}", 4, "stands at bytes 4" },
    { "beyond_the_file", "{" T("a", "F32", "[2]", 0, 8) "}", 4, "to 8 of 4" },
    { "far_beyond_the_file", "{" T("a", "F32", "[1]", 9223372036854775803, 9223372036854775807) "}",
      4, "of 4" },
    { "fewer_bytes_than_elements", "{" T("a", "F32", "[2]", 0, 4) "}", 4, "has 2 elements" },
    { "more_bytes_than_elements", "{" T("a", "BF16", "[2]", 0, 8) "}", 8, "has 2 elements" },
    { "an_overlap", "{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}", 8,
      "overlap" },
    { "the_same_place_twice", "{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", 4,
      "overlap" },
    { "a_hole", "{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 8, 12) "}", 12,
      "4 bytes before tensor \"b\"" },
    { "a_hole_at_the_start", "{" T("a", "F32", "[1]", 4, 8) "}", 8, "4 bytes before" },
    { "bytes_behind_the_last", "{" T("a", "F32", "[1]", 0, 4) "}", 5, "1 bytes behind" },
    { "data_of_no_tensor", "{}", 3, "3 bytes behind" },
};

static void is_refused(void **state)
{
    const struct hostile *h = *state;
    th_safetensors_index  index;
    th_err                err = { 0 };

    th_assert_error(parse(h->json, h->data, &index, &err), TH_EDATA, &err, h->words);
}

static void a_length_that_lies_is_refused(void **state)
{
    const struct {
        uint64_t length, file;
        size_t   size;
    } cases[] = {
        { 1, 7, 7 },           { 3, 10, 10 }, { UINT64_MAX, 16, 16 },
        { INT64_MAX, 16, 16 }, { 0, 0, 0 },   { TH_SAFETENSORS_HEADER + 1, 1 << 30, 16 }
    };
    unsigned char        bytes[16] = { 0 };
    th_safetensors_index index;
    th_err               err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bytes, &cases[i].length, 8);
        bytes[8] = '{';
        bytes[9] = '}';
        th_assert_error(th_safetensors_parse(bytes, cases[i].size, cases[i].file, &index, &err),
                        TH_EDATA, &err, NULL);
    }
}

// A deep nest must not exhaust the stack, and a name must not be longer than its place.
static void what_is_deep_or_long_is_refused(void **state)
{
    size_t               depth = 100000;
    char                *json = malloc(2 * depth + 200);
    th_safetensors_index index;
    th_err               err = { 0 };

    (void)state;
    assert_non_null(json);
    memset(json, '[', depth);
    strcpy(json + depth, "1");
    th_assert_error(parse(json, 0, &index, &err), TH_EDATA, &err, "no JSON object");
    strcpy(json, "{\"");
    memset(json + 2, 'n', TH_SAFETENSORS_NAME);
    strcpy(json + 2 + TH_SAFETENSORS_NAME,
           "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    th_assert_error(parse(json, 4, &index, &err), TH_EDATA, &err, "name of 200 bytes");
    free(json);
}

// Every header cut short, and every one with a byte turned, is refused or read; nothing else.
static void damage_is_survived(void **state)
{
    const char json[] = "{" T("a", "F32", "[2,1]", 0, 8) "," T("b", "BF16", "[3]", 8, 14) "}";
    th_safetensors_index index;
    th_err               err = { 0 };
    int                  refused = 0;

    (void)state;
    for (size_t i = 0; i < sizeof json - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            char copy[sizeof json];
            memcpy(copy, json, sizeof json);
            copy[i] = (char)(copy[i] ^ 1 << bit);
            if (copy[i] && parse(copy, 14, &index, &err) == TH_OK)
                th_safetensors_index_done(&index);
            else
                refused++;
        }
    assert_true(refused > (int)sizeof json * 6); // a digit of a name may turn, little else
}

static float slow_half(uint16_t half)
{
    int    exponent = half >> 10 & 31, fraction = half & 0x3ff;
    double value = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                   : exponent     ? ldexp(1 + fraction / 1024.0, exponent - 15)
                                  : ldexp(fraction / 1024.0, -14);
    return (float)(half & 0x8000 ? -value : value);
}

static void every_half_is_exact(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        float    got = th_float_of_half((uint16_t)half), want = slow_half((uint16_t)half);
        uint32_t bits;
        if (isnan(want)) {
            assert_true(isnan(got));
            continue;
        }
        assert_memory_equal(&got, &want, sizeof got); // -0 is not 0
        float wide = th_float_of_bfloat((uint16_t)half);
        memcpy(&bits, &wide, sizeof bits);
        assert_int_equal(bits, half << 16);
    }
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *to = fopen(path, "wb");

    assert_non_null(to);
    assert_int_equal(fwrite(bytes, 1, size, to), size);
    assert_int_equal(fclose(to), 0);
}

static void what_is_written_reads_back(void **state)
{
    const char     *folder = *state;
    char            path[PATH_MAX], again[PATH_MAX], *first, *second;
    size_t          first_size, second_size;
    float           scale = -0.0f, matrix[6] = { 1, -2, 3e-42f, INFINITY, 5, 6 }, got[6];
    th_tensor       tensors[] = { { "z.weight", 2, { 2, 3 }, matrix }, { "a", 0, { 0 }, &scale } };
    th_tensor       turned[] = { tensors[1], tensors[0] };
    th_safetensors *file;
    th_err          err = { 0 };

    assert_true(th_path_join(path, sizeof path, folder, "one.safetensors"));
    assert_true(th_path_join(again, sizeof again, folder, "two.safetensors"));
    th_assert_ok(th_safetensors_write(path, tensors, 2, &err), &err);
    th_assert_ok(th_safetensors_write(again, turned, 2, &err), &err);
    th_assert_ok(th_file_read(path, 4096, &first, &first_size, &err), &err);
    th_assert_ok(th_file_read(again, 4096, &second, &second_size, &err), &err);
    assert_int_equal(first_size, second_size); // the order they are given in does not matter
    assert_memory_equal(first, second, first_size);

    th_assert_ok(th_safetensors_open(path, &file, &err), &err);
    const th_safetensors_index *list = th_safetensors_list(file);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->tensors[0].name, "a");
    assert_int_equal(list->tensors[0].first_byte % 8, 0);
    th_assert_ok(th_safetensors_read(file, &list->tensors[0], got, &err), &err);
    assert_memory_equal(got, &scale, sizeof scale);
    th_assert_ok(th_safetensors_read(file, &list->tensors[1], got, &err), &err);
    assert_memory_equal(got, matrix, sizeof matrix);
    th_safetensors_close(file);
    free(first);
    free(second);
}

static void halves_are_widened_across_pieces(void **state)
{
    enum { COUNT = 65536 + 3 };
    char            path[PATH_MAX], json[128];
    unsigned char  *bytes = malloc(COUNT * 2 + 256);
    float          *got = malloc(COUNT * sizeof *got);
    th_safetensors *file;
    th_err          err = { 0 };

    assert_non_null(bytes);
    assert_non_null(got);
    for (int brain = 0; brain < 2; brain++) {
        uint64_t length = (uint64_t)snprintf(
            json, sizeof json, "{\"a\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]}}",
            brain ? "BF16" : "F16", COUNT, COUNT * 2);
        memcpy(bytes, &length, 8);
        memcpy(bytes + 8, json, length);
        for (int i = 0; i < COUNT; i++) {
            uint16_t half = (uint16_t)(i % 31000);
            memcpy(bytes + 8 + length + 2 * i, &half, 2);
        }
        assert_true(th_path_join(path, sizeof path, *state, "half.safetensors"));
        write_bytes(path, bytes, 8 + length + COUNT * 2);
        th_assert_ok(th_safetensors_open(path, &file, &err), &err);
        th_assert_ok(th_safetensors_read(file, th_safetensors_list(file)->tensors, got, &err),
                     &err);
        for (int i = 0; i < COUNT; i++) {
            uint16_t half = (uint16_t)(i % 31000);
            float    want = brain ? th_float_of_bfloat(half) : th_float_of_half(half);
            assert_memory_equal(&got[i], &want, sizeof want);
        }
        th_safetensors_close(file);
    }
    free(bytes);
    free(got);
}

static void files_that_are_none_are_refused(void **state)
{
    char            path[PATH_MAX];
    th_safetensors *file;
    float           scale = 1, got;
    th_tensor       tensor = { "a", 0, { 0 }, &scale }, twice[] = { tensor, tensor };
    th_err          err = { 0 };

    assert_true(th_path_join(path, sizeof path, *state, "x.safetensors"));
    th_assert_error(th_safetensors_open(path, &file, &err), TH_EIO, &err, "could not open");
    th_assert_error(th_safetensors_open(*state, &file, &err), TH_EUSAGE, &err, "not a file");
    write_bytes(path, "", 0);
    th_assert_error(th_safetensors_open(path, &file, &err), TH_EDATA, &err, "0 bytes");
    write_bytes(path, "PK\3\4 a zip file of torch.save", 30);
    th_assert_error(th_safetensors_open(path, &file, &err), TH_EDATA, &err, "not safetensors");
    th_assert_error(th_safetensors_write(path, twice, 2, &err), TH_EUSAGE, &err, "stands twice");
    tensor.name = "quote\"";
    th_assert_error(th_safetensors_write(path, &tensor, 1, &err), TH_EUSAGE, &err, "be stored");

    // A file that is cut after it was opened is an error, not a signal.
    tensor.name = "a";
    th_assert_ok(th_safetensors_write(path, &tensor, 1, &err), &err);
    th_assert_ok(th_safetensors_open(path, &file, &err), &err);
    write_bytes(path, "", 0);
    th_assert_error(th_safetensors_read(file, th_safetensors_list(file)->tensors, &got, &err),
                    TH_EDATA, &err, "end too early");
    th_safetensors_close(file);
}

static void another_dtype_is_listed_and_not_read(void **state)
{
    th_safetensors_index index;
    float                got;
    th_err               err = { 0 };

    (void)state;
    th_assert_ok(parse("{" T("ids", "I64", "[1]", 0, 8) "}", 8, &index, &err), &err);
    th_assert_error(th_safetensors_read(NULL, index.tensors, &got, &err), TH_EUSAGE, &err, "I64");
    th_safetensors_index_done(&index);
}

int main(void)
{
    enum { HOSTILE = sizeof hostile / sizeof *hostile };
    struct CMUnitTest       refusals[HOSTILE];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_header_is_listed_by_place),
        cmocka_unit_test(a_length_that_lies_is_refused),
        cmocka_unit_test(what_is_deep_or_long_is_refused),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(every_half_is_exact),
        cmocka_unit_test(another_dtype_is_listed_and_not_read),
        cmocka_unit_test_setup_teardown(what_is_written_reads_back, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test_setup_teardown(halves_are_widened_across_pieces, th_test_folder_open,
                                        th_test_folder_close),
        cmocka_unit_test_setup_teardown(files_that_are_none_are_refused, th_test_folder_open,
                                        th_test_folder_close),
    };

    for (int i = 0; i < HOSTILE; i++)
        refusals[i] =
            (struct CMUnitTest){ hostile[i].name, is_refused, NULL, NULL, (void *)&hostile[i] };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + cmocka_run_group_tests(refusals, NULL, NULL);
}
