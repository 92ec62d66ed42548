#include "dataloader/tokenizer/specials.h"

#include <string.h>

static const struct th_special *at_start(const th_specials *s, bool normalized, const char *text,
                                         size_t size)
{
    const struct th_special *found = NULL;

    for (int i = 0; i < s->count; i++) {
        const struct th_special *row = &s->rows[i];

        if (row->normalized == normalized && row->size <= size &&
            (!found || row->size > found->size) && memcmp(row->text, text, row->size) == 0)
            found = row;
    }
    return found;
}

// The first of the bytes that a special token starts with, from `at` on; size when there is none.
static size_t candidate(const char *bytes, const char *text, size_t size, size_t at)
{
    size_t count = strlen(bytes);

    if (count == 1) { // nearly always: "<" or "["
        const char *found = memchr(text + at, *bytes, size - at);

        return found ? (size_t)(found - text) : size;
    }
    while (at < size && !(text[at] && strchr(bytes, text[at]))) // strchr() finds its zero
        at++;
    return at;
}

const struct th_special *th_specials_next(const th_specials *s, bool normalized, const char *text,
                                          size_t size, size_t *out_at)
{
    const char *bytes = s->first[normalized];

    for (size_t at = *bytes ? candidate(bytes, text, size, 0) : size; at < size;
         at = candidate(bytes, text, size, at + 1)) {
        const struct th_special *found = at_start(s, normalized, text + at, size - at);

        if (found) {
            *out_at = at;
            return found;
        }
    }
    return NULL;
}

bool th_specials_add(th_specials *s, const char *text, int32_t id, bool normalized)
{
    struct th_special *row = &s->rows[s->count];
    size_t             size = strlen(text);

    if (s->count == TH_SPECIALS_MOST || size == 0 || size >= TH_SPECIAL_BYTES)
        return false;
    *row = (struct th_special){ .size = size, .id = id, .normalized = normalized };
    memcpy(row->text, text, size);
    if (!strchr(s->first[normalized], *text))
        s->first[normalized][strlen(s->first[normalized])] = *text;
    s->count++;
    return true;
}

int32_t th_specials_find(const th_specials *s, const char *text, size_t size)
{
    for (int i = 0; i < s->count; i++)
        if (s->rows[i].size == size && memcmp(s->rows[i].text, text, size) == 0)
            return s->rows[i].id;
    return -1;
}
