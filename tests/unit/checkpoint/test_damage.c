// "Never one that loads and is wrong": every bit flipped, every truncation, in file and manifest.
#include "base/file.h"
#include "base/log.h"
#include "tests/unit/checkpoint/fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

// AddressSanitizer makes each try fifty times slower; there every 61st bit is flipped, so that all
// eight bits of a byte have their turn.
#ifdef TH_SANITIZE
#define BIT_STRIDE 61
#else
#define BIT_STRIDE 1
#endif

static const int64_t steps[] = { 10, 20 };

static void path_of(const fixture *f, const char *name, char out[PATH_MAX])
{
    assert_true(th_path_join(out, PATH_MAX, f->folder, name));
}

static int set_up(void **state)
{
    fixture *f = fixture_open(9);
    char     log[PATH_MAX];

    fixture_commit(f, 2, steps, 2);
    path_of(f, "log.txt", log);
    th_log_setup(TH_ALARM, -1); // a warning for each damage is expected, in the file alone
    *state = f;
    return th_log_file(log, NULL);
}

static int tear_down(void **state)
{
    fixture *f = *state;

    (void)th_log_file(NULL, NULL);
    fixture_close(f);
    return 0;
}

static void assert_newest_is(const fixture *f, int64_t step, const char *damage, size_t where)
{
    th_generation generation = { 0 };
    bool          found = false;
    th_err        err = { 0 };

    if (th_generations_newest_good(f->folder, &generation, &found, &err) != TH_OK || !found ||
        generation.step != step)
        fail_msg("%s at %zu: step %lld is used (%s)", damage, where, (long long)generation.step,
                 err.what);
}

// The log must say which generation is not used and why, once for each damage.
static void assert_log_has(const fixture *f, const char *text, size_t times)
{
    char   path[PATH_MAX], *log, *at;
    size_t size, count = 0;

    path_of(f, "log.txt", path);
    assert_int_equal(th_file_read(path, (size_t)1 << 30, &log, &size, NULL), TH_OK);
    for (at = log; (at = strstr(at, text)) != NULL; at++)
        count++;
    free(log);
    assert_int_equal(count, times);
}

static void open_damaged(const fixture *f)
{
    char       path[PATH_MAX];
    th_reader *reader = NULL;
    th_err     err = { 0 };

    path_of(f, "step-00000020.h5", path);
    assert_int_equal(th_reader_open(path, &reader, &err), TH_EDATA);
    assert_null(reader);
}

static void flip_every_bit(const fixture *f, const char *name, const char *reason)
{
    char        path[PATH_MAX];
    struct stat status;
    size_t      flips = 0;

    path_of(f, name, path);
    assert_int_equal(stat(path, &status), 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (size_t bit = 0; bit < 8 * (size_t)status.st_size; bit += BIT_STRIDE, flips++) {
        unsigned char byte, flipped;
        off_t         at = (off_t)(bit / 8);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        flipped = (unsigned char)(byte ^ 1u << bit % 8);
        assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
        assert_newest_is(f, 10, "bit", bit);
        if (flips % 997 == 0) // the reader goes the same way; a sample of it is enough
            open_damaged(f);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    assert_int_equal(close(fd), 0);
    assert_newest_is(f, 20, "nothing", 0);
    assert_log_has(f, "checkpoint step-00000020.h5 is not used: ", flips);
    assert_log_has(f, reason, flips);
}

static void every_bit_of_the_file_counts(void **state)
{
    flip_every_bit(*state, "step-00000020.h5", "\"step-00000020.h5\" is damaged: its hash is ");
}

static void every_bit_of_the_manifest_counts(void **state)
{
    flip_every_bit(*state, "step-00000020.json", "is damaged: its hash differs");
}

static void cut_every(const fixture *f, const char *name, size_t stride)
{
    char   path[PATH_MAX], *bytes;
    size_t size, cuts = 0;

    path_of(f, name, path);
    assert_int_equal(th_file_read(path, (size_t)1 << 30, &bytes, &size, NULL), TH_OK);
    for (size_t keep = 0; keep < size; keep += stride, cuts++) {
        assert_int_equal(truncate(path, (off_t)keep), 0);
        assert_newest_is(f, 10, "cut", keep);
        open_damaged(f);
        assert_int_equal(th_file_replace(path, bytes, size, NULL), TH_OK);
    }
    free(bytes);
    assert_newest_is(f, 20, "nothing", 0);
    assert_log_has(f, "checkpoint step-00000020.h5 is not used: ", cuts);
}

static void every_truncation_of_the_file_is_found(void **state)
{
    cut_every(*state, "step-00000020.h5", 512);
}

static void every_truncation_of_the_manifest_is_found(void **state)
{
    cut_every(*state, "step-00000020.json", 64);
}

static void bytes_behind_the_end_are_found(void **state)
{
    static const char *const names[] = { "step-00000020.h5", "step-00000020.json" };
    char                     path[PATH_MAX], *bytes;
    size_t                   size;

    for (int i = 0; i < 2; i++) {
        path_of(*state, names[i], path);
        assert_int_equal(th_file_read(path, (size_t)1 << 30, &bytes, &size, NULL), TH_OK);
        bytes[size] = ' '; // the zero that th_file_read puts there
        assert_int_equal(th_file_replace(path, bytes, size + 1, NULL), TH_OK);
        assert_newest_is(*state, 10, "longer", size);
        assert_int_equal(th_file_replace(path, bytes, size, NULL), TH_OK);
        assert_newest_is(*state, 20, "nothing", 0);
        free(bytes);
    }
}

static void missing_file_is_found(void **state)
{
    char          path[PATH_MAX];
    th_generation generation;
    bool          found;
    th_err        err = { 0 };

    path_of(*state, "step-00000020.h5", path);
    assert_int_equal(unlink(path), 0);
    assert_newest_is(*state, 10, "missing", 0);
    path_of(*state, "step-00000010.h5", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(
        th_generations_newest_good(((fixture *)*state)->folder, &generation, &found, &err),
        TH_EDATA);
    assert_non_null(strstr(err.what, "none of the 2 generations"));
}

static void empty_folder_has_no_generation(void **state)
{
    th_generation generation;
    bool          found = true;
    th_reader    *reader = NULL;

    (void)state;
    assert_int_equal(th_generations_newest_good("/nowhere/at/all", &generation, &found, NULL),
                     TH_OK);
    assert_false(found);
    assert_int_equal(th_reader_open_newest("/nowhere/at/all", &reader, NULL, NULL), TH_OK);
    assert_null(reader);
}

#define DAMAGE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DAMAGE(every_bit_of_the_file_counts),
        DAMAGE(every_bit_of_the_manifest_counts),
        DAMAGE(every_truncation_of_the_file_is_found),
        DAMAGE(every_truncation_of_the_manifest_is_found),
        DAMAGE(bytes_behind_the_end_are_found),
        DAMAGE(missing_file_is_found),
        cmocka_unit_test(empty_folder_has_no_generation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
