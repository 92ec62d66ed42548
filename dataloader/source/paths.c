#include "dataloader/source/kind.h"

#include "base/file.h"
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FILES 1000000

static const char fix[] = "quote the pattern, so that thaw expands it: wds:'data/{000..127}.tar'";

bool th_path_escapes(const char *path, bool absolute_is_fine)
{
    if (path[0] == '/' && !absolute_is_fine)
        return true;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.')
            return true;
        path += length;
        path += strspn(path, "/");
    }
    return false;
}

// Reads the range of numbers "000..127" that fills the text up to `end`.
static bool read_range(const char *text, const char *end, long *first, long *last, int *digits)
{
    char *stop;

    if (!isdigit((unsigned char)text[0]))
        return false;
    *first = strtol(text, &stop, 10);
    *digits = (int)(stop - text);
    if (strncmp(stop, "..", 2) != 0 || !isdigit((unsigned char)stop[2]))
        return false;
    *last = strtol(stop + 2, &stop, 10);
    return stop == end && *digits <= 9;
}

// The brace that closes the one at `open`, or NULL.
static const char *closing_brace(const char *open)
{
    int depth = 0;

    for (const char *at = open; *at; at++) {
        depth += (*at == '{') - (*at == '}');
        if (depth == 0)
            return at;
    }
    return NULL;
}

// The end of the word at `text`: a comma outside of inner braces, or `end`.
static const char *word_end(const char *text, const char *end)
{
    int depth = 0;

    for (; text < end && (depth > 0 || *text != ','); text++)
        depth += (*text == '{') - (*text == '}');
    return text;
}

static th_code add_matches(const char *pattern, glob_t *found, th_err *err);

// Goes on with `word` in place of the braces.
static th_code add_word(const char *pattern, const char *open, const char *close, int word_size,
                        const char *word, glob_t *found, th_err *err)
{
    th_code rc = TH_OK;
    char   *text = NULL;

    TH_CHECK(asprintf(&text, "%.*s%.*s%s", (int)(open - pattern), pattern, word_size, word,
                      close + 1) >= 0,
             TH_EIO, "free some memory", "could not read a pattern: out of memory");
    rc = add_matches(text, found, err);
    free(text);
out:
    return rc;
}

// glob()'s own braces know neither the {000..127} that names the files of most data sets nor a word
// whose file is missing, which must not go unnoticed: braces are expanded here. As deep as there
// are braces.
static th_code add_matches(const char *pattern, glob_t *found, th_err *err)
{
    th_code     rc = TH_OK;
    const char *open = strchr(pattern, '{'), *close = open ? closing_brace(open) : NULL;
    long        first, last;
    int         digits;

    if (!close) {
        int flags = GLOB_TILDE | GLOB_NOMAGIC | (found->gl_pathv ? GLOB_APPEND : 0);
        int status = glob(pattern, flags, NULL, found);
        TH_CHECK(status == 0 || status == GLOB_NOMATCH, TH_EIO, fix, "could not list \"%s\": %s",
                 pattern, status == GLOB_NOSPACE ? "out of memory" : "a folder could not be read");
        TH_CHECK(found->gl_pathc <= MOST_FILES, TH_EUSAGE, fix,
                 "pattern \"%s\" names more than %d files", pattern, MOST_FILES);
    } else if (read_range(open + 1, close, &first, &last, &digits)) {
        TH_CHECK(first <= last, TH_EUSAGE, fix, "range \"%.*s\" runs backwards",
                 (int)(close - open + 1), open);
        for (long i = first; i <= last; i++) {
            char number[32];
            int  size = snprintf(number, sizeof number, "%0*ld", digits, i);
            TH_TRY(add_word(pattern, open, close, size, number, found, err));
        }
    } else {
        for (const char *word = open + 1; word <= close;) {
            const char *end = word_end(word, close);
            TH_TRY(add_word(pattern, open, close, (int)(end - word), word, found, err));
            word = end + 1;
        }
    }
out:
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct {
    char **paths;
    size_t count;
} path_list;

// Adds copies of glob's paths in byte order, which no locale changes, each once.
static th_code add_paths(path_list *list, const glob_t *found, th_err *err)
{
    th_code rc = TH_OK;
    size_t  start = list->count;
    char  **paths = realloc(list->paths, (start + found->gl_pathc + 1) * sizeof *paths);

    TH_CHECK(paths, TH_EIO, "free some memory", "could not list files: out of memory");
    list->paths = paths;
    qsort(found->gl_pathv, found->gl_pathc, sizeof *found->gl_pathv, by_name);
    for (size_t i = 0; i < found->gl_pathc; i++) {
        const char *path = found->gl_pathv[i];
        if (list->count > start && strcmp(paths[list->count - 1], path) == 0)
            continue;
        paths[list->count] = strdup(path);
        TH_CHECK(paths[list->count], TH_EIO, "free some memory",
                 "could not list files: out of memory");
        list->count++;
    }
out:
    return rc;
}

// One pattern of those that "::" joins.
static th_code add_pattern(path_list *list, const char *pattern, th_err *err)
{
    th_code rc = TH_OK;
    glob_t  found = { 0 };
    size_t  existing = 0;

    TH_TRY(add_matches(pattern, &found, err));
    for (size_t i = 0; i < found.gl_pathc; i++)
        existing += th_path_exists(found.gl_pathv[i]);
    TH_CHECK(existing > 0, TH_EUSAGE, fix, "no file matches \"%s\"", pattern);
    TH_TRY(add_paths(list, &found, err));
out:
    globfree(&found);
    return rc;
}

th_code th_paths_match(const char *pattern, char ***out, size_t *out_count, th_err *err)
{
    th_code   rc = TH_OK;
    path_list list = { 0 };
    char     *bare = NULL;
    size_t    length = strlen(pattern);

    // Quotes that the shell left, as when the whole command came from a file.
    _Bool quoted = length >= 2 && (pattern[0] == '\'' || pattern[0] == '"') &&
                   pattern[length - 1] == pattern[0];
    bare = quoted ? strndup(pattern + 1, length - 2) : strdup(pattern);
    TH_CHECK(bare, TH_EIO, "free some memory", "could not read a pattern: out of memory");
    for (char *part = bare, *joint; part; part = joint) {
        joint = strstr(part, "::");
        if (joint) {
            *joint = 0;
            joint += 2;
        }
        TH_TRY(add_pattern(&list, part, err));
    }
    *out = list.paths;
    *out_count = list.count;
    list = (path_list){ 0 };
out:
    th_paths_free(list.paths, list.count);
    free(bare);
    return rc;
}

void th_paths_free(char **paths, size_t count)
{
    for (size_t i = 0; paths && i < count; i++)
        free(paths[i]);
    free(paths);
}
