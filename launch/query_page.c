#include "launch/query_page.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_escaped(const char *text, FILE *to)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            (void)fputs("&lt;", to);
            break;
        case '>':
            (void)fputs("&gt;", to);
            break;
        case '&':
            (void)fputs("&amp;", to);
            break;
        case '"':
            (void)fputs("&quot;", to);
            break;
        default:
            (void)fputc(*text, to);
        }
    }
}

static void print_base64(const uint8_t *bytes, size_t size, FILE *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t   left = size - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        (void)fputc(digits[three >> 18], to);
        (void)fputc(digits[three >> 12 & 63], to);
        (void)fputc(left > 1 ? digits[three >> 6 & 63] : '=', to);
        (void)fputc(left > 2 ? digits[three & 63] : '=', to);
    }
}

static th_code print_found(const th_found *found, FILE *to, th_err *err)
{
    uint8_t *png = NULL;
    size_t   size;
    th_code  rc = TH_OK;

    TH_TRY(th_image_encode_png(&found->picture, &png, &size, err));
    (void)fputs("<figure><img alt=\"\" src=\"data:image/png;base64,", to);
    print_base64(png, size, to);
    (void)fputs("\"><figcaption>", to);
    print_escaped(found->caption, to);
    (void)fprintf(to, "<br><small>%.3f</small></figcaption></figure>\n", found->similarity);
out:
    free(png);
    return rc;
}

th_code th_query_page_write(const char *path, const char *title, const th_query_result *results,
                            int count, int k, th_err *err)
{
    char   *text = NULL;
    size_t  size = 0;
    FILE   *to = open_memstream(&text, &size);
    th_code rc = TH_OK;

    TH_CHECK(to, TH_EIO, "free some memory", "could not write a page: %s", strerror(errno));
    (void)fputs("<!doctype html><html><head><meta charset=\"utf-8\"><title>", to);
    print_escaped(title, to);
    (void)fputs(
        "</title><style>body{font-family:sans-serif;margin:2em;max-width:60em}"
        "section{display:flex;align-items:center;border-top:1px solid #ccc;padding:.4em 0}"
        "h2{width:9em;font-size:1.1em;margin:0}figure{width:8em;margin:0 .4em;text-align:center}"
        "img{width:64px;height:64px;image-rendering:pixelated}"
        "figcaption{font-size:.75em;overflow-wrap:anywhere}</style></head><body><h1>",
        to);
    print_escaped(title, to);
    (void)fputs("</h1>\n", to);
    for (int q = 0; q < count; q++) {
        (void)fputs("<section><h2>", to);
        print_escaped(results[q].text, to);
        (void)fputs("</h2>\n", to);
        for (int i = 0; i < k; i++)
            TH_TRY(print_found(&results[q].found[i], to, err));
        (void)fputs("</section>\n", to);
    }
    (void)fputs("</body></html>\n", to);
    int closed = fclose(to);
    to = NULL;
    TH_CHECK(closed == 0, TH_EIO, "free some memory", "could not write a page: %s",
             strerror(errno));
    TH_TRY(th_file_replace(path, text, size, err));
out:
    if (to)
        (void)fclose(to);
    free(text);
    return rc == TH_OK ? TH_OK : th_during(err, "writing \"%s\"", path);
}
