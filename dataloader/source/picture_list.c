#include "dataloader/source/picture_list.h"

#include "dataloader/image/prepare.h"
#include "dataloader/source/captions.h"
#include "dataloader/source/kind.h"
#include "dataloader/source/walk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static th_code look_at(th_picture_list *list, const FTSENT *entry, th_err *err)
{
    const char *dot = strrchr(entry->fts_name, '.');
    th_code     rc = TH_OK;

    TH_CHECK(entry->fts_info != FTS_DNR && entry->fts_info != FTS_ERR && entry->fts_info != FTS_NS,
             TH_EIO, "make it readable, or take it out of the folder",
             "could not read \"%.200s\": %s", entry->fts_path, strerror(entry->fts_errno));
    if (entry->fts_level == 0 || entry->fts_info == FTS_D || entry->fts_info == FTS_DP ||
        entry->fts_info == FTS_DC || !dot || dot == entry->fts_name ||
        !th_is_picture_ending(dot + 1))
        return TH_OK;
    const char *name = th_walk_key(entry, list->folder);
    TH_CHECK(th_find_invalid(name, strlen(name)) < 0, TH_EDATA, "rename it",
             "the name of picture \"%.200s\" is not UTF-8", name);
    TH_TRY(th_text_list_add(&list->names, name, strlen(name), err));
out:
    return rc;
}

th_code th_picture_list_open(const char *folder, th_picture_list *out, th_err *err)
{
    th_picture_list list = { .folder = folder };
    FTS            *walk = NULL;
    const FTSENT   *entry;
    th_code         rc = TH_OK;

    TH_TRY(th_walk_open(folder, &walk, err));
    TH_TRY(th_walk_next(walk, &entry, err));
    while (entry) {
        TH_TRY(look_at(&list, entry, err));
        TH_TRY(th_walk_next(walk, &entry, err));
    }
    TH_CHECK(list.names.count > 0, TH_EUSAGE,
             "name a folder of jpg, jpeg, png or webp files, or a pack", "no picture is in \"%s\"",
             folder);
    *out = list;
out:
    if (walk)
        (void)fts_close(walk); // changes no folder, so there is nothing to go back to
    if (rc != TH_OK)
        th_picture_list_close(&list);
    return rc;
}

void th_picture_list_close(th_picture_list *list)
{
    th_text_list_close(&list->names);
}

void th_picture_room_done(th_picture_room *room)
{
    th_image_free(&room->decoded);
    th_image_free(&room->square);
    th_image_free(&room->centre);
}

th_code th_picture_list_read(const th_picture_list *list, int64_t i, const th_pack_info *how,
                             th_picture_room *room, uint8_t *pixels, th_err *err)
{
    th_preparation preparation;
    th_item        item;
    int            size = (int)how->size, edge = (int)nearbyint((double)how->margin / 2);
    th_code        rc = TH_OK;

    th_item_start(&item, list->folder, "");
    TH_TRY(th_preparation_find(how->alpha, how->exif, how->filter, how->size + how->margin,
                               &preparation, err));
    TH_TRY(th_item_read_picture(&item, list->folder, list->names.text[i], false, "in the folder",
                                err));
    TH_CHECK(!item.reason[0], TH_EDATA, "take it out of the folder", "%s", item.reason);
    TH_TRY(th_image_prepare(item.image, item.image_bytes, &preparation, &room->decoded,
                            &room->square, err));
    // A pack keeps a margin around what a model sees.
    TH_TRY(th_image_crop(&room->square, edge, edge, size, size, &room->centre, err));
    memcpy(pixels, room->centre.pixels, (size_t)size * (size_t)size * 3);
out:
    th_item_free(&item);
    return rc == TH_OK ? rc : th_during(err, "reading picture \"%.100s\"", list->names.text[i]);
}
