#include "dataloader/source/captions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

th_code th_caption_place_read(const char *spec, th_caption_place *out, th_err *err)
{
    th_code rc = TH_OK;

    *out = (th_caption_place){ .ending = "txt" };
    if (spec && strncmp(spec, "json:", 5) == 0 && spec[5])
        *out = (th_caption_place){ .ending = "json", .member = spec + 5 };
    else
        TH_CHECK(!spec || strcmp(spec, "txt") == 0, TH_EUSAGE,
                 "write txt, or json: and the member that holds the caption: json:caption",
                 "captions \"%s\" are of no known kind", spec);
out:
    return rc;
}

th_code th_item_add_caption(th_item *item, const char *text, size_t size, th_err *err)
{
    th_code rc = TH_OK;

    if (size >= TH_SOURCE_TEXT_BYTES || item->text_bytes + size + 1 > TH_SOURCE_TEXT_BYTES) {
        th_item_refuse(item, "too much text: more than %d bytes of captions", TH_SOURCE_TEXT_BYTES);
        return TH_OK;
    }
    char *lines = realloc(item->text, item->text_bytes + size + 1);
    TH_CHECK(lines, TH_EIO, "free some memory", "could not read captions: out of memory");
    for (size_t i = 0; i < size; i++) { // one caption is one line
        char byte = text[i];
        lines[item->text_bytes + i] = byte == '\n' || byte == '\r' ? ' ' : byte;
    }
    lines[item->text_bytes + size] = '\n';
    item->text = lines;
    item->text_bytes += size + 1;
out:
    return rc;
}

th_code th_item_add_json(th_item *item, const json_t *value, const char *where, th_err *err)
{
    th_code rc = TH_OK;

    if (!value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0))
        th_item_refuse(item, "missing caption: %s is %s", where,
                       !value                ? "not there"
                       : json_is_null(value) ? "null"
                                             : "an empty list");
    else if (json_is_string(value))
        TH_TRY(th_item_add_caption(item, json_string_value(value), json_string_length(value), err));
    else if (!json_is_array(value))
        th_item_refuse(item, "wrong type: %s is no text", where);
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        if (!json_is_string(one)) {
            th_item_refuse(item, "wrong type: %s holds what is no text, at %zu", where, i);
            break;
        }
        TH_TRY(th_item_add_caption(item, json_string_value(one), json_string_length(one), err));
    }
out:
    return rc;
}

th_code th_item_take_text(th_item *item, const th_caption_place *place, char *bytes, size_t size,
                          th_err *err)
{
    th_code      rc = TH_OK;
    json_error_t error;
    char         where[80];

    if (!place->member) {
        item->text = bytes;
        item->text_bytes = size;
        return TH_OK;
    }
    json_t *root = json_loadb(bytes, size, 0, &error);
    (void)snprintf(where, sizeof where, "member \"%.60s\"", place->member);
    if (!json_is_object(root))
        th_item_refuse(item, "damaged JSON: %s", root ? "it is no object" : error.text);
    else
        rc = th_item_add_json(item, json_object_get(root, place->member), where, err);
    json_decref(root);
    free(bytes);
    return rc;
}

ptrdiff_t th_find_invalid(const char *text, size_t size)
{
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;

    for (size_t at = 0; at < size;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t used = utf8proc_iterate(bytes + at, (utf8proc_ssize_t)(size - at), &point);
        if (used <= 0 || point == 0)
            return (ptrdiff_t)at;
        at += (size_t)used;
    }
    return -1;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\f' || byte == '\v';
}

void th_trim_spaces(const char **text, size_t *size)
{
    for (; *size > 0 && is_space((*text)[0]); (*text)++)
        --*size;
    while (*size > 0 && is_space((*text)[*size - 1]))
        --*size;
}
