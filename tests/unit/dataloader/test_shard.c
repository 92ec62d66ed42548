#include "base/file.h"
#include "base/hash.h"
#include "base/philox.h"
#include "dataloader/shard.h"
#include "dataloader/shard_page.h"
#include "dataloader/shard_tree.h"
#include "record_fixture.h"

#include <endian.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// Sets of records. A record of 2 x 2 pixels fits a page many times over; one of 40 x 40 has pages
// of its own; the mixed set has both, and single pages.
typedef struct {
    int64_t records;
    int     side, captions;
    _Bool   mixed;
} set;

static void make(const set *s, int64_t i, fixture *out)
{
    int side = s->mixed ? 2 + (int)(i * 7 % 45) : s->side;

    fixture_make(out, i, side, side, s->captions);
}

static void write_shard(const char *path, const set *s, uint64_t *out_bytes, uint64_t *out_hash)
{
    th_shard_writer *writer = NULL;
    th_err           err = { 0 };
    int64_t          records = 0;

    th_assert_ok(th_shard_create(path, &writer, &err), &err);
    for (int64_t i = 0; i < s->records; i++) {
        fixture f;
        make(s, i, &f);
        th_assert_ok(th_shard_append(writer, &f.record, &err), &err);
        fixture_free(&f);
    }
    th_assert_ok(th_shard_commit(writer, &records, out_bytes, out_hash, &err), &err);
    th_shard_writer_close(writer);
    assert_int_equal(records, s->records);
}

// Whether the shard gives record i as it was written. A code other than TH_OK is TH_EDATA.
static th_code read_record(th_shard *shard, const set *s, int64_t i, th_record_scratch *buffer,
                           th_record_scratch *scratch)
{
    fixture   f;
    th_record got;
    size_t    size = 0;
    th_code   rc = th_shard_copy(shard, i, buffer, &size, NULL);

    if (rc == TH_OK)
        rc = th_record_read(buffer->bytes, size, scratch, &got, NULL);
    if (rc == TH_OK) {
        make(s, i, &f);
        assert_int_equal(size, th_record_size(&f.record));
        unsigned char *want = malloc(size);
        assert_non_null(want);
        th_record_write(&f.record, want);
        assert_memory_equal(buffer->bytes, want, size);
        free(want);
        fixture_free(&f);
    } else {
        assert_int_equal(rc, TH_EDATA);
    }
    return rc;
}

static void assert_whole(const char *path, const set *s)
{
    th_shard         *shard = NULL;
    th_err            err = { 0 };
    th_record_scratch buffer = { 0 }, scratch = { 0 };
    size_t            size;

    th_assert_ok(th_shard_open(path, &shard, &err), &err);
    assert_int_equal(th_shard_records(shard), s->records);
    for (int64_t i = s->records - 1; i >= 0; i--) // backwards: nothing depends on the order
        assert_int_equal(read_record(shard, s, i, &buffer, &scratch), TH_OK);
    th_assert_error(th_shard_copy(shard, -1, &buffer, &size, &err), TH_EDATA, &err, "record -1");
    th_assert_error(th_shard_copy(shard, s->records, &buffer, &size, &err), TH_EDATA, &err,
                    "is not in shard");
    th_shard_close(shard);
    free(buffer.bytes);
    free(scratch.bytes);
}

static const set sets[] = {
    { .records = 0 },
    { .records = 1, .side = 2, .captions = 1 },
    { .records = 1, .side = 400, .captions = 2 },
    { .records = 3, .side = 40, .captions = 8 },
    { .records = 700, .captions = 3, .mixed = true },
    { .records = 40000, .side = 2, .captions = 1 }, // three levels of pages
    { .records = 400, .side = 256, .captions = 1 }, // 79 MB
};

static void reads_back(void **state)
{
    char     path[4096];
    uint64_t bytes, hash;

    for (int i = 0; i < (int)(sizeof sets / sizeof *sets); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "set-%05d.lmdb", i);
        th_test_path(path, sizeof path, *state, name);
        write_shard(path, &sets[i], &bytes, &hash);
        assert_whole(path, &sets[i]);

        uint64_t    file_hash, file_bytes;
        th_err      err = { 0 };
        char        other[4200];
        const char *left[] = { ".tmp", "-lock" };
        th_assert_ok(th_hash_file(path, &file_hash, &file_bytes, &err), &err);
        assert_int_equal(file_hash, hash);
        assert_int_equal(file_bytes, bytes);
        for (int k = 0; k < 2; k++) {
            (void)snprintf(other, sizeof other, "%s%s", path, left[k]);
            assert_false(th_path_exists(other));
        }
    }
}

// --- the slow twin: LMDB writes the same records, and compacts ---

#define PAGE 4096

static void write_by_lmdb(const char *path, const char *compacted, const set *s)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi  dbi;

    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, (size_t)256 << 20), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0644), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    for (int64_t i = 0; i < s->records; i++) {
        fixture  f;
        uint64_t number = htobe64((uint64_t)i);
        make(s, i, &f);
        MDB_val key = { sizeof number, &number }, value = { th_record_size(&f.record), NULL };
        assert_int_equal(mdb_put(txn, dbi, &key, &value, MDB_APPEND | MDB_RESERVE), 0);
        th_record_write(&f.record, value.mv_data);
        fixture_free(&f);
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_int_equal(mdb_env_copy2(env, compacted, MDB_CP_COMPACT), 0);
    mdb_env_close(env);
}

static unsigned char *read_file(const char *path, size_t *out_size)
{
    char  *bytes;
    th_err err = { 0 };

    th_assert_ok(th_file_read(path, (size_t)1 << 30, &bytes, out_size, &err), &err);
    return (unsigned char *)bytes;
}

// Every page but the metas holds the same; LMDB leaves dirt where nothing stands.
static void same_pages(const unsigned char *ours, const unsigned char *theirs, size_t size,
                       const set *s)
{
    int64_t record = 0; // the next one that has pages of its own

    for (size_t at = 2 * PAGE; at < size;) {
        th_shard_page head, other;
        unsigned char a[PAGE], b[PAGE];
        memcpy(&head, ours + at, sizeof head);
        memcpy(&other, theirs + at, sizeof other);
        assert_int_equal(head.flags, other.flags);
        assert_true(head.number == at / PAGE && other.number == head.number);
        if (head.flags != TH_PAGE_OVERFLOW) {
            th_page_canonical(ours + at, PAGE, head.flags, a);
            th_page_canonical(theirs + at, PAGE, head.flags, b);
            assert_memory_equal(a, b, PAGE);
            at += PAGE;
            continue;
        }
        size_t bytes = 0;
        while (bytes < PAGE / 2) { // those below stand in their leaf, as no record is just at it
            fixture f;
            make(s, record++, &f);
            bytes = th_record_size(&f.record);
            fixture_free(&f);
        }
        assert_int_equal(head.overflow_pages, other.overflow_pages);
        assert_memory_equal(ours + at + TH_PAGE_HEAD, theirs + at + TH_PAGE_HEAD, bytes);
        at += head.overflow_pages * (size_t)PAGE;
    }
}

static void lmdb_writes_the_same(void **state)
{
    char     ours[4096], theirs[4096], compacted[4096];
    uint64_t bytes, hash;

    if (sysconf(_SC_PAGESIZE) != PAGE)
        skip(); // LMDB takes the machine's
    for (int i = 0; i < (int)(sizeof sets / sizeof *sets); i++) {
        char     name[32];
        MDB_env *env;
        MDB_stat stat, other;
        (void)snprintf(name, sizeof name, "%d.lmdb", i);
        th_test_path(ours, sizeof ours, *state, name);
        (void)snprintf(name, sizeof name, "%d.lmdb.twin", i);
        th_test_path(theirs, sizeof theirs, *state, name);
        (void)snprintf(name, sizeof name, "%d.lmdb.compact", i);
        th_test_path(compacted, sizeof compacted, *state, name);
        write_shard(ours, &sets[i], &bytes, &hash);
        write_by_lmdb(theirs, compacted, &sets[i]);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(mdb_env_create(&env), 0);
            assert_int_equal(
                mdb_env_open(env, k ? compacted : ours, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0),
                0);
            assert_int_equal(mdb_env_stat(env, k ? &other : &stat), 0);
            mdb_env_close(env);
        }
        assert_int_equal(stat.ms_entries, other.ms_entries);
        assert_int_equal(stat.ms_depth, other.ms_depth);
        assert_int_equal(stat.ms_leaf_pages, other.ms_leaf_pages);
        assert_int_equal(stat.ms_overflow_pages, other.ms_overflow_pages);
        if (stat.ms_branch_pages > 1)
            continue; // LMDB has split one in halves, which we need not
        assert_int_equal(stat.ms_branch_pages, other.ms_branch_pages);
        size_t         size, other_size;
        unsigned char *a = read_file(ours, &size), *b = read_file(compacted, &other_size);
        assert_int_equal(size, other_size);
        same_pages(a, b, size, &sets[i]);
        free(a);
        free(b);
    }
}

// As many leaves as make the last branches of each level full, one more, two more: no branch may
// have one child alone.
static void branches_have_children(void **state)
{
    enum { LEAVES = TH_PAGE_CHILDREN(PAGE) };
    char              path[4096];
    th_record_scratch buffer = { 0 };

    th_test_path(path, sizeof path, *state, "a.lmdb");
    for (int64_t leaves = LEAVES; leaves <= 2 * LEAVES + 2; leaves++) {
        static unsigned char value[1900]; // two fill a leaf
        th_shard_writer     *writer = NULL;
        th_shard            *shard;
        th_err               err = { 0 };
        int64_t              records;
        uint64_t             bytes, hash;
        size_t               size;
        if (leaves == LEAVES + 3)
            leaves = 2 * LEAVES;
        th_assert_ok(th_shard_create(path, &writer, &err), &err);
        for (int64_t i = 0; i < 2 * leaves - 1; i++) {
            memcpy(value, &i, sizeof i);
            th_assert_ok(th_shard_append_bytes(writer, value, sizeof value, &err), &err);
        }
        th_assert_ok(th_shard_commit(writer, &records, &bytes, &hash, &err), &err);
        th_shard_writer_close(writer);
        th_assert_ok(th_shard_open(path, &shard, &err), &err);
        for (int64_t i = 0; i < records; i++) {
            th_assert_ok(th_shard_copy(shard, i, &buffer, &size, &err), &err);
            assert_int_equal(size, sizeof value);
            assert_memory_equal(buffer.bytes, &i, sizeof i);
        }
        th_shard_close(shard);
    }
    free(buffer.bytes);
}

// A writer that is killed in the middle leaves its files behind.
static void abandon_shard(const char *path, int64_t records)
{
    pid_t child = fork();

    assert_return_code(child, 0);
    if (child == 0) {
        th_shard_writer *writer = NULL;
        fixture          f;
        fixture_make(&f, 1, 30, 30, 8);
        _Bool good = th_shard_create(path, &writer, NULL) == TH_OK;
        for (int64_t i = 0; good && i < records; i++)
            good = th_shard_append(writer, &f.record, NULL) == TH_OK;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void same_records_same_bytes(void **state)
{
    char     first[4096], second[4096], left[4200];
    uint64_t bytes[2], hash[2];

    th_test_path(first, sizeof first, *state, "a.lmdb");
    th_test_path(second, sizeof second, *state, "b.lmdb");
    (void)snprintf(left, sizeof left, "%s.tmp", second);
    for (int i = 0; i < (int)(sizeof sets / sizeof *sets); i++) {
        write_shard(first, &sets[i], &bytes[0], &hash[0]);
        // Memory that is not zero, so that what nobody has written would show.
        void *dirt[64];
        for (int k = 0; k < 64; k++) {
            assert_non_null(dirt[k] = malloc((size_t)4096 << (k % 6)));
            memset(dirt[k], 0xA5, (size_t)4096 << (k % 6));
        }
        for (int k = 0; k < 64; k++)
            free(dirt[k]);
        abandon_shard(second, 20000); // more than a batch: some of it is in the file
        assert_true(th_path_exists(left));
        write_shard(second, &sets[i], &bytes[1], &hash[1]);
        assert_false(th_path_exists(left));
        assert_int_equal(bytes[0], bytes[1]);
        assert_int_equal(hash[0], hash[1]);
    }
}

static void unused_bytes_are_zero(void **state)
{
    static const set           s = { .records = 25000, .side = 32, .captions = 1 }; // 78 MB
    static const unsigned char zeros[TH_SHARD_PAGE];
    char                       path[4096];
    th_shard_tree              tree = { 0 };
    th_err                     err = { 0 };
    uint64_t                   bytes, hash;
    unsigned char              unused[TH_SHARD_PAGE];

    th_test_path(path, sizeof path, *state, "a.lmdb");
    write_shard(path, &s, &bytes, &hash);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_return_code(fd, 0);
    th_assert_ok(th_shard_tree_open(fd, path, 1, &tree, &err), &err);
    th_shard_value *values = calloc(TH_SHARD_PAGE, sizeof *values);
    assert_non_null(values);
    for (uint64_t k = 0; k < tree.leaf_count; k++) {
        uint64_t next = k + 1 < tree.leaf_count ? tree.leaves[k + 1].first : tree.records;
        th_assert_ok(th_shard_tree_check_leaf(&tree, fd, path, k, 1, values, &err), &err);
        for (uint64_t i = 0; i < next - tree.leaves[k].first; i++) {
            uint64_t end = values[i].offset + values[i].bytes;
            size_t   rest = (size_t)(-end % tree.page_bytes);
            assert_true(values[i].overflow_page > 0 && rest > 0);
            assert_int_equal(pread(fd, unused, rest, (off_t)end), (int64_t)rest);
            assert_memory_equal(unused, zeros, rest);
        }
    }
    free(values);
    th_shard_tree_close(&tree);
    (void)close(fd);
}

// --- damage: looked at in a child process, as the worst that can happen is a signal ---

// False when a record is neither refused nor what it was. *out_refused counts refusals.
static _Bool survey(const char *path, const set *s, const unsigned char *const *wanted,
                    const size_t *sizes, int64_t *out_refused)
{
    th_shard         *shard = NULL;
    th_record_scratch buffer = { 0 }, scratch = { 0 };
    th_record         got;
    size_t            size = 0;
    _Bool             good = 1;
    th_code           rc = th_shard_open(path, &shard, NULL);

    if (rc != TH_OK) {
        ++*out_refused;
        return rc == TH_EDATA;
    }
    if (th_shard_records(shard) != s->records)
        good = 0;
    for (int64_t i = 0; good && i < s->records; i++) {
        rc = th_shard_copy(shard, i, &buffer, &size, NULL);
        if (rc == TH_OK)
            rc = th_record_read(buffer.bytes, size, &scratch, &got, NULL);
        if (rc == TH_OK)
            good = size == sizes[i] && memcmp(buffer.bytes, wanted[i], size) == 0;
        else
            good = rc == TH_EDATA;
        if (rc != TH_OK)
            ++*out_refused;
    }
    th_shard_close(shard);
    free(buffer.bytes);
    free(scratch.bytes);
    return good;
}

typedef struct {
    const char     *path;
    const set      *s;
    int             fd;
    off_t           bytes;
    th_shard_tree   tree;
    unsigned char **wanted;
    size_t         *sizes;
} victim;

static void victim_open(victim *v, const char *path, const set *s)
{
    struct stat status;
    uint64_t    bytes, hash;
    th_err      err = { 0 };

    write_shard(path, s, &bytes, &hash);
    *v = (victim){ .path = path, .s = s, .fd = open(path, O_RDWR | O_CLOEXEC) };
    assert_return_code(v->fd, 0);
    assert_int_equal(fstat(v->fd, &status), 0);
    v->bytes = status.st_size;
    th_assert_ok(th_shard_tree_open(v->fd, path, 1, &v->tree, &err), &err);
    assert_non_null(v->wanted = calloc((size_t)s->records, sizeof *v->wanted));
    assert_non_null(v->sizes = calloc((size_t)s->records, sizeof *v->sizes));
    for (int64_t i = 0; i < s->records; i++) {
        fixture f;
        make(s, i, &f);
        v->sizes[i] = th_record_size(&f.record);
        assert_non_null(v->wanted[i] = malloc(v->sizes[i]));
        th_record_write(&f.record, v->wanted[i]);
        fixture_free(&f);
    }
}

static void victim_close(victim *v)
{
    for (int64_t i = 0; i < v->s->records; i++)
        free(v->wanted[i]);
    free(v->wanted);
    free(v->sizes);
    th_shard_tree_close(&v->tree);
    (void)close(v->fd);
}

// Runs `harm` in a child; it returns 0 when all went as it should, else a number that tells where.
static void in_child(int (*harm)(const victim *), const victim *v)
{
    pid_t child = fork();

    assert_return_code(child, 0);
    if (child == 0)
        _exit(harm(v) ? 1 : 0);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    assert_int_equal(status, 0);
}

#define SURVEY(v, refused)                                                                         \
    survey((v)->path, (v)->s, (const unsigned char *const *)(v)->wanted, (v)->sizes, (refused))

// Flips each bit of bytes [begin, end) that `every` divides. With `seen`, each flip must be refused
// somewhere: at open or at a record.
static int flip_bits(const victim *v, uint64_t begin, uint64_t end, uint64_t every, _Bool seen)
{
    for (uint64_t bit = begin * 8; bit < end * 8; bit += every) {
        unsigned char byte, flipped;
        int64_t       refused = 0;
        if (pread(v->fd, &byte, 1, (off_t)(bit / 8)) != 1)
            return 1;
        flipped = byte ^ (unsigned char)(1 << bit % 8);
        if (pwrite(v->fd, &flipped, 1, (off_t)(bit / 8)) != 1)
            return 1;
        _Bool good = SURVEY(v, &refused);
        if (pwrite(v->fd, &byte, 1, (off_t)(bit / 8)) != 1)
            return 1;
        if (!good || (seen && refused == 0)) {
            (void)fprintf(stderr, "bit %d of byte %llu: %s\n", (int)(bit % 8),
                          (unsigned long long)(bit / 8), good ? "not seen" : "wrong record");
            return 1;
        }
    }
    return 0;
}

// Pages of the tree: every bit. Values: a sample; of those the unused bytes behind a value and the
// header of its pages are seen by nobody but th_pack_verify.
static int flip_all(const victim *v)
{
    size_t page = v->tree.page_bytes;

    if (flip_bits(v, 0, 2 * page, 1, 1))
        return 1;
    for (uint64_t i = 0; i < v->tree.branch_count; i++)
        if (flip_bits(v, v->tree.branches[i].page * page, (v->tree.branches[i].page + 1) * page, 1,
                      1))
            return 1;
    for (uint64_t i = 0; i < v->tree.leaf_count; i += v->tree.leaf_count)
        if (flip_bits(v, v->tree.leaves[i].page * page, (v->tree.leaves[i].page + 1) * page, 1, 1))
            return 1;
    return flip_bits(v, 2 * page, (uint64_t)v->bytes, 997, 0);
}

static void flipped_bits_never_crash(void **state)
{
    static const set small[] = {
        { .records = 5, .captions = 2, .mixed = true }, // one leaf
        { .records = 50, .side = 2, .captions = 1 },    // two leaves and a branch
        { .records = 3, .side = 40, .captions = 1 },    // values on pages of their own
    };
    char path[4096];

    th_test_path(path, sizeof path, *state, "victim.lmdb");
    for (int i = 0; i < (int)(sizeof small / sizeof *small); i++) {
        victim v;
        victim_open(&v, path, &small[i]);
        in_child(flip_all, &v);
        victim_close(&v);
    }
}

static int cut_everywhere(const victim *v)
{
    // From the end, so that the file is only ever made shorter.
    for (off_t size = v->bytes - 1; size >= 0; size = size % 512 ? size - size % 512 : size - 512) {
        int64_t refused = 0;
        if (ftruncate(v->fd, size) != 0 || !SURVEY(v, &refused) || refused != 1) {
            (void)fprintf(stderr, "cut at %lld was not refused\n", (long long)size);
            return 1;
        }
        if (size == 0)
            break;
    }
    return 0;
}

static int grow_a_little(const victim *v)
{
    static const off_t more[] = { 1, 512, 4096, 65536 };

    for (int i = 0; i < 4; i++) {
        int64_t refused = 0;
        if (ftruncate(v->fd, v->bytes + more[i]) != 0 || !SURVEY(v, &refused) || refused != 1)
            return 1;
    }
    return ftruncate(v->fd, v->bytes);
}

static void other_sizes_are_refused(void **state)
{
    static const set s = { .records = 60, .captions = 2, .mixed = true };
    char             path[4096];
    victim           v;

    th_test_path(path, sizeof path, *state, "victim.lmdb");
    victim_open(&v, path, &s);
    in_child(grow_a_little, &v);
    in_child(cut_everywhere, &v);
    victim_close(&v);
}

// Several random bytes of the tree at a time: what a flipped bit cannot reach, such as page numbers
// of other pages and lengths that fit.
static int scramble(const victim *v)
{
    size_t         page = v->tree.page_bytes;
    unsigned char *good = malloc(page), *bad = malloc(page);
    int            result = !good || !bad;
    th_rng         rng;

    th_rng_init(&rng, 2, TH_FOR_TEST, 0, 0);
    for (int i = 0; i < 20000 && !result; i++) {
        uint64_t pick = th_rng_below(&rng, 2 + v->tree.branch_count + 2);
        uint64_t number = pick < 2 ? pick
                          : pick < 2 + v->tree.branch_count
                              ? v->tree.branches[pick - 2].page
                              : v->tree.leaves[th_rng_below(&rng, v->tree.leaf_count)].page;
        off_t    offset = (off_t)(number * page);
        int64_t  refused = 0;
        result = pread(v->fd, good, page, offset) != (ssize_t)page;
        memcpy(bad, good, page);
        for (uint64_t k = 1 + th_rng_below(&rng, 4); k > 0; k--) {
            // Mostly where something stands: the beginning of a page. Mostly small numbers.
            uint64_t at = th_rng_below(&rng, th_rng_below(&rng, 4) ? 64 : page);
            bad[at] = (unsigned char)th_rng_below(&rng, th_rng_below(&rng, 2) ? 8 : 256);
        }
        result = result || pwrite(v->fd, bad, page, offset) != (ssize_t)page ||
                 !SURVEY(v, &refused) || pwrite(v->fd, good, page, offset) != (ssize_t)page;
    }
    free(good);
    free(bad);
    return result;
}

static void scrambled_pages_never_crash(void **state)
{
    static const set s = { .records = 120, .captions = 1, .side = 2 };
    char             path[4096];
    victim           v;

    th_test_path(path, sizeof path, *state, "victim.lmdb");
    victim_open(&v, path, &s);
    in_child(scramble, &v);
    victim_close(&v);
    assert_whole(path, &s);
}

// A record's bytes are damaged after its page was checked: the record's hash sees it.
static void damage_after_open_is_seen(void **state)
{
    static const set  s = { .records = 3, .side = 40, .captions = 1 };
    char              path[4096];
    victim            v;
    th_shard         *shard = NULL;
    th_err            err = { 0 };
    th_record_scratch buffer = { 0 }, scratch = { 0 };
    th_shard_value    values[3];

    th_test_path(path, sizeof path, *state, "victim.lmdb");
    victim_open(&v, path, &s);
    th_assert_ok(th_shard_tree_check_leaf(&v.tree, v.fd, path, 0, 1, values, &err), &err);
    th_assert_ok(th_shard_open(path, &shard, &err), &err);
    assert_int_equal(read_record(shard, &s, 1, &buffer, &scratch), TH_OK);
    assert_int_equal(pwrite(v.fd, "x", 1, (off_t)values[1].offset + 100), 1);
    assert_int_equal(read_record(shard, &s, 1, &buffer, &scratch), TH_EDATA);
    assert_int_equal(read_record(shard, &s, 2, &buffer, &scratch), TH_OK);
    th_shard_close(shard);
    victim_close(&v);
    free(buffer.bytes);
    free(scratch.bytes);
}

static void other_files_are_refused(void **state)
{
    char      path[4096];
    th_err    err = { 0 };
    th_shard *shard = NULL;
    MDB_env  *env;
    MDB_txn  *txn;
    MDB_dbi   dbi;
    MDB_val   key = { 5, "hello" }, value = { 5, "world" };

    th_test_path(path, sizeof path, *state, "absent.lmdb");
    th_assert_error(th_shard_open(path, &shard, &err), TH_EIO, &err, "could not open");
    th_assert_error(th_shard_open(*state, &shard, &err), TH_EIO, &err, NULL); // a folder
    th_test_path(path, sizeof path, *state, "empty.lmdb");
    th_assert_ok(th_file_replace(path, "", 0, &err), &err);
    th_assert_error(th_shard_open(path, &shard, &err), TH_EDATA, &err, "truncated");
    th_test_path(path, sizeof path, *state, "text.lmdb");
    char text[5000];
    memset(text, 'a', sizeof text);
    th_assert_ok(th_file_replace(path, text, sizeof text, &err), &err);
    th_assert_error(th_shard_open(path, &shard, &err), TH_EDATA, &err, "not an LMDB file");

    // A healthy LMDB file of somebody else.
    th_test_path(path, sizeof path, *state, "other.lmdb");
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0644), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    th_assert_error(th_shard_open(path, &shard, &err), TH_EDATA, &err, NULL);
}

static void record_over_a_limit_is_refused(void **state)
{
    char             path[4096];
    th_shard_writer *writer = NULL;
    th_err           err = { 0 };
    fixture          f;

    th_test_path(path, sizeof path, *state, "a.lmdb");
    th_assert_ok(th_shard_create(path, &writer, &err), &err);
    fixture_make(&f, 1, 4, 4, 1);
    f.record.height = 5;
    th_assert_error(th_shard_append(writer, &f.record, &err), TH_EUSAGE, &err, "breaks a limit");
    th_shard_writer_close(writer);
    assert_false(th_path_exists(path));
    fixture_free(&f);
    th_test_path(path, sizeof path, *state, "absent/a.lmdb");
    th_assert_error(th_shard_create(path, &writer, &err), TH_EIO, &err, "could not create");
}

// A disk that is full, played by a limit on the size of files: appending or committing says so, and
// nothing is left behind. Returns what is wrong.
static int fill_disk(const char *path, rlim_t limit, int64_t records)
{
    th_shard_writer *writer = NULL;
    struct rlimit    size = { limit, limit };
    fixture          f;
    th_err           err = { 0 };
    int64_t          count;
    uint64_t         bytes, hash;

    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &size) != 0)
        return 1;
    fixture_make(&f, 1, 200, 200, 1);
    th_code rc = th_shard_create(path, &writer, &err);
    for (int64_t i = 0; rc == TH_OK && i < records; i++)
        rc = th_shard_append(writer, &f.record, &err);
    if (rc == TH_OK)
        rc = th_shard_commit(writer, &count, &bytes, &hash, &err);
    th_shard_writer_close(writer);
    return rc != TH_EIO || err.code != TH_EIO;
}

static void full_disk_is_an_error(void **state)
{
    // In the first page, while appending, and on a device that is always full.
    static const struct {
        rlim_t  limit;
        int64_t records;
        _Bool   full;
    } cases[] = { { 1000, 1, 0 }, { 10 << 20, 1000, 0 }, { 10 << 20, 100, 0 }, { 1 << 30, 10, 1 } };
    char path[4096], tmp[4200];

    th_test_path(path, sizeof path, *state, "a.lmdb");
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        if (cases[i].full)
            assert_int_equal(symlink("/dev/full", tmp), 0);
        pid_t child = fork();
        assert_return_code(child, 0);
        if (child == 0)
            _exit(fill_disk(path, cases[i].limit, cases[i].records));
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_false(th_path_exists(path));
        assert_false(th_path_exists(tmp));
    }
}

typedef struct {
    th_shard  *shard;
    const set *s;
    int        number, failures;
} reader;

static void *read_randomly(void *argument)
{
    reader           *r = argument;
    th_record_scratch buffer = { 0 }, scratch = { 0 };
    th_rng            rng;

    th_rng_init(&rng, 3, TH_FOR_TEST, 0, (uint64_t)r->number);
    for (int k = 0; k < 5000; k++) {
        int64_t   i = (int64_t)th_rng_below(&rng, (uint64_t)r->s->records);
        th_record got;
        size_t    size;
        if (th_shard_copy(r->shard, i, &buffer, &size, NULL) != TH_OK ||
            th_record_read(buffer.bytes, size, &scratch, &got, NULL) != TH_OK ||
            got.sample_id != (uint64_t)i * 1000003u)
            r->failures++;
    }
    free(buffer.bytes);
    free(scratch.bytes);
    return NULL;
}

static void many_threads_read(void **state)
{
    static const set s = { .records = 700, .captions = 3, .mixed = true };
    char             path[4096];
    th_shard        *shard = NULL;
    th_err           err = { 0 };
    uint64_t         bytes, hash;
    pthread_t        threads[4];
    reader           readers[4];

    th_test_path(path, sizeof path, *state, "a.lmdb");
    write_shard(path, &s, &bytes, &hash);
    th_assert_ok(th_shard_open(path, &shard, &err), &err);
    for (int i = 0; i < 4; i++) {
        readers[i] = (reader){ .shard = shard, .s = &s, .number = i };
        assert_int_equal(pthread_create(&threads[i], NULL, read_randomly, &readers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].failures, 0);
    }
    th_shard_close(shard);
}

#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(reads_back),
        IN_FOLDER(lmdb_writes_the_same),
        IN_FOLDER(branches_have_children),
        IN_FOLDER(same_records_same_bytes),
        IN_FOLDER(unused_bytes_are_zero),
        IN_FOLDER(flipped_bits_never_crash),
        IN_FOLDER(other_sizes_are_refused),
        IN_FOLDER(scrambled_pages_never_crash),
        IN_FOLDER(damage_after_open_is_seen),
        IN_FOLDER(other_files_are_refused),
        IN_FOLDER(record_over_a_limit_is_refused),
        IN_FOLDER(full_disk_is_an_error),
        IN_FOLDER(many_threads_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
