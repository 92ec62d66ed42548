#include "dataloader/tokenizer/normalize.h"

#include <string.h>
#include <utf8proc.h>

#define SHORT_RUN 24 // marks: up to here insertion beats counting

static unsigned combining_class_of(uint32_t code)
{
    return (unsigned)utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
}

static void sort_short(uint32_t *marks, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t moved = marks[i];
        unsigned class = combining_class_of(moved);
        size_t at = i;

        for (; at > 0 && combining_class_of(marks[at - 1]) > class; at--)
            marks[at] = marks[at - 1];
        marks[at] = moved;
    }
}

static void sort_long(uint32_t *marks, size_t count, uint32_t *work)
{
    size_t place[257] = { 0 };

    for (size_t i = 0; i < count; i++)
        place[combining_class_of(marks[i]) + 1]++;
    for (int class = 0; class < 256; class ++)
        place[class + 1] += place[class];
    for (size_t i = 0; i < count; i++)
        work[place[combining_class_of(marks[i])]++] = marks[i];
    memcpy(marks, work, count * sizeof *marks);
}

// Marks between two starters stand in the order of their classes, equal ones as they stood.
static void sort_marks(uint32_t *codes, size_t count, uint32_t *work)
{
    for (size_t i = 0, run; i < count; i += run + 1) {
        for (run = 0; i + run < count && combining_class_of(codes[i + run]) != 0; run++)
            ;
        if (run > SHORT_RUN)
            sort_long(codes + i, run, work);
        else if (run > 1)
            sort_short(codes + i, run);
    }
}

size_t th_normalize_nfd(const uint32_t *codes, size_t count, uint32_t *work, uint32_t *out)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        utf8proc_int32_t parts[8];
        int              unused = UTF8PROC_BOUNDCLASS_START;
        utf8proc_ssize_t n;

        if (codes[i] < 0xC0) { // the first that comes apart
            out[used++] = codes[i];
            continue;
        }
        n = utf8proc_decompose_char((utf8proc_int32_t)codes[i], parts, 8, UTF8PROC_DECOMPOSE,
                                    &unused);
        for (utf8proc_ssize_t k = 0; k < n; k++)
            out[used++] = (uint32_t)parts[k];
    }
    sort_marks(out, used, work);
    return used;
}

size_t th_normalize_nfc(const uint32_t *codes, size_t count, uint32_t *work, uint32_t *out)
{
    size_t used = th_normalize_nfd(codes, count, work, out);

    // In place; linear. It fails on code points only that are no scalar values, of which there are
    // none here.
    return (size_t)utf8proc_normalize_utf32((utf8proc_int32_t *)out, (utf8proc_ssize_t)used,
                                            UTF8PROC_COMPOSE | UTF8PROC_STABLE);
}

bool th_normalize_joins(uint32_t left, uint32_t right)
{
    utf8proc_int32_t pair[2] = { (utf8proc_int32_t)left, (utf8proc_int32_t)right };

    return utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) == 1;
}
