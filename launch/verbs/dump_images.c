#include "launch/verbs/dump_images.h"

#include "base/file.h"
#include "base/memory.h"
#include "dataloader/image/image.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static th_code write_captions(const th_record *record, const char *path, th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = 0, at = 0;
    void   *memory = NULL;

    for (int i = 0; i < record->caption_count; i++)
        size += record->captions[i].text_bytes + (size_t)1;
    TH_TRY(th_alloc(size + 1, 1, "the captions of a record", &memory, err));
    for (int i = 0; i < record->caption_count; i++) {
        memcpy((char *)memory + at, record->captions[i].text, record->captions[i].text_bytes);
        at += record->captions[i].text_bytes;
        ((char *)memory)[at++] = '\n';
    }
    TH_TRY(th_file_replace_unflushed(path, memory, size, err));
out:
    free(memory);
    return rc;
}

static th_code write_picture(const th_record *record, const char *path, th_image *room, th_err *err)
{
    th_code                  rc = TH_OK;
    uint8_t                 *png = NULL;
    size_t                   size = 0;
    struct th_stored_picture stored = { .codec = (int)record->codec,
                                        .width = record->width,
                                        .height = record->height,
                                        .bytes = record->image,
                                        .size = record->image_bytes };

    TH_TRY(th_image_restore(&stored, room, err));
    TH_TRY(th_image_encode_png(room, &png, &size, err));
    TH_TRY(th_file_replace_unflushed(path, png, size, err));
out:
    free(png);
    return rc;
}

th_code th_dump_images(th_pack *pack, const char *folder, int64_t limit, int64_t *out_count,
                       th_err *err)
{
    th_code           rc = TH_OK;
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_image          room = { 0 };
    th_record         record;
    int64_t           count = th_pack_describe(pack)->records;
    char              name[64], path[PATH_MAX];

    count = limit > 0 && limit < count ? limit : count;
    TH_TRY(th_folder_make(folder, err));
    for (int64_t i = 0; i < count; i++) {
        TH_TRY(th_pack_read(pack, i, &copy, &scratch, &record, err));
        for (int text = 0; text < 2; text++) {
            (void)snprintf(name, sizeof name, "%08" PRId64 "-%016" PRIx64 ".%s", i,
                           record.sample_id, text ? "txt" : "png");
            TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EUSAGE,
                     "name a folder with a shorter path", "path too long: \"%.100s\"", folder);
            TH_TRY(text ? write_captions(&record, path, err)
                        : write_picture(&record, path, &room, err));
        }
    }
    *out_count = count;
out:
    th_image_free(&room);
    free(copy.bytes);
    free(scratch.bytes);
    return rc == TH_OK ? TH_OK : th_during(err, "writing pictures to \"%.100s\"", folder);
}
