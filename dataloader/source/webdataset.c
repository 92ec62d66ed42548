// WebDataset: tars whose members belong together when their paths are equal up to the first dot of
// the name ("dir/0001.jpg", "dir/0001.txt") and follow each other. Read as a stream. Captions are
// the txt member, one a line, or a member of the json member. What else stands there is passed by:
// img2dataset's metadata, for instance.
#include "dataloader/source/captions.h"
#include "dataloader/source/key_set.h"
#include "dataloader/source/kind.h"

#include "base/memory.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (1 << 18)
#define TAR_BLOCK  512

typedef enum { NOT_OURS, PICTURE, TEXT } member_kind;

typedef struct {
    th_source             head;
    th_caption_place      place; // of captions; its member is `own_spec`'s
    char                 *own_spec;
    char                **files;
    size_t                file_count, file_at; // file_at: the open one, or the next
    size_t                file_end;            // where reading ends: behind the piece entered
    struct archive       *tar;                 // NULL: none is open
    int                   fd;
    int64_t               finished_bytes;          // of the files before this one
    struct archive_entry *member;                  // read, but not yet put into a sample
    th_item               sample;                  // being collected, when `collecting`
    bool                  collecting, has_picture; // has_picture: also when it is passed by
    th_item               damage; // of the tar: given after the sample, when `damaged`
    bool                  damaged;
    th_key_set            seen; // in this tar
} webdataset;

static void close_tar(webdataset *w)
{
    if (w->tar)
        (void)archive_read_free(w->tar);
    if (w->fd >= 0)
        (void)close(w->fd); // opened for reading: nothing left to lose
    w->tar = NULL;
    w->fd = -1;
    w->member = NULL;
}

static void finish_tar(webdataset *w)
{
    struct stat status;

    if (stat(w->files[w->file_at], &status) == 0)
        w->finished_bytes += status.st_size;
    close_tar(w);
    th_key_set_clear(&w->seen);
    w->file_at++;
    atomic_store(&w->head.done_bytes, w->finished_bytes);
}

static void set_damage(webdataset *w, const char *kind, const char *why)
{
    th_item_start(&w->damage, w->files[w->file_at], "");
    th_item_refuse(&w->damage, "%s: %s", kind, why);
    w->damaged = true;
}

static const char *tar_error(const webdataset *w)
{
    const char *text = archive_error_string(w->tar);
    return text ? text : "unknown error";
}

static th_code open_tar(webdataset *w, th_err *err)
{
    th_code rc = TH_OK;

    w->fd = open(w->files[w->file_at], O_RDONLY | O_CLOEXEC);
    if (w->fd < 0) {
        set_damage(w, "unreadable tar", strerror(errno));
        finish_tar(w);
        return TH_OK;
    }
    w->tar = archive_read_new();
    TH_CHECK(w->tar, TH_EIO, "free some memory", "could not start libarchive: out of memory");
    // These two and no more: some others start a program to unpack.
    TH_CHECK(archive_read_support_format_tar(w->tar) == ARCHIVE_OK &&
                 archive_read_support_filter_gzip(w->tar) == ARCHIVE_OK,
             TH_EIO, "install libarchive with zlib", "could not start libarchive: %s",
             tar_error(w));
    if (archive_read_open_fd(w->tar, w->fd, READ_BYTES) != ARCHIVE_OK) {
        set_damage(w, "unreadable tar", tar_error(w));
        finish_tar(w);
    }
out:
    return rc;
}

// libarchive takes the end of the file for the end of the tar. A plain tar ends with blocks of
// zeros: without them it was cut between two members, and what is missing cannot be known.
static bool ends_as_it_should(const webdataset *w)
{
    static const char zeros[TAR_BLOCK];
    char              last[TAR_BLOCK];
    struct stat       status;

    if (archive_filter_count(w->tar) > 1)
        return true; // compressed: a cut stream is an error of its own
    return fstat(w->fd, &status) == 0 && status.st_size >= TAR_BLOCK &&
           pread(w->fd, last, sizeof last, status.st_size - TAR_BLOCK) == TAR_BLOCK &&
           memcmp(last, zeros, sizeof last) == 0;
}

// Reads the next member's header into w->member, or closes the tar at its end.
static void read_header(webdataset *w)
{
    int status = archive_read_next_header(w->tar, &w->member);

    atomic_store(&w->head.done_bytes, w->finished_bytes + archive_filter_bytes(w->tar, -1));
    if (status == ARCHIVE_OK || status == ARCHIVE_WARN) // a warning: the name's character set
        return;
    w->member = NULL;
    if (status != ARCHIVE_EOF)
        set_damage(w, "damaged tar", tar_error(w));
    else if (!ends_as_it_should(w))
        set_damage(w, "truncated tar", "it has no end mark, so members may be missing");
    finish_tar(w);
}

static const char *path_of(struct archive_entry *member)
{
    const char *path = archive_entry_pathname(member);

    if (!path) // a name of the extended header that the locale cannot show
        path = archive_entry_pathname_utf8(member);
    while (path && path[0] == '.' && path[1] == '/')
        path += 2;
    return path;
}

// What a member is, and the length of its key.
static member_kind kind_of(const webdataset *w, struct archive_entry *member, size_t *out_key_size)
{
    const char *path = path_of(member);

    if (!path || archive_entry_filetype(member) != AE_IFREG)
        return NOT_OURS;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strchr(name, '.');
    if (!dot || dot == name)
        return NOT_OURS;
    *out_key_size = (size_t)(dot - path);
    if (strcasecmp(dot + 1, w->place.ending) == 0)
        return TEXT;
    return th_is_picture_ending(dot + 1) ? PICTURE : NOT_OURS;
}

// Reads the member's bytes; with `pass_by` no more than their number. A tar that ends in the middle
// is closed, and is an item of its own, as it is when the member is passed by.
static th_code read_bytes(webdataset *w, size_t limit, bool pass_by, void **out, size_t *out_size,
                          th_err *err)
{
    th_code  rc = TH_OK;
    th_item *sample = &w->sample;
    int64_t  size = archive_entry_size(w->member);
    char    *bytes = NULL;

    if (size < 0 || (uint64_t)size > limit) {
        th_item_refuse(sample, "member too large: %s has %lld bytes, the limit is %zu",
                       path_of(w->member), (long long)size, limit);
        return TH_OK;
    }
    if (pass_by) {
        *out_size = (size_t)size;
        return TH_OK;
    }
    bytes = malloc((size_t)size + 1);
    TH_CHECK(bytes, TH_EIO, "free some memory",
             "could not read %lld bytes of \"%s\": out of memory", (long long)size,
             w->files[w->file_at]);
    la_ssize_t got = archive_read_data(w->tar, bytes, (size_t)size);
    if (got != size) {
        th_item_refuse(sample, "truncated tar: %s", got < 0 ? tar_error(w) : "a member is cut");
        set_damage(w, "truncated tar", "it ends within a member, and others may be missing");
        finish_tar(w);
        goto out;
    }
    *out = bytes;
    *out_size = (size_t)size;
    bytes = NULL;
out:
    free(bytes);
    return rc;
}

static th_code add_member(webdataset *w, member_kind kind, th_err *err)
{
    th_item *sample = &w->sample;
    th_code  rc = TH_OK;

    if (th_path_escapes(path_of(w->member), false))
        th_item_refuse(sample, "unsafe path: %s leads out of the tar", path_of(w->member));
    if (kind == PICTURE ? w->has_picture : sample->text != NULL)
        th_item_refuse(sample, "duplicate key: two %s under one key",
                       kind == PICTURE ? "pictures" : "texts");
    if (sample->reason[0]) // its data is skipped with the next header
        goto out;
    if (kind == PICTURE) {
        w->has_picture = true;
        TH_TRY(read_bytes(w, TH_SOURCE_IMAGE_BYTES, w->head.skim, &sample->image,
                          &sample->image_bytes, err));
    } else {
        void  *text = NULL;
        size_t size = 0;
        TH_TRY(read_bytes(w, TH_SOURCE_TEXT_BYTES, false, &text, &size, err));
        if (text)
            TH_TRY(th_item_take_text(sample, &w->place, text, size, err));
    }
out:
    w->member = NULL;
    return rc;
}

static th_code start_sample(webdataset *w, const char *key, th_err *err)
{
    th_code rc = TH_OK;
    bool    is_new;

    th_item_start(&w->sample, w->files[w->file_at], key);
    w->collecting = true;
    w->has_picture = false;
    TH_TRY(th_key_set_add(&w->seen, key, &is_new, err));
    if (!is_new)
        th_item_refuse(&w->sample, "duplicate key: it stands in this tar before");
out:
    return rc;
}

static void give_sample(webdataset *w, th_item *out)
{
    if (!w->has_picture)
        th_item_refuse(&w->sample, "missing picture: no jpg, jpeg, png or webp member");
    if (!w->sample.text)
        th_item_refuse(&w->sample, "missing caption: no %s member", w->place.ending);
    *out = w->sample;
    w->collecting = false;
}

// Puts the member at hand into the sample that it belongs to. *out_done: it belongs to the next
// one, so the sample is complete and the member stays at hand.
static th_code collect(webdataset *w, bool *out_done, th_err *err)
{
    th_code     rc = TH_OK;
    size_t      size = 0;
    member_kind kind = kind_of(w, w->member, &size);
    char       *key = NULL;

    *out_done = false;
    if (kind == NOT_OURS) {
        w->member = NULL;
        return TH_OK;
    }
    key = strndup(path_of(w->member), size);
    TH_CHECK(key, TH_EIO, "free some memory", "could not read a key: out of memory");
    // A key that was too long for the item is compared by the part that was kept.
    if (w->collecting && strncmp(key, w->sample.key, sizeof w->sample.key - 1) != 0) {
        *out_done = true;
        goto out;
    }
    if (!w->collecting)
        TH_TRY(start_sample(w, key, err));
    TH_TRY(add_member(w, kind, err));
out:
    free(key);
    return rc;
}

static th_code next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    webdataset *w = (webdataset *)source;
    th_code     rc = TH_OK;
    bool        done = false;

    *out_more = true;
    for (;;) {
        // A sample ends with the next key, and with its tar.
        if (w->collecting && (done || !w->tar)) {
            give_sample(w, out);
            return TH_OK;
        }
        if (w->damaged) {
            *out = w->damage;
            w->damaged = false;
            return TH_OK;
        }
        if (!w->tar && w->file_at == w->file_end) {
            *out_more = false;
            return TH_OK;
        }
        if (!w->tar)
            TH_TRY(open_tar(w, err));
        else if (!w->member)
            read_header(w);
        else
            TH_TRY(collect(w, &done, err));
    }
out:
    return rc;
}

// Leaves the tar at hand, and what was read of it and not yet given.
static void leave(webdataset *w)
{
    close_tar(w);
    th_key_set_clear(&w->seen);
    if (w->collecting)
        th_item_free(&w->sample);
    w->collecting = w->damaged = false;
}

static void enter(th_source *source, int64_t piece)
{
    webdataset *w = (webdataset *)source;

    leave(w);
    w->file_at = (size_t)piece;
    w->file_end = w->file_at + 1;
}

static void close_source(th_source *source)
{
    webdataset *w = (webdataset *)source;

    leave(w);
    th_paths_free(w->files, w->file_count);
    free(w->own_spec);
    free(w);
}

th_code th_webdataset_open(const char *path, const th_source_options *options, th_source **out,
                           th_err *err)
{
    th_code     rc = TH_OK;
    void       *memory = NULL;
    webdataset *w = NULL;

    TH_TRY(th_alloc(1, sizeof *w, "a source", &memory, err));
    w = memory;
    w->fd = -1;
    w->head.next = next;
    w->head.close = close_source;
    w->head.enter = enter;
    if (options->captions) {
        w->own_spec = strdup(options->captions);
        TH_CHECK(w->own_spec, TH_EIO, "free some memory", "could not open tars: out of memory");
    }
    TH_TRY(th_caption_place_read(w->own_spec, &w->place, err));
    TH_TRY(th_paths_match(path, &w->files, &w->file_count, err));
    w->head.pieces = (int64_t)w->file_count;
    w->file_end = w->file_count;
    for (size_t i = 0; i < w->file_count; i++) {
        struct stat status;
        if (stat(w->files[i], &status) == 0)
            w->head.total_bytes += status.st_size;
    }
    *out = &w->head;
    w = NULL;
out:
    if (w)
        close_source(&w->head);
    return rc;
}
