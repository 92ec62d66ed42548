// tests/unit/checkpoint/test_weights_file.c - weights in one file: they read back, and a file that
// is damaged or cut anywhere is refused before HDF5 sees it.
#include "base/file.h"
#include "checkpoint/generations.h"
#include "checkpoint/weights_file.h"
#include "tests/test.h"

#include <fcntl.h>
#include <hdf5.h>
#include <limits.h>
#include <unistd.h>

static float scale = 2.5f, matrix[6] = { 1, 2, 3, 4, 5, -6 };

static void write_one(const char *path)
{
    th_saved_parameter rows[] = { { .model = { "a.weight", 2, { 2, 3 }, matrix } },
                                  { .model = { "logit_scale", 0, { 0 }, &scale } } };
    th_snapshot snapshot = { .parameters = rows, .parameter_count = 2, .config = "model:\n" };
    th_err      err = { 0 };

    th_assert_ok(th_weights_file_write(path, &snapshot, &err), &err);
}

static void weights_read_back(void **state)
{
    char               path[PATH_MAX], tmp[PATH_MAX];
    float              got[6];
    th_saved_parameter wanted = { .model = { "a.weight", 2, { 2, 3 }, got } };
    th_reader         *reader;
    th_tensor_summary  summary;
    int64_t            step;
    int                count;
    bool               moments;
    th_err             err = { 0 };

    th_test_path(path, sizeof path, *state, "weights.h5");
    write_one(path);
    write_one(path); // over itself
    th_test_path(tmp, sizeof tmp, *state, "weights.h5.tmp");
    assert_false(th_path_exists(tmp));
    th_assert_ok(th_reader_open(path, &reader, &err), &err);
    (void)th_reader_parameters(reader, &count);
    assert_int_equal(count, 2);
    assert_string_equal(th_reader_config(reader), "model:\n");
    th_assert_ok(th_reader_load(reader, &wanted, &step, &moments, &err), &err);
    assert_memory_equal(got, matrix, sizeof got);
    assert_false(moments);
    th_assert_ok(th_reader_summary(reader, 1, &summary, &err), &err);
    th_assert_close(summary.mean, 2.5, 0);
    th_reader_close(reader);
}

// The line behind it is no matter to HDF5 itself.
static void it_is_an_hdf5_file(void **state)
{
    char  path[PATH_MAX];
    float got[6];

    th_test_path(path, sizeof path, *state, "weights.h5");
    write_one(path);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    hid_t dataset = H5Dopen2(file, "model/a.weight", H5P_DEFAULT);
    assert_true(dataset >= 0);
    assert_true(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, got) >= 0);
    assert_memory_equal(got, matrix, sizeof got);
    assert_true(H5Dclose(dataset) >= 0 && H5Fclose(file) >= 0);
}

static void a_turned_bit_is_refused(void **state)
{
    char       path[PATH_MAX];
    char      *bytes;
    size_t     size;
    th_reader *reader;
    th_err     err = { 0 };

    th_test_path(path, sizeof path, *state, "weights.h5");
    write_one(path);
    th_assert_ok(th_file_read(path, 1 << 20, &bytes, &size, &err), &err);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i += i + 60 < size ? 37 : 1) { // all of the last line
        char turned = (char)(bytes[i] ^ 4);
        assert_int_equal(pwrite(fd, &turned, 1, (off_t)i), 1);
        th_assert_error(th_reader_open(path, &reader, &err), TH_EDATA, &err, NULL);
        assert_int_equal(pwrite(fd, &bytes[i], 1, (off_t)i), 1);
    }
    th_assert_ok(th_reader_open(path, &reader, &err), &err);
    th_reader_close(reader);
    for (size_t cut = 1; cut < size; cut += size / 9) {
        assert_int_equal(ftruncate(fd, (off_t)(size - cut)), 0);
        th_assert_error(th_reader_open(path, &reader, &err), TH_EDATA, &err, "no hash at its end");
    }
    assert_int_equal(close(fd), 0);
    free(bytes);
    assert_int_equal(unlink(path), 0);
    th_assert_error(th_reader_open(path, &reader, &err), TH_EIO, &err, "could not open");
}

int main(void)
{
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)
    const struct CMUnitTest tests[] = { IN_FOLDER(weights_read_back), IN_FOLDER(it_is_an_hdf5_file),
                                        IN_FOLDER(a_turned_bit_is_refused) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
