// What is written is what is read: by us, and by HDF5's own pipeline with its checksums.
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "checkpoint/layout.h"
#include "tests/unit/checkpoint/fixture.h"

#include <math.h>
#include <sys/stat.h>

// 100,000 rows of 7 floats are three chunks, the last one short.
static const int64_t rows_of_fixture[] = { 9, 100000 };

static void what_is_committed_is_read(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture      *f = fixture_open(rows_of_fixture[i]);
        th_reader    *reader = NULL;
        th_generation generation = { 0 };
        th_err        err = { 0 };
        int           count;

        fixture_commit(f, 2, (int64_t[]){ 7 }, 1);
        assert_int_equal(th_reader_open_newest(f->folder, &reader, &generation, &err), TH_OK);
        assert_int_equal(generation.step, 7);
        assert_int_equal(generation.samples_seen, 7 * 64);
        fixture_check(f, reader);
        const th_saved_parameter *rows = th_reader_parameters(reader, &count);
        assert_int_equal(count, FIXTURE_PARAMETERS);
        for (int p = 0; p < count; p++) { // the file's order is the table's, shapes are natural
            assert_string_equal(rows[p].model.name, f->parameters[p].model.name);
            assert_int_equal(rows[p].model.dimensions, f->parameters[p].model.dimensions);
            assert_memory_equal(rows[p].model.shape, f->parameters[p].model.shape,
                                sizeof rows[p].model.shape);
        }
        th_reader_close(reader);
        if (th_generation_verify(f->folder, &generation, &err) != TH_OK)
            fail_msg("does not verify: %s", err.what);
        fixture_close(f);
    }
}

// Reads through H5Dread, whose filter compares the Fletcher-32 that we computed with its own.
static void hdf5_itself_agrees(void **state)
{
    fixture       *f = fixture_open(100000);
    char           path[PATH_MAX];
    th_tensor_hash hashes[TH_PARTS * FIXTURE_PARAMETERS];
    int            count;
    int64_t        limit_bytes;
    struct stat    status;
    th_err         err = { 0 };

    (void)state;
    assert_true(th_path_join(path, sizeof path, f->folder, "layout.h5"));
    assert_int_equal(th_layout_size(&f->snapshot, &limit_bytes, &err), TH_OK);
    assert_int_equal(th_layout_write(path, &f->snapshot, limit_bytes, hashes, &count, &err), TH_OK);
    assert_int_equal(count, 3 * FIXTURE_PARAMETERS - 2); // one has no moments
    for (int i = 0; i < count; i++) {
        uint64_t hash = 0;
        if (th_layout_hash_by_hdf5(path, hashes[i].path, &hash, &err) != TH_OK)
            fail_msg("HDF5 does not read \"%s\": %s", hashes[i].path, err.what);
        assert_int_equal(hash, hashes[i].hash);
    }
    assert_int_equal(stat(path, &status), 0);
    assert_in_range(status.st_size, 1, limit_bytes); // what is reserved is enough
    fixture_close(f);
}

static void same_snapshot_gives_the_same_bytes(void **state)
{
    fixture       *f = fixture_open(9);
    char           path[PATH_MAX];
    th_tensor_hash hashes[TH_PARTS * FIXTURE_PARAMETERS];
    int            count;
    uint64_t       first, second;

    (void)state;
    assert_true(th_path_join(path, sizeof path, f->folder, "layout.h5"));
    assert_int_equal(th_layout_write(path, &f->snapshot, 1 << 20, hashes, &count, NULL), TH_OK);
    assert_int_equal(th_hash_file(path, &first, NULL, NULL), TH_OK);
    (void)sleep(1); // a stored time would differ
    assert_int_equal(th_layout_write(path, &f->snapshot, 1 << 20, hashes, &count, NULL), TH_OK);
    assert_int_equal(th_hash_file(path, &second, NULL, NULL), TH_OK);
    assert_int_equal(first, second);
    fixture_close(f);
}

// A chunk that is damaged behind the whole-file hash (a disk that goes bad while we read).
static void damaged_chunk_is_found_while_reading(void **state)
{
    fixture   *f = fixture_open(100000);
    char       path[PATH_MAX];
    th_reader *reader = NULL;
    int64_t    step;
    bool       moments;
    th_err     err = { 0 };
    size_t     size;
    char      *bytes;

    (void)state;
    fixture_commit(f, 2, (int64_t[]){ 7 }, 1);
    assert_true(th_path_join(path, sizeof path, f->folder, "step-00000007.h5"));
    assert_int_equal(th_reader_open(path, &reader, &err), TH_OK);
    assert_int_equal(th_file_read(path, (size_t)1 << 30, &bytes, &size, NULL), TH_OK);
    FILE *file = fopen(path, "r+b"); // in place: the reader has this file open
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)size / 6, SEEK_SET), 0); // in the weights of the large one
    assert_int_equal(fputc(bytes[size / 6] ^ 4, file), (unsigned char)(bytes[size / 6] ^ 4));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(th_reader_load(reader, &f->parameters[2], &step, &moments, &err), TH_EDATA);
    assert_non_null(strstr(err.what, "damaged"));
    free(bytes);
    th_reader_close(reader);
    fixture_close(f);
}

static void wrong_wishes_are_refused(void **state)
{
    fixture           *f = fixture_open(9);
    th_reader         *reader = NULL;
    th_saved_parameter wanted = f->parameters[2];
    int64_t            step = -5;
    bool               moments;
    th_err             err = { 0 };

    (void)state;
    fixture_commit(f, 2, (int64_t[]){ 7 }, 1);
    assert_int_equal(th_reader_open_newest(f->folder, &reader, NULL, &err), TH_OK);
    wanted.model.shape[0] = 8;
    assert_int_equal(th_reader_load(reader, &wanted, &step, &moments, &err), TH_EDATA);
    assert_non_null(strstr(err.what, "[9, 7] in the checkpoint, [8, 7] in the model"));
    wanted.model.name = "nobody";
    assert_int_equal(th_reader_load(reader, &wanted, &step, &moments, &err), TH_EDATA);
    assert_non_null(strstr(err.what, "no parameter \"nobody\""));
    assert_int_equal(step, -5);
    // Moments that the file does not have are left as they are.
    float first[12] = { 1, 2, 3 }, second[12] = { 4, 5, 6 };
    wanted = f->parameters[4];
    wanted.exp_avg = first;
    wanted.exp_avg_sq = second;
    assert_int_equal(th_reader_load(reader, &wanted, &step, &moments, &err), TH_OK);
    assert_false(moments);
    assert_true(first[0] == 1 && second[2] == 6);
    th_reader_close(reader);
    fixture_close(f);
}

static void names_and_shapes_that_cannot_be_stored(void **state)
{
    static const char *const names[] = { "", ".", "a/b" };
    fixture                 *f = fixture_open(9);
    int64_t                  bytes;

    (void)state;
    for (int i = 0; i < 3; i++) {
        f->parameters[1].model.name = names[i];
        assert_int_equal(th_layout_size(&f->snapshot, &bytes, NULL), TH_EUSAGE);
    }
    f->parameters[1].model.name = "fine";
    assert_int_equal(th_layout_size(&f->snapshot, &bytes, NULL), TH_OK);
    f->parameters[1].model.shape[0] = -5;
    assert_int_equal(th_layout_size(&f->snapshot, &bytes, NULL), TH_EUSAGE);
    f->parameters[1].model.shape[0] = 5;
    fixture_close(f);
}

// mean 2, deviation sqrt(2): 0, 2, 2, 4 and one element that is not finite.
static void summary_of_the_weights(void **state)
{
    static const float values[5] = { 0, 2, 2, 4, NAN };
    fixture           *f = fixture_open(9);
    th_reader         *reader = NULL;
    th_tensor_summary  summary;
    th_writer         *writer = NULL;
    th_err             err = { 0 };

    (void)state;
    memcpy(f->parameters[1].model.data, values, sizeof values);
    th_writer_options options = { .folder = f->folder, .keep = 2 };
    assert_int_equal(th_writer_open(&options, &f->snapshot, &writer, &err), TH_OK);
    assert_int_equal(th_writer_save(writer, &f->snapshot, &err), TH_OK);
    th_writer_close(writer);
    assert_int_equal(th_reader_open_newest(f->folder, &reader, NULL, &err), TH_OK);
    assert_int_equal(th_reader_summary(reader, 1, &summary, &err), TH_OK);
    assert_int_equal(summary.not_finite, 1);
    assert_true(summary.mean == 2 && summary.smallest == 0 && summary.largest == 4);
    assert_true(fabs(summary.deviation - sqrt(2.0)) < 1e-15); // one rounding of the root
    assert_int_equal(th_reader_summary(reader, FIXTURE_PARAMETERS, &summary, &err), TH_EUSAGE);
    th_reader_close(reader);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_committed_is_read),
        cmocka_unit_test(hdf5_itself_agrees),
        cmocka_unit_test(same_snapshot_gives_the_same_bytes),
        cmocka_unit_test(damaged_chunk_is_found_while_reading),
        cmocka_unit_test(wrong_wishes_are_refused),
        cmocka_unit_test(names_and_shapes_that_cannot_be_stored),
        cmocka_unit_test(summary_of_the_weights),
    };

    th_log_setup(TH_WARN, -1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
