#include "dataloader/source/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

th_code th_lines_open(th_lines *lines, const char *path, size_t limit, th_err *err)
{
    th_code     rc = TH_OK;
    struct stat status;
    char        mark[3];

    *lines = (th_lines){ .path = path, .limit = limit };
    lines->file = fopen(path, "re");
    TH_CHECK(lines->file, errno == ENOENT ? TH_EUSAGE : TH_EIO, "check the path",
             "could not open \"%s\": %s", path, strerror(errno));
    TH_CHECK(fstat(fileno(lines->file), &status) == 0 && S_ISREG(status.st_mode), TH_EUSAGE,
             "name a file", "\"%s\" is not a file", path);
    lines->total = status.st_size;
    if (fread(mark, 1, 3, lines->file) == 3 && memcmp(mark, "\xef\xbb\xbf", 3) == 0)
        lines->read = 3;
    else
        rewind(lines->file);
out:
    if (rc != TH_OK)
        th_lines_close(lines);
    return rc;
}

static th_code keep(th_lines *lines, int byte, th_err *err)
{
    th_code rc = TH_OK;

    if (lines->size == lines->limit) {
        lines->over = true;
        return TH_OK;
    }
    if (lines->size + 1 >= lines->room) {
        size_t room = lines->room ? lines->room * 2 : 256;
        char  *bytes = realloc(lines->bytes, room);
        TH_CHECK(bytes, TH_EIO, "free some memory", "could not read \"%s\": out of memory",
                 lines->path);
        lines->bytes = bytes;
        lines->room = room;
    }
    lines->bytes[lines->size++] = (char)byte;
    lines->bytes[lines->size] = 0;
out:
    return rc;
}

th_code th_lines_next(th_lines *lines, bool *out_more, th_err *err)
{
    th_code rc = TH_OK;
    int     byte = 0;

    *out_more = false;
    while (!*out_more && byte != EOF) {
        lines->size = 0;
        lines->over = false;
        lines->number++;
        while ((byte = getc_unlocked(lines->file)) != EOF && byte != '\n') {
            TH_TRY(keep(lines, byte, err));
            lines->read++;
        }
        lines->read += byte == '\n';
        if (lines->size > 0 && lines->bytes[lines->size - 1] == '\r')
            lines->bytes[--lines->size] = 0;
        *out_more = lines->size > 0;
    }
    TH_CHECK(!ferror(lines->file), TH_EIO, "check the file system", "could not read \"%s\": %s",
             lines->path, strerror(errno));
out:
    return rc;
}

void th_lines_close(th_lines *lines)
{
    if (lines->file)
        (void)fclose(lines->file); // opened for reading: nothing left to lose
    free(lines->bytes);
    *lines = (th_lines){ 0 };
}
