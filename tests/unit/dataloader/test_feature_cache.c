#include "feature_fixture.h"

#include <pthread.h>
#include <time.h>

static void pause_ms(long ms)
{
    struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    (void)nanosleep(&time, NULL);
}

// --- rows ---

static void reads_back(void **state)
{
    static const struct {
        size_t   row_bytes, buffer_bytes;
        uint64_t rows;
    } cases[] = {
        { 4, 0, 10000 },         // small rows, one segment
        { 3072, 1 << 20, 2000 }, // several segments
        { 3071 * 4, 1, 40 },     // a buffer that is too small holds one row
        { 50 * 768 * 4, 0, 60 }, // token activations of a ViT-B/32
    };

    for (int c = 0; c < (int)(sizeof cases / sizeof *cases); c++) {
        th_feature_cache_options options = usual(*state);
        options.key += (uint64_t)c;
        options.about.row_bytes = cases[c].row_bytes;
        options.buffer_bytes = cases[c].buffer_bytes;
        th_feature_cache *cache = open_cache(&options);
        int64_t           rows = (int64_t)cases[c].rows;
        // Small pieces, each flushed: nothing is dropped, and all of it is there before and after.
        for (uint64_t i = 0; i < cases[c].rows; i += cases[c].rows / 20) {
            put_rows(cache, options.about.row_bytes, i, i + cases[c].rows / 20);
            if (cases[c].buffer_bytes != 0)
                th_feature_cache_wait(cache);
        }
        if (cases[c].buffer_bytes !=
            1) // else rows of a piece came while the one before was written
            assert_int_equal(count_rows(cache, cases[c].row_bytes, 0, cases[c].rows), rows);
        th_feature_cache_report report = th_feature_cache_status(cache);
        assert_int_equal(report.rows + report.dropped, rows);
        assert_int_equal(report.damaged, 0);
        th_feature_cache_close(cache);
        // Opened again, by a rank of another number, all of it comes from the disk.
        options.rank = 7;
        cache = open_cache(&options);
        assert_int_equal(count_rows(cache, cases[c].row_bytes, 0, cases[c].rows), report.rows);
        assert_false(th_feature_cache_get(cache, cases[c].rows, 0, (char[200000]){ 0 }));
        assert_false(th_feature_cache_get(cache, 1, 0, (char[200000]){ 0 })); // only view 1 of it
        report = th_feature_cache_status(cache);
        assert_int_equal(report.misses, rows - report.rows + 2);
        assert_int_equal(report.hits, report.rows);
        th_feature_cache_close(cache);
    }
}

// The second row of a key is not kept, wherever the first one is.
static void first_row_stands(void **state)
{
    th_feature_cache_options options = usual(*state);
    th_feature_cache        *cache = open_cache(&options);
    uint32_t                 row[WIDTH], other[WIDTH] = { 1 };

    for (int i = 0; i < 3; i++) {
        put_rows(cache, WIDTH * FLOAT, 5, 6);
        th_feature_cache_put(cache, 5, 2, other);
        if (i == 1) {
            th_feature_cache_flush(cache);
            th_feature_cache_wait(cache);
        }
        assert_true(th_feature_cache_get(cache, 5, 2, row));
        assert_int_not_equal(row[0], other[0]);
        assert_int_equal(th_feature_cache_status(cache).rows, 1);
    }
    th_feature_cache_close(cache);
    assert_int_equal(find_files(*state, ".rows", NULL, 0), 1);
}

// More segments than are kept open.
static void many_segments(void **state)
{
    th_feature_cache_options options = usual(*state);
    th_feature_cache        *cache = open_cache(&options);

    for (uint64_t i = 0; i < 300; i++) {
        put_rows(cache, WIDTH * FLOAT, i * 2, i * 2 + 2);
        th_feature_cache_flush(cache);
        th_feature_cache_wait(cache);
    }
    assert_int_equal(COUNT(cache, 0, 600), 600);
    assert_int_equal(COUNT(cache, 0, 600), 600);
    th_feature_cache_report report = th_feature_cache_status(cache);
    assert_int_equal(report.segments, 300);
    assert_int_equal(report.bytes, 300 * (int64_t)th_segment_bytes(WIDTH * FLOAT, 2));
    int  open_files = 0;
    DIR *stream = opendir("/proc/self/fd");
    assert_non_null(stream);
    while (readdir(stream))
        open_files++;
    assert_int_equal(closedir(stream), 0);
    assert_in_range(open_files, 256, 256 + 32);
    th_feature_cache_close(cache);
}

// --- several processes ---

static int write_500(const th_feature_cache_options *options)
{
    th_feature_cache *cache = NULL;

    if (th_feature_cache_open(options, &cache, NULL) != TH_OK)
        return 1;
    put_rows(cache, WIDTH * FLOAT, (uint64_t)options->rank * 500,
             (uint64_t)options->rank * 500 + 500);
    th_feature_cache_close(cache);
    return 0;
}

static void other_processes_read(void **state)
{
    th_feature_cache_options options = usual(*state);
    th_feature_cache        *reader = open_cache(&options);

    for (options.rank = 1; options.rank < 4; options.rank++) {
        uint64_t first = (uint64_t)options.rank * 500;
        assert_int_equal(COUNT(reader, first, first + 500), 0);
        assert_int_equal(in_child(write_500, &options), 0);
        th_feature_cache_refresh(reader);
        assert_int_equal(COUNT(reader, first, first + 500), 500);
    }
    // And without being asked, as something is missed.
    options.rank = 0;
    assert_int_equal(in_child(write_500, &options), 0);
    int64_t count = 0;
    for (int i = 0; i < 100 && count == 0; i++) {
        pause_ms(200);
        count = COUNT(reader, 0, 500);
    }
    assert_int_equal(count, 500);
    th_feature_cache_close(reader);
    assert_int_equal(find_files(*state, ".rows", NULL, 0), 4);
    // Read only, rows come too, and none is kept.
    options.writable = false;
    reader = open_cache(&options);
    assert_int_equal(COUNT(reader, 0, 2000), 2000);
    put_rows(reader, WIDTH * FLOAT, 2000, 2010);
    assert_int_equal(COUNT(reader, 2000, 2010), 0);
    th_feature_cache_flush(reader);
    th_feature_cache_wait(reader);
    assert_false(th_feature_cache_status(reader).writing);
    th_feature_cache_close(reader);
}

// --- the folder ---

static void other_rows_are_refused(void **state)
{
    th_feature_cache_options options = usual(*state), asked;
    th_feature_cache        *cache = NULL;
    th_err                   err = { 0 };
    char                     path[4096];

    asked = options;
    asked.writable = false;
    th_assert_error(th_feature_cache_open(&asked, &cache, &err), TH_EDATA, &err, "could not open");
    fill(&options, 0, 3);
    options.about.description[0] = 'A'; // free text
    fill(&options, 3, 6);
#define REFUSED(words)                                                                             \
    th_assert_error(th_feature_cache_open(&asked, &cache, &err), TH_EDATA, &err, words)
    asked = options;
    memcpy(asked.about.tower, "text", 5);
    REFUSED("is of tower \"image\", not \"text\"");
    asked = options;
    memcpy(asked.about.cut, "feature", 8);
    REFUSED("has the cut \"pooled\", not \"feature\"");
    asked = options;
    asked.about.row_bytes = 4;
    REFUSED("has rows of 96 bytes, not 4");
    asked = options;
    asked.about.pack_hash = 1;
    REFUSED("is of pack 000000000000000b, not 0000000000000001");
    asked = options;
    asked.about.weights_hash = 1;
    REFUSED("is of weights 000000000000000c, not 0000000000000001");
    asked = options;
    cache_path(path, sizeof path, *state, "about.json");
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "{", "not JSON" },
        { "[]", "no text \"format\"" },
        { "{\"format\": \"thaw pack\"}", "does not say" },
        { "{\"format\": \"thaw feature cache\", \"version\": 2}", "version 2" },
        { "{\"format\": \"thaw feature cache\", \"version\": 1, \"key\": \"0000000000000001\"}",
          "has the key 0000000000000001" },
        { "{\"format\": \"thaw feature cache\", \"version\": 1, \"key\": \"0123456789abcdef\", "
          "\"tower\": \"image\", \"cut\": \"x\", \"row_bytes\": -4}",
          "row_bytes" },
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        th_assert_ok(th_file_replace(path, bad[i].text, strlen(bad[i].text), &err), &err);
        REFUSED(bad[i].words);
    }
    // Without it the segments still stand: they have their own headers.
    assert_int_equal(unlink(path), 0);
    asked.writable = false;
    REFUSED("is not there");
    cache = open_cache(&options);
    assert_int_equal(COUNT(cache, 0, 6), 6);
    th_feature_cache_close(cache);
}

static void options_out_of_range_are_refused(void **state)
{
    th_feature_cache_options asked = usual(*state);
    th_feature_cache        *cache = NULL;
    th_err                   err = { 0 };

#define REFUSED_USAGE(words)                                                                       \
    th_assert_error(th_feature_cache_open(&asked, &cache, &err), TH_EUSAGE, &err, words);          \
    asked = usual(*state)
    asked.about.row_bytes = 0;
    REFUSED_USAGE("rows of 0 bytes");
    asked.about.row_bytes = TH_FEATURE_ROW_BYTES + 1;
    REFUSED_USAGE("rows of 268435457 bytes");
    asked.about.cut[0] = '\0';
    REFUSED_USAGE("cut \"\"");
    asked.about.description[0] = '\xff';
    REFUSED_USAGE("UTF-8");
    asked.rank = 100000;
    REFUSED_USAGE("as rank 100000");
    asked.budget_bytes = -1;
    REFUSED_USAGE("budget of -1");
    char path[4096];
    th_test_path(path, sizeof path, *state, "file");
    th_assert_ok(th_file_replace(path, "", 0, &err), &err);
    asked.base = path;
    th_assert_error(th_feature_cache_open(&asked, &cache, &err), TH_EIO, &err, "could not make");
}

static void lists_and_removes(void **state)
{
    th_feature_cache_options options = usual(*state);
    th_feature_cache_entry  *list = NULL;
    th_err                   err = { 0 };
    int                      count = -1;
    char                     path[4096];

    th_test_path(path, sizeof path, *state, "absent");
    th_assert_ok(th_feature_cache_list(path, &list, &count, &err), &err);
    assert_int_equal(count, 0);
    free(list);
    fill(&options, 0, 10);
    options.rank = 3;
    fill(&options, 10, 15);
    options.key = 1;
    fill(&options, 0, 3);
    th_test_path(path, sizeof path, *state, "0000000000000002"); // a folder of somebody else
    assert_int_equal(mkdir(path, 0755), 0);
    th_test_path(path, sizeof path, *state, "0000000000000002/notes");
    th_assert_ok(th_file_replace(path, "abc", 3, &err), &err);
    th_assert_ok(th_feature_cache_list(*state, &list, &count, &err), &err);
    assert_int_equal(count, 3);
    assert_int_equal(list[0].key, 1);
    assert_int_equal(list[0].rows, 3);
    assert_string_equal(list[1].wrong, "it is not there");
    assert_int_equal(list[1].bytes, 3);
    assert_int_equal(list[2].key, KEY);
    assert_string_equal(list[2].wrong, "");
    assert_string_equal(list[2].about.tower, "image");
    assert_string_equal(list[2].about.description, "a test");
    assert_int_equal(list[2].about.weights_hash, 12);
    assert_int_equal(list[2].rows, 15);
    assert_int_equal(list[2].segments, 2);
    assert_in_range(list[2].bytes, 15 * 104, 15 * 130 + 600);
    free(list);

    // Removed while it is used: what is not open any more is missed, and nothing fails.
    options = usual(*state);
    th_feature_cache *cache = open_cache(&options);
    th_assert_ok(th_feature_cache_remove(*state, KEY, &err), &err);
    assert_int_equal(COUNT(cache, 0, 20), 0);
    put_rows(cache, WIDTH * FLOAT, 0, 20);
    assert_int_equal(COUNT(cache, 0, 20), 20);
    th_feature_cache_flush(cache);
    th_feature_cache_wait(cache);
    assert_int_equal(COUNT(cache, 0, 20), 0);
    assert_false(th_feature_cache_status(cache).writing);
    th_feature_cache_refresh(cache); // a folder that is not there has nothing new
    th_feature_cache_close(cache);
    th_assert_error(th_feature_cache_remove(*state, KEY, &err), TH_EUSAGE, &err, "there is no");
    th_assert_error(th_feature_cache_remove(*state, 2, &err), TH_EIO, &err, "could not remove");
    assert_true(th_path_exists(path));
    th_assert_ok(th_feature_cache_list(*state, &list, &count, &err), &err);
    assert_int_equal(count, 2);
    free(list);
}

// --- threads ---

typedef struct {
    th_feature_cache *cache;
    int               number;
    int64_t           hits, wrong;
} reader;

static void *read_randomly(void *argument)
{
    reader  *r = argument;
    uint32_t row[WIDTH], want[WIDTH];
    th_rng   rng;

    th_rng_init(&rng, 4, TH_FOR_TEST, 0, (uint64_t)r->number);
    for (int k = 0; k < 20000; k++) {
        uint64_t item = th_rng_below(&rng, 3000);
        if (!th_feature_cache_get(r->cache, item, (uint32_t)(item % 3), row))
            continue;
        make_row(item, (uint32_t)(item % 3), sizeof want, want);
        r->hits++;
        r->wrong += memcmp(row, want, sizeof row) != 0;
    }
    return NULL;
}

static void many_threads_read_while_one_puts(void **state)
{
    th_feature_cache_options options = usual(*state);
    pthread_t                threads[3];
    reader                   readers[3];

    options.buffer_bytes = 20000; // some 160 rows: many segments come to be meanwhile
    th_feature_cache *cache = open_cache(&options);
    for (int i = 0; i < 3; i++) {
        readers[i] = (reader){ .cache = cache, .number = i };
        assert_int_equal(pthread_create(&threads[i], NULL, read_randomly, &readers[i]), 0);
    }
    for (uint64_t i = 0; i < 3000; i += 100) {
        put_rows(cache, WIDTH * FLOAT, i, i + 100);
        th_feature_cache_flush(cache);
        if (i % 300 == 0)
            th_feature_cache_wait(cache);
        if (i % 500 == 0)
            th_feature_cache_refresh(cache);
    }
    int64_t hits = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].wrong, 0);
        hits += readers[i].hits;
    }
    th_feature_cache_report report = th_feature_cache_status(cache);
    assert_int_equal(report.hits, hits);
    assert_int_equal(report.hits + report.misses, 60000);
    assert_int_equal(report.rows + report.dropped, 3000);
    assert_int_equal(COUNT(cache, 0, 3000), report.rows);
    th_feature_cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(reads_back),
        IN_FOLDER(first_row_stands),
        IN_FOLDER(many_segments),
        IN_FOLDER(other_processes_read),
        IN_FOLDER(other_rows_are_refused),
        IN_FOLDER(options_out_of_range_are_refused),
        IN_FOLDER(lists_and_removes),
        IN_FOLDER(many_threads_read_while_one_puts),
    };

    th_log_setup(TH_ALARM, -1); // each damage is a warning
    return cmocka_run_group_tests(tests, NULL, NULL);
}
