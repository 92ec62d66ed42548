#include "dataloader/packer_begun.h"

#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT     "1"
#define MOST_BYTES ((size_t)1 << 20)

static const char fix_memory[] = "free some memory";

static void print_options(const th_pack_options *options, FILE *to)
{
    for (int i = 0; i < th_pack_table_count; i++) {
        const th_option *row = &th_pack_table[i];
        if (row->when == TH_PER_START || strcmp(row->name, "to") == 0)
            continue;
        (void)fprintf(to, "%s: ", row->name);
        th_option_print_flow(row, options, to); // on one line, whatever is in it
        (void)fputc('\n', to);
    }
}

th_code th_begun_print(const th_pack_options *options, const th_survey *survey,
                       const th_tokenizer *tokenizer, char **out, th_err *err)
{
    th_code rc = TH_OK;
    char   *text = NULL, hash[TH_HASH_TEXT];
    size_t  size = 0;
    FILE   *to = open_memstream(&text, &size);

    TH_CHECK(to, TH_EIO, fix_memory, "could not begin a pack: out of memory");
    (void)fputs("format of unfinished packs: " FORMAT "\n", to);
    print_options(options, to);
    if (survey) {
        th_hash_print(survey->hash, hash);
        (void)fprintf(to, "files of the source: %lld\nsamples of the source: %lld\n",
                      (long long)survey->pieces, (long long)th_survey_samples(survey));
        (void)fprintf(to, "hash of keys and captions: %s\n", hash);
        th_hash_print(tokenizer ? th_tokenizer_hash(tokenizer) : 0, hash);
        (void)fprintf(to, "hash of the tokenizer: %s\n", hash);
    }
    TH_CHECK(fclose(to) == 0 && text, TH_EIO, fix_memory, "could not begin a pack: out of memory");
    *out = text;
    text = NULL;
out:
    free(text);
    return rc;
}

static th_code path_of(const th_new_folder *folder, char out[PATH_MAX], th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(out, PATH_MAX, folder->path, TH_PACK_BEGUN), TH_EIO, "use a shorter path",
             "path of pack \"%.100s...\" is too long", folder->path);
out:
    return rc;
}

th_code th_begun_check(const th_new_folder *folder, const char *now, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], *text = NULL;
    size_t  size;

    TH_TRY(path_of(folder, path, err));
    TH_TRY(th_file_read(path, MOST_BYTES, &text, &size, err));
    for (const char *then = text; *now;) {
        int  now_size = (int)strcspn(now, "\n"), then_size = (int)strcspn(then, "\n");
        bool same = now_size == then_size && memcmp(now, then, (size_t)now_size) == 0;
        TH_CHECK(same, TH_EUSAGE, "give the command it was begun with, or remove the folder",
                 "pack \"%s\" was begun with %.*s, and now it is %.*s", folder->path,
                 then_size > 0 ? then_size : 7, then_size > 0 ? then : "nothing", now_size, now);
        now += now_size + 1;
        then += then_size + (then[then_size] != 0);
    }
out:
    free(text);
    return rc;
}

th_code th_begun_write(const th_new_folder *folder, const char *text, th_err *err)
{
    char    path[PATH_MAX];
    th_code rc = path_of(folder, path, err);

    return rc == TH_OK ? th_file_replace(path, text, strlen(text), err) : rc;
}

th_code th_begun_remove(const th_new_folder *folder, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX];

    TH_TRY(path_of(folder, path, err));
    TH_CHECK(unlink(path) == 0 || errno == ENOENT, TH_EIO, "check that the folder is writable",
             "could not remove \"%s\": %s", path, strerror(errno));
    TH_TRY(th_flush_folder_of(path, err));
out:
    return rc;
}
