#include "dataloader/class_list.h"

#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_BYTES ((size_t)256 << 20)

static const char form[] =
    "write {\"classes\": [\"cat\"], \"templates\": [\"a photo of a {c}.\"]}, or use "
    "CLIP_benchmark's two files";

static th_code read_json(const char *path, json_t **out, th_err *err)
{
    char        *text = NULL;
    size_t       size;
    json_error_t problem;
    th_code      rc = TH_OK;

    TH_TRY(th_file_read(path, JSON_BYTES, &text, &size, err));
    *out = json_loadb(text, size, 0, &problem);
    TH_CHECK(json_is_object(*out), TH_EDATA, form, "file \"%s\": %s", path,
             *out ? "it holds no JSON object" : problem.text);
out:
    free(text);
    return rc;
}

// The entry of a data set in a file that may hold several.
static th_code entry_of(json_t *file, const char *path, const char *dataset, json_t **out,
                        th_err *err)
{
    th_code rc = TH_OK;

    if (dataset) {
        *out = json_object_get(file, dataset);
        TH_CHECK(*out, TH_EUSAGE, "name one that it has", "file \"%s\" has no data set \"%s\"",
                 path, dataset);
    } else {
        TH_CHECK(json_object_size(file) == 1, TH_EUSAGE, "name one with --dataset",
                 "file \"%s\" has %zu data sets", path, json_object_size(file));
        *out = json_object_iter_value(json_object_iter(file));
    }
out:
    return rc;
}

// The template with the name in every place for it; NULL when memory is out. *places counts these.
static char *fill(const char *template, const char *name, int *places)
{
    char  *text = NULL;
    size_t size;
    FILE  *to = open_memstream(&text, &size);

    if (!to)
        return NULL;
    *places = 0;
    for (const char *at = template; *at;) {
        size_t place = strncmp(at, "{c}", 3) == 0 ? 3 : strncmp(at, "{}", 2) == 0 ? 2 : 0;
        if (place > 0)
            (void)fputs(name, to);
        else
            (void)fputc(*at, to);
        *places += place > 0;
        at += place > 0 ? place : 1;
    }
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

// Prompts of one class behind those of the classes before it.
static th_code add_prompts(th_class_list *list, int64_t c, const json_t *templates, bool own,
                           th_err *err)
{
    int64_t n = (int64_t)json_array_size(templates), at = list->first[c];
    char  **grown = NULL;
    th_code rc = TH_OK;

    TH_CHECK(n > 0, TH_EDATA, form, "class \"%s\" has no template", list->name[c]);
    TH_CHECK(at + n <= TH_PROMPTS, TH_EDATA, "use fewer templates", "over %d prompts", TH_PROMPTS);
    grown = reallocarray(list->prompt, (size_t)(at + n), sizeof *grown);
    TH_CHECK(grown, TH_EIO, "free some memory", "no memory for %lld prompts", (long long)(at + n));
    list->prompt = grown;
    list->first[c + 1] = at; // what close() frees if a prompt fails
    for (int64_t i = 0; i < n; i++) {
        const char *template = json_string_value(json_array_get(templates, (size_t)i));
        int places = 0;
        TH_CHECK(template, TH_EDATA, form, "template %lld of class \"%s\" is no text", (long long)i,
                 list->name[c]);
        char *prompt = own ? strdup(template) : fill(template, list->name[c], &places);
        TH_CHECK(prompt, TH_EIO, "free some memory", "no memory for a prompt");
        list->prompt[list->first[c + 1]++] = prompt;
        TH_CHECK(own || places > 0, TH_EDATA, "write {c} where the name belongs",
                 "template \"%s\" has no place for the name", template);
    }
out:
    return rc;
}

static th_code fill_list(th_class_list *list, const json_t *classes, const json_t *templates,
                         const char *path, th_err *err)
{
    int64_t n = (int64_t)json_array_size(classes);
    bool    own = json_is_object(templates);
    th_code rc = TH_OK;

    TH_CHECK(n > 0 && n <= TH_CLASSES, TH_EDATA, form, "file \"%s\" has %lld classes of 1 to %d",
             path, (long long)n, TH_CLASSES);
    TH_TRY(th_alloc((size_t)n, sizeof *list->name, "classes", (void **)&list->name, err));
    TH_TRY(th_alloc((size_t)n + 1, sizeof *list->first, "classes", (void **)&list->first, err));
    for (int64_t c = 0; c < n; c++) {
        const char *name = json_string_value(json_array_get(classes, (size_t)c));
        TH_CHECK(name, TH_EDATA, form, "file \"%s\": class %lld is no text", path, (long long)c);
        list->name[c] = strdup(name);
        TH_CHECK(list->name[c], TH_EIO, "free some memory", "no memory for a class");
        list->classes = c + 1;
        TH_TRY(add_prompts(list, c, own ? json_object_get(templates, name) : templates, own, err));
    }
out:
    return rc;
}

th_code th_class_list_open(const char *classes, const char *templates, const char *dataset,
                           th_class_list *out, th_err *err)
{
    th_class_list list = { 0 };
    json_t       *names_file = NULL, *templates_file = NULL, *names = NULL, *texts = NULL;
    th_code       rc = TH_OK;

    TH_TRY(read_json(classes, &names_file, err));
    if (templates) {
        TH_TRY(read_json(templates, &templates_file, err));
        TH_TRY(entry_of(names_file, classes, dataset, &names, err));
        TH_TRY(entry_of(templates_file, templates, dataset, &texts, err));
    } else {
        names = json_object_get(names_file, "classes");
        texts = json_object_get(names_file, "templates");
        TH_CHECK(names && texts, TH_EDATA, "name CLIP_benchmark's templates with --templates",
                 "file \"%s\" has no %s", classes, names ? "\"templates\"" : "\"classes\"");
    }
    TH_TRY(fill_list(&list, names, texts, classes, err));
    *out = list;
out:
    if (rc != TH_OK)
        th_class_list_close(&list);
    json_decref(names_file);
    json_decref(templates_file);
    return rc;
}

void th_class_list_close(th_class_list *list)
{
    // first[classes] is 0 when the last class failed before its first prompt.
    int64_t prompts = 0;

    for (int64_t c = 0; c < list->classes; c++) {
        free(list->name[c]);
        prompts = list->first[c + 1] > prompts ? list->first[c + 1] : prompts;
    }
    for (int64_t i = 0; i < prompts; i++)
        free(list->prompt[i]);
    free(list->name);
    free(list->prompt);
    free(list->first);
    *list = (th_class_list){ 0 };
}

// Texts that stand for a class, sorted to be looked up.
typedef struct {
    const char *text;
    int32_t     class_;
} known_text;

static int by_text(const void *a, const void *b)
{
    return strcmp(((const known_text *)a)->text, ((const known_text *)b)->text);
}

static th_code sort_texts(const th_class_list *list, known_text **out, size_t *out_count,
                          th_err *err)
{
    size_t      prompts = (size_t)list->first[list->classes];
    size_t      n = 0;
    known_text *known = NULL;
    th_code     rc = TH_OK;

    TH_TRY(th_alloc(prompts + (size_t)list->classes, sizeof *known, "texts of classes",
                    (void **)&known, err));
    for (int64_t c = 0; c < list->classes; c++) {
        known[n++] = (known_text){ list->name[c], (int32_t)c };
        for (int64_t p = list->first[c]; p < list->first[c + 1]; p++)
            known[n++] = (known_text){ list->prompt[p], (int32_t)c };
    }
    qsort(known, n, sizeof *known, by_text);
    *out = known;
    *out_count = n;
out:
    return rc;
}

static th_code label_record(const known_text *known, size_t count, const th_record *record,
                            int64_t at, int32_t *label, th_err *err)
{
    th_code rc = TH_OK;

    for (int k = 0; k < record->caption_count; k++) {
        char *text = strndup(record->captions[k].text, record->captions[k].text_bytes);
        TH_CHECK(text, TH_EIO, "free some memory", "no memory for a caption");
        known_text        key = { text, 0 };
        const known_text *found = bsearch(&key, known, count, sizeof *known, by_text);
        free(text);
        if (!found)
            continue;
        while (found > known && by_text(found - 1, found) == 0)
            found--;
        for (const known_text *one = found; one < known + count && by_text(one, found) == 0;
             one++) {
            TH_CHECK(*label < 0 || *label == one->class_, TH_EDATA,
                     "give these classes names and prompts of their own",
                     "caption \"%s\" of record %lld makes it one of class %d and of class %d",
                     found->text, (long long)at, *label, one->class_);
            *label = one->class_;
        }
    }
out:
    return rc;
}

th_code th_class_list_label(const th_class_list *list, th_pack *pack, int32_t *label, th_err *err)
{
    int64_t           records = th_pack_describe(pack)->records;
    known_text       *known = NULL;
    size_t            count;
    th_record_scratch copy = { 0 }, scratch = { 0 };
    th_record         record;
    th_code           rc = TH_OK;

    TH_TRY(sort_texts(list, &known, &count, err));
    for (int64_t i = 0; i < records; i++) {
        label[i] = -1;
        rc = th_pack_read(pack, i, &copy, &scratch, &record, err);
        if (rc == TH_EDATA)
            continue; // damaged: evaluation puts another in its place
        TH_TRY(rc);
        TH_TRY(label_record(known, count, &record, i, &label[i], err));
    }
    rc = TH_OK;
out:
    free(known);
    free(copy.bytes);
    free(scratch.bytes);
    return rc;
}
