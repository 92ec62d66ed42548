/* dataloader/source/picture_list.h - the pictures in a folder and those below it, without captions.
 *
 * In the order of walk.h: that of a pack of the same folder. */
#ifndef TH_DATALOADER_SOURCE_PICTURE_LIST_H
#define TH_DATALOADER_SOURCE_PICTURE_LIST_H

#include "dataloader/image/image.h"
#include "dataloader/pack.h"
#include "dataloader/source/text_list.h"

typedef struct {
    const char  *folder; // borrowed
    th_text_list names;  // paths in the folder: "a/b.jpg"
} th_picture_list;

/* Files named .jpg, .jpeg, .png or .webp. Errors: TH_EUSAGE: no such folder, or no picture in it;
 * TH_EDATA: a
 * name is not UTF-8; TH_EIO: a folder cannot be read. */
TH_MUST_CHECK th_code th_picture_list_open(const char *folder, th_picture_list *out, th_err *err);
void                  th_picture_list_close(th_picture_list *list); // accepts a zeroed one

typedef struct { // one thread's own; zeroed at first
    th_image decoded, square, centre;
} th_picture_room;

/* Picture i as a model sees it that is shown a pack of it, pixels [size, size, 3]: prepared with
 * size, margin, filter, alpha and exif of `how`, and its centre. The bits of a pack that stores
 * pictures without loss. Errors: TH_EDATA: what is wrong with it; TH_EUSAGE, TH_EIO. Any thread. */
TH_MUST_CHECK th_code th_picture_list_read(const th_picture_list *list, int64_t i,
                                           const th_pack_info *how, th_picture_room *room,
                                           uint8_t *pixels, th_err *err);
void                  th_picture_room_done(th_picture_room *room);

#endif
