/* dataloader/feature_cache_about.h - about.json: what the rows of a feature cache are. */
#ifndef TH_DATALOADER_FEATURE_CACHE_ABOUT_H
#define TH_DATALOADER_FEATURE_CACHE_ABOUT_H

#include "dataloader/feature_cache.h"

#define TH_FEATURE_ABOUT "about.json"

/* The text of the file; free() it. Errors: TH_EUSAGE when a field is out of range or a text is not
 * UTF-8, TH_EIO when memory is out. */
TH_MUST_CHECK th_code th_feature_about_print(uint64_t key, const th_feature_about *about,
                                             char **out_text, size_t *out_size, th_err *err);

/* Reads about.json of the cache folder at `path`, whose key is known. Errors: TH_EDATA when it is
 * not there, is not what th_feature_about_print writes, or is of another key; TH_EIO. */
TH_MUST_CHECK th_code th_feature_about_read(const char *path, uint64_t key, th_feature_about *out,
                                            th_err *err);

/* Errors: TH_EDATA when the two do not speak of the same rows; `what` names what differs. */
TH_MUST_CHECK th_code th_feature_about_compare(const char *path, const th_feature_about *have,
                                               const th_feature_about *want, th_err *err);

#endif
