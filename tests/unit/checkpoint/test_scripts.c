// What tests/fault/checkpoint_*.sh run, each in a folder that the script prepared and names in the
// environment. Without it a test is skipped: it needs a small disk, or someone to read the file.
#include "base/file.h"
#include "base/log.h"
#include "checkpoint/layout.h"
#include "tests/unit/checkpoint/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

#define ROWS 15000 // 1.3 MB of state

static const char *folder_for(const char *variable, const char *script)
{
    const char *folder = getenv(variable);

    if (!folder) {
        print_message("SKIPPED: tests/fault/%s runs this\n", script);
        skip();
    }
    return folder;
}

static fixture *open_in(const char *folder)
{
    fixture *f = fixture_open(ROWS);

    assert_int_equal(rmdir(f->folder), 0);
    (void)snprintf(f->folder, sizeof f->folder, "%s/ckpt", folder);
    return f;
}

// Fills the disk of the folder up to `leave` bytes.
static void fill_disk(const char *folder, size_t leave)
{
    static const char zeros[4096];
    char              path[PATH_MAX];
    struct statvfs    disk;

    assert_true(th_path_join(path, sizeof path, folder, "ballast"));
    (void)unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_true(fd >= 0 && statvfs(folder, &disk) == 0);
    size_t free_bytes = disk.f_bavail * disk.f_bsize;
    while (free_bytes > leave && write(fd, zeros, sizeof zeros) == sizeof zeros)
        free_bytes -= sizeof zeros;
    assert_int_equal(close(fd), 0);
}

static void empty_disk(const char *folder)
{
    char path[PATH_MAX];

    assert_true(th_path_join(path, sizeof path, folder, "ballast"));
    assert_int_equal(unlink(path), 0);
}

static int open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int  count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    assert_int_equal(closedir(directory), 0);
    return count;
}

static void check_newest(fixture *f, int64_t step)
{
    th_reader *reader = NULL;

    assert_int_equal(th_reader_open_newest(f->folder, &reader, NULL, NULL), TH_OK);
    assert_non_null(reader);
    assert_int_equal(th_reader_state(reader)->step, step);
    fixture_check(f, reader);
    th_reader_close(reader);
}

static void full_disk(void **state)
{
    static const size_t left[] = { 0, 4096, 65536, 1 << 20 };
    const char         *disk = folder_for("TH_TEST_SMALL_DISK", "checkpoint_full_disk.sh");
    fixture            *f = open_in(disk);
    th_writer_options   options = { .folder = f->folder, .keep = 2 };
    th_writer          *writer = NULL;
    th_err              err = { 0 };
    int64_t             step = 1;

    (void)state;
    assert_int_equal(th_writer_open(&options, &f->snapshot, &writer, &err), TH_OK);
    assert_int_equal(th_writer_save(writer, &f->snapshot, &err), TH_OK);
    assert_int_equal(th_writer_wait(writer, &err), TH_OK);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        fill_disk(disk, left[i]);
        fixture_fill(f, ++step);
        assert_int_equal(th_writer_save(writer, &f->snapshot, &err), TH_OK); // training goes on
        assert_int_equal(th_writer_wait(writer, &err), TH_EIO);
        assert_non_null(strstr(err.what, "No space left on device"));
        assert_int_equal(th_writer_status(writer).failures, i + 1);
        check_newest(f, 1); // the old generation stands
    }
    empty_disk(disk);
    fixture_fill(f, ++step);
    assert_int_equal(th_writer_save(writer, &f->snapshot, &err), TH_OK);
    if (th_writer_wait(writer, &err) != TH_OK)
        fail_msg("with space again: %s (%s)", err.what, err.trail);
    check_newest(f, step);
    th_writer_close(writer);
    fixture_close(f);
}

// On a file system that cannot reserve space HDF5 itself meets the full disk. It must let go of the
// file, and the next one must be right although it often gets the inode of the one before.
static void full_disk_inside_hdf5(void **state)
{
    static const size_t left[] = { 0, 4096, 65536, 1 << 20 };
    const char         *disk = folder_for("TH_TEST_SMALL_DISK", "checkpoint_full_disk.sh");
    fixture            *f = open_in(disk);
    char                path[PATH_MAX];
    th_tensor_hash      hashes[TH_PARTS * FIXTURE_PARAMETERS];
    int                 count, files = open_files();
    uint64_t            hash;
    th_err              err = { 0 };

    (void)state;
    assert_true(th_path_join(path, sizeof path, disk, "layout.h5"));
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        fill_disk(disk, left[i]);
        for (int again = 0; again < 3; again++) {
            assert_int_equal(th_layout_write(path, &f->snapshot, 1, hashes, &count, &err), TH_EIO);
            assert_non_null(strstr(err.what, "No space left on device"));
            assert_true(unlink(path) == 0 || errno == ENOENT);
        }
        empty_disk(disk);
        if (th_layout_write(path, &f->snapshot, 1, hashes, &count, &err) != TH_OK)
            fail_msg("with space again: %s", err.what);
        for (int t = 0; t < count; t++) {
            assert_int_equal(th_layout_hash_by_hdf5(path, hashes[t].path, &hash, &err), TH_OK);
            assert_int_equal(hash, hashes[t].hash);
        }
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(open_files(), files);
    fixture_close(f);
}

static void example_for_others(void **state)
{
    const char *folder = folder_for("TH_TEST_EXAMPLE", "checkpoint_h5py.sh");
    fixture    *f = open_in(folder);
    char        kept[PATH_MAX];

    (void)state;
    fixture_commit(f, 2, (int64_t[]){ 1200 }, 1);
    assert_true(th_path_join(kept, sizeof kept, folder, "example"));
    assert_int_equal(rename(f->folder, kept), 0); // the script removes it
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_disk),
        cmocka_unit_test(full_disk_inside_hdf5),
        cmocka_unit_test(example_for_others),
    };

    th_log_setup(TH_ALARM, -1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
