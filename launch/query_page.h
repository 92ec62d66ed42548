/* launch/query_page.h - what was found for some texts, as one HTML file that needs no other. */
#ifndef TH_LAUNCH_QUERY_PAGE_H
#define TH_LAUNCH_QUERY_PAGE_H

#include "base/error.h"
#include "dataloader/image/image.h"
#include <stdint.h>

typedef struct {
    int64_t  record;
    double   similarity;
    th_image picture; // as stored
    char    *caption; // its first one
} th_found;

typedef struct {
    const char *text;
    th_found   *found; // [k], best first
} th_query_result;

/* Writes the page durably at `path`. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_query_page_write(const char *path, const char *title,
                                          const th_query_result *results, int count, int k,
                                          th_err *err);

#endif
