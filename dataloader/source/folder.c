// Pictures in a folder and those below it, each with a text of its name beside it: a/b.jpg and
// a/b.txt, one caption a line (or a/b.json, and one of its members). In the order of walk.h.
#include "dataloader/source/captions.h"
#include "dataloader/source/kind.h"
#include "dataloader/source/walk.h"

#include "base/file.h"
#include "base/memory.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct {
    th_source        head;
    char            *path, *own_spec;
    th_caption_place place; // its member is own_spec's
    FTS             *walk;
} picture_folder;

// Behind the last dot of the name; NULL when it has none.
static const char *ending_of(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && dot != name ? dot + 1 : NULL;
}

// The path with another ending. free() it.
static th_code with_ending(const char *path, const char *ending, char **out, th_err *err)
{
    th_code rc = TH_OK;
    int     stem = (int)(strrchr(path, '.') - path);

    TH_CHECK(asprintf(out, "%.*s.%s", stem, path, ending) >= 0, TH_EIO, "free some memory",
             "could not name a file: out of memory");
out:
    return rc;
}

static th_code has_picture(const char *path, bool *out, th_err *err)
{
    static const char *const endings[] = { "jpg", "jpeg", "png", "webp",
                                           "JPG", "JPEG", "PNG", "WEBP" };
    th_code                  rc = TH_OK;

    *out = false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings && !*out; i++) {
        char *picture = NULL;
        TH_TRY(with_ending(path, endings[i], &picture, err));
        *out = th_path_exists(picture);
        free(picture);
    }
out:
    return rc;
}

// The text beside the picture. What is wrong with it is the item's reason.
static th_code read_text(const picture_folder *f, const char *path, th_item *item, th_err *err)
{
    th_code rc = TH_OK;
    th_err  why = { 0 };
    char   *name = NULL, *bytes = NULL;
    size_t  size = 0;

    TH_TRY(with_ending(path, f->place.ending, &name, err));
    if (!th_path_exists(name)) {
        th_item_refuse(item, "missing caption: no .%s of its name beside it", f->place.ending);
        goto out;
    }
    if (th_file_read(name, TH_SOURCE_TEXT_BYTES, &bytes, &size, &why) != TH_OK) {
        th_item_refuse(item, "unreadable caption: %s", why.what);
        goto out;
    }
    TH_TRY(th_item_take_text(item, &f->place, bytes, size, err));
out:
    free(name);
    return rc;
}

// An item for what the walk found; *out_is_one is false when it is neither picture nor lonely text.
static th_code look_at(const picture_folder *f, const FTSENT *entry, th_item *out, bool *out_is_one,
                       th_err *err)
{
    th_code     rc = TH_OK;
    const char *ending = ending_of(entry->fts_name);
    const char *key = th_walk_key(entry, f->path);

    th_item_start(out, f->path, key);
    *out_is_one = true;
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
        th_item_refuse(out, "unreadable folder: %s", strerror(entry->fts_errno));
    else if (entry->fts_info == FTS_DC)
        th_item_refuse(out, "folder in a circle: the link leads to a folder above it");
    else if (ending && th_is_picture_ending(ending)) {
        if (entry->fts_info == FTS_D || entry->fts_info == FTS_DP)
            *out_is_one = false;
        else {
            if (!f->head.skim)
                TH_TRY(th_item_read_picture(out, f->path, key, false, "in the folder", err));
            TH_TRY(read_text(f, entry->fts_path, out, err));
        }
    } else if (entry->fts_info == FTS_F && ending && strcasecmp(ending, f->place.ending) == 0 &&
               !f->place.member) {
        TH_TRY(has_picture(entry->fts_path, out_is_one, err));
        *out_is_one = !*out_is_one;
        th_item_refuse(out, "missing picture: a text without a jpg, jpeg, png or webp beside it");
    } else
        *out_is_one = false;
out:
    return rc;
}

static th_code next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    picture_folder *f = (picture_folder *)source;
    th_code         rc = TH_OK;
    bool            is_one = false;

    while (f->walk && !is_one) {
        const FTSENT *entry;
        TH_TRY(th_walk_next(f->walk, &entry, err));
        if (!entry) {
            (void)fts_close(f->walk); // changes no folder, so there is nothing to go back to
            f->walk = NULL;
        } else
            TH_TRY(look_at(f, entry, out, &is_one, err));
    }
    *out_more = is_one;
    if (!is_one)
        *out = (th_item){ 0 };
out:
    return rc;
}

static void close_source(th_source *source)
{
    picture_folder *f = (picture_folder *)source;

    if (f->walk)
        (void)fts_close(f->walk);
    free(f->path);
    free(f->own_spec);
    free(f);
}

th_code th_picture_folder_open(const char *path, const th_source_options *options, th_source **out,
                               th_err *err)
{
    th_code         rc = TH_OK;
    void           *memory = NULL;
    picture_folder *f = NULL;

    TH_TRY(th_alloc(1, sizeof *f, "a source", &memory, err));
    f = memory;
    f->head.next = next;
    f->head.close = close_source;
    f->path = strdup(path);
    f->own_spec = options->captions ? strdup(options->captions) : NULL;
    TH_CHECK(f->path && (f->own_spec || !options->captions), TH_EIO, "free some memory",
             "could not open a folder: out of memory");
    TH_TRY(th_caption_place_read(f->own_spec, &f->place, err));
    for (size_t end = strlen(path); end > 1 && f->path[end - 1] == '/';)
        f->path[--end] = 0; // its last part is what samples are named by
    TH_TRY(th_walk_open(f->path, &f->walk, err));
    *out = &f->head;
    f = NULL;
out:
    if (f)
        close_source(&f->head);
    return rc;
}
