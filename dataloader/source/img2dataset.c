// What img2dataset writes: tars 00000.tar, 00001.tar, ... with .parquet and _stats.json beside
// them, or folders 00000/ with 000000000.jpg, .txt and .json. Samples that failed to download are
// in neither. Source: github.com/rom1504/img2dataset, README, "Output format".
#include "dataloader/source/kind.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The tars' pattern, in which the characters of the folder's name stand for themselves.
static th_code make_pattern(const char *folder, char **out, th_err *err)
{
    th_code rc = TH_OK;
    char   *pattern = malloc(2 * strlen(folder) + 16), *to = pattern;

    TH_CHECK(pattern, TH_EIO, "free some memory", "could not open a folder: out of memory");
    for (const char *from = folder; *from; from++) {
        if (strchr("*?[\\", *from))
            *to++ = '\\';
        *to++ = *from;
    }
    (void)snprintf(to, 16, "/*.tar");
    *out = pattern;
out:
    return rc;
}

th_code th_img2dataset_open(const char *path, const th_source_options *options, th_source **out,
                            th_err *err)
{
    th_code rc = TH_OK;
    char   *pattern = NULL;
    glob_t  found = { 0 };

    TH_CHECK(!strpbrk(path, "{}") && !strstr(path, "::"), TH_EUSAGE,
             "rename the folder, or name its tars by wds:",
             "folder \"%s\" has braces or \"::\" in its name", path);
    TH_TRY(make_pattern(path, &pattern, err));
    int status = glob(pattern, 0, NULL, &found);
    TH_CHECK(status == 0 || status == GLOB_NOMATCH, TH_EIO,
             "check the folder behind img2dataset:", "could not list \"%s\"", path);
    if (status == 0)
        TH_TRY(th_webdataset_open(pattern, options, out, err));
    else
        TH_TRY(th_picture_folder_open(path, options, out, err));
out:
    globfree(&found);
    free(pattern);
    return rc;
}
