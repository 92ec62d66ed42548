/* dataloader/source/text_list.h - texts that are kept: names of pictures, captions of a file. */
#ifndef TH_DATALOADER_SOURCE_TEXT_LIST_H
#define TH_DATALOADER_SOURCE_TEXT_LIST_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct { // zeroed at first
    char  **text;
    int64_t count, room;
} th_text_list;

/* A copy of the text, with a zero behind it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_text_list_add(th_text_list *list, const char *text, size_t size,
                                       th_err *err);
void                  th_text_list_close(th_text_list *list); // accepts a zeroed one

/* Captions of a file, one a line: spaces at both ends dropped, blank lines passed by, as the packer
 * reads them. Errors: TH_EUSAGE: no such file, or no caption in it; TH_EDATA naming the line: it is
 * not UTF-8, or longer than `limit` bytes; TH_EIO. */
TH_MUST_CHECK th_code th_text_list_read(const char *path, size_t limit, th_text_list *out,
                                        th_err *err);

#endif
