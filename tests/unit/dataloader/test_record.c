#include "base/hash.h"
#include "base/philox.h"
#include "record_fixture.h"

// Bytes of a small record: 2 x 3 pixels, two captions.
static unsigned char *small_record(size_t *out_size)
{
    fixture f;

    fixture_make(&f, 7, 2, 3, 2);
    *out_size = th_record_size(&f.record);
    unsigned char *bytes = malloc(*out_size);
    assert_non_null(bytes);
    th_record_write(&f.record, bytes);
    fixture_free(&f);
    return bytes;
}

// Puts the right hash behind bytes that were changed on purpose.
static void seal(unsigned char *bytes, size_t size)
{
    uint64_t hash = th_hash(bytes, size - 8);

    memcpy(bytes + size - 8, &hash, 8);
}

static void writes_the_documented_bytes(void **state)
{
    (void)state;
    // By hand from record.h: head, table of captions, image, texts, tokens.
    static const unsigned char want[] = {
        'T', 'R', 'E', 'C', 1,   0, 0, 0, 0x15, 0x16, 5,    0,    0, 0, 0, 0, // id 333333 = 0x51615
        1,   0,   1,   0,   3,   0, 0, 0, 1,    0,    0,    0,    // 1 x 1, 3 bytes, 1 caption
        2,   0,   0,   0,   3,   0, 0, 0,                         // 2 bytes, 3 tokens
        9,   8,   7,   'h', 'i',                                  //
        1,   0,   0,   0,   0,   1, 0, 0, 0xff, 0xff, 0xff, 0xff, // 1, 256, -1
    };
    int32_t       tokens[] = { 1, 256, -1 };
    uint8_t       pixel[] = { 9, 8, 7 };
    th_caption    caption = { .text = "hi", .text_bytes = 2, .tokens = tokens, .token_count = 3 };
    th_record     record = { .sample_id = 333333,
                             .width = 1,
                             .height = 1,
                             .image = pixel,
                             .image_bytes = 3,
                             .caption_count = 1,
                             .captions = &caption };
    unsigned char bytes[sizeof want + 8];
    uint64_t      hash = th_hash(want, sizeof want);

    assert_int_equal(th_record_size(&record), sizeof bytes);
    th_record_write(&record, bytes);
    assert_memory_equal(bytes, want, sizeof want);
    assert_memory_equal(bytes + sizeof want, &hash, 8);
}

static void reads_back(void **state)
{
    (void)state;
    th_record_scratch scratch = { 0 };
    th_err            err = { 0 };

    // One buffer for all, at an odd address: a record has no alignment.
    for (int captions = 0; captions <= FIXTURE_CAPTIONS; captions++) {
        fixture   f;
        th_record got;
        fixture_make(&f, 100 + captions, 5 + captions, 9, captions);
        size_t         size = th_record_size(&f.record);
        unsigned char *bytes = malloc(size + 1);
        assert_non_null(bytes);
        th_record_write(&f.record, bytes + 1);
        th_assert_ok(th_record_read(bytes + 1, size, &scratch, &got, &err), &err);
        assert_int_equal(got.sample_id, f.record.sample_id);
        assert_int_equal(got.width, 5 + captions);
        assert_int_equal(got.height, 9);
        assert_int_equal(got.codec, TH_CODEC_RAW);
        assert_int_equal(got.image_bytes, f.record.image_bytes);
        assert_memory_equal(got.image, f.pixels, got.image_bytes);
        assert_int_equal(got.caption_count, captions);
        for (int k = 0; k < captions; k++) {
            assert_int_equal(got.captions[k].text_bytes, f.captions[k].text_bytes);
            assert_memory_equal(got.captions[k].text, f.text[k], f.captions[k].text_bytes);
            assert_int_equal(got.captions[k].token_count, 2);
            assert_memory_equal(got.captions[k].tokens, f.tokens[k], 2 * sizeof(int32_t));
        }
        free(bytes);
        fixture_free(&f);
    }
    free(scratch.bytes);
}

static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    size_t            size;
    unsigned char    *bytes = small_record(&size);
    th_record_scratch scratch = { 0 };
    th_record         got;
    th_err            err = { 0 };

    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        th_assert_error(th_record_read(bytes, size, &scratch, &got, &err), TH_EDATA, &err, NULL);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_null(scratch.bytes); // nothing was allocated for a damaged record
    th_assert_ok(th_record_read(bytes, size, &scratch, &got, &err), &err);
    free(scratch.bytes);
    free(bytes);
}

// A flipped bit under a hash that was made to fit: only the checks of the fields stand then. What
// passes must still be a record whose parts lie inside of it.
static void every_flipped_bit_under_a_good_hash_stays_inside(void **state)
{
    (void)state;
    size_t            size;
    unsigned char    *bytes = small_record(&size);
    th_record_scratch scratch = { 0 };
    th_record         got;
    int               refused = 0;

    for (size_t bit = 0; bit < (size - 8) * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        seal(bytes, size);
        if (th_record_read(bytes, size, &scratch, &got, NULL) == TH_OK) {
            const unsigned char *end = bytes + size - 8;
            assert_true((const unsigned char *)got.image + got.image_bytes <= end);
            for (int k = 0; k < got.caption_count; k++)
                assert_true((const unsigned char *)got.captions[k].text +
                                got.captions[k].text_bytes <=
                            end);
        } else {
            refused++;
        }
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    // Head without sample id (20 bytes) and the table of captions (16 bytes) hold no free bit but
    // codec's to zlib and to jpeg. 6 x 1 pixels are as many bytes as 2 x 3, but two bits away.
    assert_int_equal(refused, (20 + 16) * 8 - 2);
    free(scratch.bytes);
    free(bytes);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    size_t            size;
    unsigned char    *bytes = small_record(&size);
    th_record_scratch scratch = { 0 };
    th_record         got;
    th_err            err = { 0 };

    for (size_t cut = 0; cut < size; cut++) {
        // A copy of its own, so that AddressSanitizer sees a read behind its end.
        unsigned char *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        th_assert_error(th_record_read(copy, cut, &scratch, &got, &err), TH_EDATA, &err, NULL);
        if (cut >= 36) {
            seal(copy, cut);
            th_assert_error(th_record_read(copy, cut, &scratch, &got, &err), TH_EDATA, &err, NULL);
        }
        free(copy);
    }
    assert_null(scratch.bytes);
    free(bytes);
}

static void random_bytes_are_refused(void **state)
{
    (void)state;
    th_record_scratch scratch = { 0 };
    th_record         got;
    th_rng            rng;

    th_rng_init(&rng, 1, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < 20000; i++) {
        size_t         size = th_rng_below(&rng, 200);
        unsigned char *bytes = malloc(size + 1);
        assert_non_null(bytes);
        for (size_t k = 0; k < size; k++)
            bytes[k] = (unsigned char)th_rng_u32(&rng);
        // Half of them with a good beginning and hash, so that the checks behind these are reached.
        if (i % 2 && size >= 36) {
            memcpy(bytes, "TREC\1\0\0", 8);
            memset(bytes + 26, 0, 2);
            seal(bytes, size);
        }
        assert_int_equal(th_record_read(bytes, size, &scratch, &got, NULL), TH_EDATA);
        free(bytes);
    }
    assert_null(scratch.bytes);
}

// Fields of a sealed record, set to values that must be refused by name.
static const struct field_case {
    const char *name;
    size_t      offset, bytes;
    uint32_t    value;
    const char *words;
} fields[] = {
    { "refuses_other_version", 4, 2, 2, "version 2" },
    { "refuses_unknown_codec", 6, 1, 3, "codec" },
    { "refuses_set_zero_byte", 7, 1, 1, "must be zero" },
    { "refuses_width_zero", 16, 2, 0, "width" },
    { "refuses_width_over_limit", 16, 2, TH_RECORD_SIDE + 1, "width" },
    { "refuses_height_zero", 18, 2, 0, "height" },
    { "refuses_raw_of_other_size", 18, 2, 4, "width x height x 3" },
    { "refuses_image_of_4_gib", 20, 4, UINT32_MAX, "width x height x 3" },
    { "refuses_too_many_captions", 24, 2, TH_RECORD_CAPTIONS + 1, "captions" },
    { "refuses_captions_beyond_the_end", 24, 2, TH_RECORD_CAPTIONS, "no room" },
    { "refuses_caption_of_4_gib", 28, 4, UINT32_MAX, "caption of" },
    { "refuses_caption_over_limit", 28, 4, TH_RECORD_CAPTION_BYTES + 1, "caption of" },
    { "refuses_caption_beyond_the_end", 28, 4, TH_RECORD_CAPTION_BYTES, "add up" },
    { "refuses_too_many_tokens", 32, 4, TH_RECORD_TOKENS + 1, "tokens" },
    { "refuses_tokens_beyond_the_end", 32, 4, TH_RECORD_TOKENS, "add up" },
    { "refuses_lengths_that_overflow_32_bits", 32, 4, UINT32_MAX / 4 + 2, "tokens" },
};

static void refuses_field(void **state)
{
    const struct field_case *c = *state;
    size_t                   size;
    unsigned char           *bytes = small_record(&size);
    th_record_scratch        scratch = { 0 };
    th_record                got;
    th_err                   err = { 0 };

    memcpy(bytes + c->offset, &c->value, c->bytes); // little-endian, as this machine
    seal(bytes, size);
    th_assert_error(th_record_read(bytes, size, &scratch, &got, &err), TH_EDATA, &err, c->words);
    assert_null(scratch.bytes);
    free(bytes);
}

static void size_is_zero_beyond_the_limits(void **state)
{
    (void)state;
    fixture    f;
    th_record  good;
    th_caption caption;

    fixture_make(&f, 1, 4, 4, 1);
    good = f.record;
    caption = f.captions[0];
    assert_true(th_record_size(&good) > 0);
    f.record.image_bytes--;
    assert_int_equal(th_record_size(&f.record), 0); // raw, but not width x height x 3
    f.record = good;
    f.record.codec = TH_CODEC_JPEG;
    f.record.image_bytes = TH_RECORD_BYTES;
    assert_int_equal(th_record_size(&f.record), 0);
    f.record.image_bytes = UINT32_MAX;
    assert_int_equal(th_record_size(&f.record), 0);
    f.record.image_bytes = 0;
    assert_int_equal(th_record_size(&f.record), 0);
    f.record = good;
    f.record.width = -4;
    assert_int_equal(th_record_size(&f.record), 0);
    f.record = good;
    f.record.caption_count = TH_RECORD_CAPTIONS + 1;
    assert_int_equal(th_record_size(&f.record), 0);
    f.record = good;
    f.captions[0].text_bytes = TH_RECORD_CAPTION_BYTES + 1;
    assert_int_equal(th_record_size(&f.record), 0);
    f.captions[0] = caption;
    f.captions[0].token_count = TH_RECORD_TOKENS + 1;
    assert_int_equal(th_record_size(&f.record), 0);
    fixture_free(&f);
}

static void a_source_is_known_by_its_last_part(void **state)
{
    static const char text[] = "photos\n1.png";
    uint64_t          id = th_hash(text, sizeof text - 1);

    (void)state;
    assert_true(th_sample_id("photos", "1.png") == id);
    assert_true(th_sample_id("/data/photos", "1.png") == id);
    assert_true(th_sample_id("photos/", "1.png") == id);
    assert_true(th_sample_id("/data/photos//", "1.png") == id);
    assert_true(th_sample_id("photos/a", "1.png") != id);
    assert_true(th_sample_id("/", "1.png") == th_sample_id("", "1.png"));
}

int main(void)
{
    enum { FIELDS = sizeof fields / sizeof *fields };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_documented_bytes),
        cmocka_unit_test(reads_back),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(every_flipped_bit_under_a_good_hash_stays_inside),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(random_bytes_are_refused),
        cmocka_unit_test(size_is_zero_beyond_the_limits),
        cmocka_unit_test(a_source_is_known_by_its_last_part),
    };
    struct CMUnitTest field_tests[FIELDS];

    for (int i = 0; i < FIELDS; i++)
        field_tests[i] = (struct CMUnitTest){ .name = fields[i].name,
                                              .test_func = refuses_field,
                                              .initial_state = (void *)&fields[i] };
    return cmocka_run_group_tests(tests, NULL, NULL) +
           cmocka_run_group_tests_name("fields", field_tests, NULL, NULL);
}
