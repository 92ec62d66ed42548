#include "tests/fuzz/read_source.h"

#include "base/file.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

static void check_item(const th_item *item)
{
    th_fuzz_claim(item->reason[0] || (item->image && item->text));
    th_fuzz_claim(item->image_bytes <= TH_SOURCE_IMAGE_BYTES);
    th_fuzz_claim(item->text_bytes <= TH_SOURCE_TEXT_BYTES);
    th_fuzz_claim(memchr(item->key, 0, sizeof item->key) &&
                  memchr(item->source, 0, sizeof item->source) &&
                  memchr(item->reason, 0, sizeof item->reason));
}

void th_fuzz_read_source(const char *spec, const th_source_options *options)
{
    th_source *source = NULL;
    th_item    item;
    th_err     err = { 0 };
    bool       more = true;
    th_code    rc = th_source_open_with(spec, options, &source, &err);

    if (rc != TH_OK) {
        th_fuzz_refusal(rc, err);
        return;
    }
    while (more) {
        th_fuzz_claim(th_source_next(source, &item, &more, &err) == TH_OK);
        if (more)
            check_item(&item);
        th_item_free(&item);
    }
    th_source_close(source);
}

void th_fuzz_read_list(const char *kind, const char *const *names, int count,
                       const th_source_options *options, const uint8_t *bytes, size_t size)
{
    const char *folder = th_fuzz_folder(names, count, bytes, size);
    char        path[PATH_MAX], spec[PATH_MAX + 64];
    th_err      err = { 0 };

    th_fuzz_claim(th_path_join(path, sizeof path, folder, "1.jpg"));
    if (!th_path_exists(path))
        th_fuzz_claim(th_file_replace_unflushed(path, "picture", 7, &err) == TH_OK);
    (void)snprintf(spec, sizeof spec, "%s:%s/%s", kind, folder, names[0]);
    th_fuzz_read_source(spec, options);
}
