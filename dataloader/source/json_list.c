#include "dataloader/source/json_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

th_code th_json_list_load(const char *path, json_t **out, th_err *err)
{
    th_code      rc = TH_OK;
    json_t      *root = NULL;
    json_error_t error;
    struct stat  status;
    FILE        *file = fopen(path, "re"); // json_loadfd() would read byte by byte

    TH_CHECK(file, errno == ENOENT ? TH_EUSAGE : TH_EIO, "check the path behind the colon",
             "could not open \"%s\": %s", path, strerror(errno));
    TH_CHECK(fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode), TH_EUSAGE,
             "name a file behind the colon", "\"%s\" is not a file", path);
    TH_CHECK(status.st_size <= TH_JSON_LIST_BYTES, TH_EDATA, "cut it into several files",
             "\"%s\" has %" PRId64 " bytes, at most %" PRId64 " are read", path,
             (int64_t)status.st_size, TH_JSON_LIST_BYTES);
    root = json_loadf(file, 0, &error);
    TH_CHECK(root, TH_EDATA, "check that the file is whole", "\"%s\" is no JSON: line %d: %.100s",
             path, error.line, error.text);
    TH_CHECK(json_is_object(root), TH_EDATA, "check which file this is", "\"%s\" is no JSON object",
             path);
    *out = root;
    root = NULL;
out:
    json_decref(root);
    if (file)
        (void)fclose(file); // opened for reading: nothing left to lose
    return rc;
}

th_code th_json_list_member(const char *path, const json_t *root, const char *name,
                            const json_t **out, th_err *err)
{
    th_code       rc = TH_OK;
    const json_t *list = json_object_get(root, name);

    TH_CHECK(json_is_array(list), TH_EDATA, "check which file this is", "\"%s\" has no list \"%s\"",
             path, name);
    *out = list;
out:
    return rc;
}
