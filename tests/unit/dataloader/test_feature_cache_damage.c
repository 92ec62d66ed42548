// What becomes of a feature cache whose writer is killed, whose files are damaged, and whose disk
// is full: never a wrong row, and never an end of the process.
#include "feature_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

// --- killed ---

static _Noreturn void write_forever(const th_feature_cache_options *options, uint64_t first,
                                    int told)
{
    th_feature_cache *cache = NULL;

    if (th_feature_cache_open(options, &cache, NULL) != TH_OK)
        _exit(1);
    for (uint64_t i = first;; i += 10) {
        put_rows(cache, options->about.row_bytes, i, i + 10);
        th_feature_cache_flush(cache);
        if (i % 50 == 0) {
            th_feature_cache_wait(cache);
            uint64_t end = i + 10; // all before is on disk
            if (write(told, &end, sizeof end) != sizeof end)
                _exit(1);
        }
    }
}

// Returns the end of the rows that the child told of.
static uint64_t write_and_kill(const th_feature_cache_options *options, uint64_t first, long us)
{
    int      pipes[2], status;
    uint64_t end = first, told;

    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_return_code(child, 0);
    if (child == 0) {
        (void)close(pipes[0]);
        write_forever(options, first, pipes[1]);
    }
    assert_int_equal(close(pipes[1]), 0);
    assert_int_equal(read(pipes[0], &end, sizeof end), sizeof end);
    struct timespec time = { .tv_nsec = us * 1000 };
    (void)nanosleep(&time, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (read(pipes[0], &told, sizeof told) == sizeof told)
        end = told;
    assert_int_equal(close(pipes[0]), 0);
    return end;
}

static void killed_at_random_moments(void **state)
{
    th_feature_cache_options options = usual(*state);
    uint64_t                 next = 0;
    int                      in_the_middle = 0;
    th_rng                   rng;

    options.about.row_bytes = 200000; // so that a kill meets a segment half written
    th_rng_init(&rng, 5, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < 20; i++) {
        uint64_t end = write_and_kill(&options, next, (long)th_rng_below(&rng, 30000));
        in_the_middle += find_files(*state, ".tmp", NULL, 0);
        th_feature_cache *cache = open_cache(&options);
        assert_int_equal(find_files(*state, ".tmp", NULL, 0), 0);
        assert_int_equal(count_rows(cache, 200000, next, end), end - next);
        // What it did not tell of is there or not, whole.
        assert_true(count_rows(cache, 200000, end, end + 200) >= 0);
        th_feature_cache_report report = th_feature_cache_status(cache);
        assert_int_equal(report.damaged, 0);
        assert_int_equal(report.refused, 0);
        th_feature_cache_close(cache);
        next = end + 200 + (50 - (end + 200) % 50);
    }
    assert_in_range(in_the_middle, 1, 20); // none would mean a test of nothing
}

// The temporary file of a writer that lives is not a leftover.
static void live_files_stay(void **state)
{
    th_feature_cache_options options = usual(*state);
    char                     held[4096], left[4096];

    fill(&options, 0, 10);
    cache_path(held, sizeof held, *state, "rank-00003-abcdef.tmp");
    cache_path(left, sizeof left, *state, "rank-00003-ghijkl.tmp");
    int fd = open(held, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_return_code(fd, 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(close(open(left, O_RDWR | O_CREAT | O_CLOEXEC, 0644)), 0);
    th_feature_cache_close(open_cache(&options));
    assert_true(th_path_exists(held));
    assert_false(th_path_exists(left));
    assert_int_equal(close(fd), 0);
}

// --- damage ---

typedef struct {
    th_feature_cache_options options;
    char                     path[4096]; // of the only segment, which has 3 rows
    int                      fd;
    off_t                    bytes;
} victim;

static void victim_open(victim *v, const char *base)
{
    struct stat status;

    v->options = usual(base);
    fill(&v->options, 0, 3);
    v->options.writable = false;
    assert_int_equal(find_files(base, ".rows", v->path, sizeof v->path), 1);
    v->fd = open(v->path, O_RDWR | O_CLOEXEC);
    assert_return_code(v->fd, 0);
    assert_int_equal(fstat(v->fd, &status), 0);
    v->bytes = status.st_size;
    assert_int_equal(v->bytes, th_segment_bytes(WIDTH * FLOAT, 3));
}

// Opens the cache and counts the rows that are there; what is missing must have been reported.
static int64_t survey(const victim *v)
{
    th_feature_cache *cache = open_cache(&v->options);
    int64_t           count = COUNT(cache, 0, 3);

    th_feature_cache_report report = th_feature_cache_status(cache);
    assert_int_equal(report.refused * 3 + report.damaged, 3 - count);
    assert_int_equal(report.rows, count);
    th_feature_cache_close(cache);
    return count;
}

static void every_flipped_bit_is_seen(void **state)
{
    victim v;
    off_t  rows = (off_t)(TH_SEGMENT_HEAD + 3 * sizeof(th_feature_key));

    victim_open(&v, *state);
    assert_int_equal(survey(&v), 3);
    for (off_t bit = 0; bit < v.bytes * 8; bit++) {
        unsigned char byte, flipped;
        assert_int_equal(pread(v.fd, &byte, 1, bit / 8), 1);
        flipped = byte ^ (unsigned char)(1 << bit % 8);
        assert_int_equal(pwrite(v.fd, &flipped, 1, bit / 8), 1);
        assert_int_equal(survey(&v), bit / 8 < rows ? 0 : 2);
        assert_int_equal(pwrite(v.fd, &byte, 1, bit / 8), 1);
    }
    assert_int_equal(survey(&v), 3);
    assert_int_equal(close(v.fd), 0);
}

static void other_sizes_are_refused(void **state)
{
    victim v;

    victim_open(&v, *state);
    assert_int_equal(ftruncate(v.fd, v.bytes + 1), 0);
    assert_int_equal(survey(&v), 0);
    for (off_t size = v.bytes - 1; size >= 0; size--) {
        assert_int_equal(ftruncate(v.fd, size), 0);
        assert_int_equal(survey(&v), 0);
    }
    assert_int_equal(close(v.fd), 0);
}

// Two rows that have changed places hold, each for itself; but they are not those of their keys.
static void swapped_rows_are_seen(void **state)
{
    enum { BYTES = WIDTH * FLOAT + TH_ROW_TRAILER };
    victim        v;
    unsigned char rows[2][BYTES];

    victim_open(&v, *state);
    assert_int_equal(pread(v.fd, rows, sizeof rows, v.bytes - 2 * BYTES), sizeof rows);
    assert_int_equal(pwrite(v.fd, rows[1], BYTES, v.bytes - 2 * BYTES), BYTES);
    assert_int_equal(pwrite(v.fd, rows[0], BYTES, v.bytes - BYTES), BYTES);
    assert_int_equal(survey(&v), 1);
    assert_int_equal(close(v.fd), 0);
}

// Damaged and cut while it is open: rows are forgotten one by one, and may be put again.
static void damage_after_open_is_recomputed(void **state)
{
    victim v;

    victim_open(&v, *state);
    v.options.writable = true;
    th_feature_cache *cache = open_cache(&v.options);
    assert_int_equal(COUNT(cache, 0, 3), 3);
    assert_int_equal(pwrite(v.fd, "?", 1, v.bytes - 20), 1);
    assert_int_equal(COUNT(cache, 0, 3), 2);
    assert_int_equal(COUNT(cache, 0, 3), 2);
    assert_int_equal(th_feature_cache_status(cache).damaged, 1);
    put_rows(cache, WIDTH * FLOAT, 0, 3);
    assert_int_equal(COUNT(cache, 0, 3), 3);
    th_feature_cache_flush(cache);
    th_feature_cache_wait(cache);
    assert_int_equal(ftruncate(v.fd, 100), 0);
    assert_int_equal(COUNT(cache, 0, 3), 1); // the one in the new segment
    put_rows(cache, WIDTH * FLOAT, 0, 3);
    assert_int_equal(COUNT(cache, 0, 3), 3);
    assert_int_equal(th_feature_cache_status(cache).damaged, 3);
    th_feature_cache_close(cache);
    // The old file is still there, and refused; the new ones have all of it.
    cache = open_cache(&v.options);
    assert_int_equal(COUNT(cache, 0, 3), 3);
    assert_int_equal(th_feature_cache_status(cache).refused, 1);
    th_feature_cache_close(cache);
    assert_int_equal(close(v.fd), 0);
}

// A good copy in another segment is found behind a damaged one.
static void second_copy_is_found(void **state)
{
    th_feature_cache_options options = usual(*state);
    th_feature_cache        *first = open_cache(&options);
    char                     path[4096];

    put_rows(first, WIDTH * FLOAT, 0, 50);
    options.rank = 1;
    fill(&options, 0, 50); // has not seen those rows: they were in the other's buffer
    th_feature_cache_close(first);
    assert_int_equal(find_files(*state, ".rows", path, sizeof path), 2);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_return_code(fd, 0);
    for (int i = 0; i < 50; i += 2)
        assert_int_equal(
            pwrite(fd, "?", 1, (off_t)th_segment_bytes(WIDTH * FLOAT, 50) - 20 - i * 104), 1);
    assert_int_equal(close(fd), 0);
    th_feature_cache *cache = open_cache(&options);
    assert_int_equal(th_feature_cache_status(cache).rows, 100);
    assert_int_equal(COUNT(cache, 0, 50), 50);
    th_feature_cache_close(cache);
}

// A segment of another cache, under a name of its own or under that of ours.
static void foreign_segments_are_refused(void **state)
{
    th_feature_cache_options options = usual(*state), other = usual(*state);
    char                     path[4096], from[4096], name[64];

    fill(&options, 0, 3);
    assert_int_equal(find_files(*state, ".rows", from, sizeof from), 1);
    (void)snprintf(name, sizeof name, "%s", strrchr(from, '/') + 1);
    other.key = 1;
    fill(&other, 0, 3);
    assert_true(snprintf(path, sizeof path, "%s/0000000000000001/%s", (char *)*state, name) < 4096);
    assert_int_equal(link(from, path), 0);
    th_feature_cache *cache = open_cache(&other);
    assert_int_equal(th_feature_cache_status(cache).refused, 1);
    assert_int_equal(COUNT(cache, 0, 3), 3);
    th_feature_cache_close(cache);
    name[5] = '1';
    name[12] = name[12] == 'a' ? 'b' : 'a';
    cache_path(path, sizeof path, *state, name);
    assert_int_equal(link(from, path), 0);
    cache_path(path, sizeof path, *state, "rank-00000-0000000000000000.rows");
    assert_int_equal(mkfifo(path, 0600), 0); // is not waited for
    cache = open_cache(&options);
    assert_int_equal(th_feature_cache_status(cache).refused, 2);
    th_feature_cache_close(cache);
}

// --- full ---

// Puts and flushes pieces of 100 rows until writing goes off; the number of warnings shows in the
// log. All that was published must be there afterwards, and nothing else.
static int fill_up(th_feature_cache *cache)
{
    uint64_t end = 0;

    while (th_feature_cache_status(cache).writing && end < 100000) {
        put_rows(cache, WIDTH * FLOAT, end, end + 100);
        th_feature_cache_flush(cache);
        th_feature_cache_wait(cache);
        end += 100;
    }
    int64_t segments = th_feature_cache_status(cache).segments;
    put_rows(cache, WIDTH * FLOAT, end, end + 100000); // more than anything holds
    th_feature_cache_flush(cache);
    th_feature_cache_wait(cache);
    th_feature_cache_report report = th_feature_cache_status(cache);
    return end < 100000 && report.segments == segments && report.rows == segments * 100 &&
           COUNT(cache, 0, end + 100000) == report.rows;
}

static int count_lines(const char *path, const char *words)
{
    char  *text = NULL;
    size_t size;
    int    count = 0;

    if (th_file_read(path, 1 << 20, &text, &size, NULL) != TH_OK)
        return -1;
    for (const char *at = text; (at = strstr(at, words)); at++)
        count++;
    free(text);
    return count;
}

static void budget_is_kept(void **state)
{
    th_feature_cache_options options = usual(*state);
    char                     log[4096], path[4096];
    th_err                   err = { 0 };
    th_feature_cache_entry  *list = NULL;
    int                      count = 0;

    options.budget_bytes = 100000; // segments of 12048 bytes, and about.json
    th_test_path(log, sizeof log, *state, "log.txt");
    th_assert_ok(th_log_file(log, &err), &err);
    th_feature_cache *cache = open_cache(&options);
    cache_path(path, sizeof path, *state, "rank-00009-others.tmp"); // counts, whoever wrote it
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_return_code(fd, 0);
    assert_int_equal(ftruncate(fd, 30000), 0);
    assert_true(fill_up(cache));
    th_feature_cache_report report = th_feature_cache_status(cache);
    assert_int_equal(report.segments, 5);
    th_feature_cache_close(cache);
    th_assert_ok(th_log_file(NULL, &err), &err);
    assert_int_equal(count_lines(log, "grows no further"), 1);
    assert_int_equal(count_lines(log, "budget of feature cache"), 1);
    assert_int_equal(close(fd), 0);
    th_assert_ok(th_feature_cache_list(*state, &list, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_in_range(list[0].bytes, 90000, 100000);
    free(list);
    assert_int_equal(find_files(*state, ".tmp", NULL, 0), 1);
}

// A disk that is full, played by a limit on the size of files: a small one is written, then a large
// one cannot be.
static int meet_limit(const th_feature_cache_options *options)
{
    struct rlimit     limit = { 20000, 20000 };
    th_feature_cache *cache = NULL;

    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        th_feature_cache_open(options, &cache, NULL) != TH_OK)
        return 1;
    put_rows(cache, WIDTH * FLOAT, 0, 100);
    th_feature_cache_flush(cache);
    th_feature_cache_wait(cache);
    put_rows(cache, WIDTH * FLOAT, 100, 500);
    th_feature_cache_flush(cache);
    th_feature_cache_wait(cache);
    if (th_feature_cache_status(cache).writing || COUNT(cache, 0, 500) != 100)
        return 2;
    put_rows(cache, WIDTH * FLOAT, 100, 110);
    int64_t count = COUNT(cache, 0, 500);
    th_feature_cache_close(cache);
    return count == 100 ? 0 : 3;
}

// And by a small file system, which only this child sees: it ends with it. 77 where this process
// may not mount one.
static int meet_full_disk(const th_feature_cache_options *options)
{
    th_feature_cache *cache = NULL;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", options->base, "tmpfs", 0, "size=200k") != 0)
        return 77;
    if (th_feature_cache_open(options, &cache, NULL) != TH_OK)
        return 1;
    int good = fill_up(cache);
    th_feature_cache_close(cache);
    return good && find_files(options->base, ".tmp", NULL, 0) == 0 ? 0 : 2;
}

static void full_disk_turns_writing_off(void **state)
{
    th_feature_cache_options options = usual(*state);
    char                     path[4096];

    assert_int_equal(in_child(meet_limit, &options), 0);
    assert_int_equal(find_files(*state, ".tmp", NULL, 0), 0);
    assert_int_equal(find_files(*state, ".rows", NULL, 0), 1);

    th_test_path(path, sizeof path, *state, "small");
    assert_int_equal(mkdir(path, 0755), 0);
    options.base = path;
    int result = in_child(meet_full_disk, &options);
    if (result == 77)
        print_message("no right to mount: a full tmpfs is not tried\n");
    else
        assert_int_equal(result, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(killed_at_random_moments),
        IN_FOLDER(live_files_stay),
        IN_FOLDER(every_flipped_bit_is_seen),
        IN_FOLDER(other_sizes_are_refused),
        IN_FOLDER(swapped_rows_are_seen),
        IN_FOLDER(damage_after_open_is_recomputed),
        IN_FOLDER(second_copy_is_found),
        IN_FOLDER(foreign_segments_are_refused),
        IN_FOLDER(budget_is_kept),
        IN_FOLDER(full_disk_turns_writing_off),
    };

    th_log_setup(TH_ALARM, -1); // each damage is a warning
    return cmocka_run_group_tests(tests, NULL, NULL);
}
