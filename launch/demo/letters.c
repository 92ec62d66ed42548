/* launch/demo/letters.c - what letters alone find: the baseline beside the demo's result.
 *
 *     letters FOLDER [--json]              the folder that the program emoji has filled
 *
 * Each picture is the document of its training names; each held-out name is a query for its
 * picture. No pixel is looked at: what this finds is how alike the languages write. A picture that
 * scores the same as another comes behind it. */
#include "base/error.h"
#include "launch/demo/bm25.h"
#include "launch/demo/tar.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    th_bm25 index;
    char (*keys)[32]; // [documents]
    double   *scores;
    long long asked, hits[3]; // among the first 1, 5 and 10
} search;

static const int first_few[3] = { 1, 5, 10 };

// Calls `each` for every line of a text.
typedef th_code (*line_reader)(search *s, size_t document, const char *line, size_t size,
                               th_err *err);

static th_code each_line(search *s, size_t document, const char *text, line_reader each,
                         th_err *err)
{
    th_code rc = TH_OK;

    for (size_t size; *text; text += size + (text[size] == '\n')) {
        size = strcspn(text, "\n");
        if (size > 0)
            TH_TRY(each(s, document, text, size, err));
    }
out:
    return rc;
}

static th_code learn(search *s, size_t document, const char *line, size_t size, th_err *err)
{
    return th_bm25_add(&s->index, document == s->index.documents, line, size, err);
}

static th_code learn_picture(void *context, const char *key, const char *text, size_t size,
                             th_err *err)
{
    th_code rc = TH_OK;
    search *s = context;
    size_t  documents = s->index.documents;
    void   *grown = reallocarray(s->keys, documents + 1, sizeof *s->keys);

    (void)size;
    TH_CHECK(grown, TH_EIO, "free some memory", "no memory for %zu pictures", documents);
    s->keys = grown;
    TH_CHECK(snprintf(s->keys[documents], sizeof *s->keys, "%s", key) < (int)sizeof *s->keys,
             TH_EDATA, "make the tar with the program emoji", "key \"%s\" is too long", key);
    TH_TRY(each_line(s, documents, text, learn, err));
out:
    return rc;
}

static th_code ask(search *s, size_t document, const char *line, size_t size, th_err *err)
{
    th_code   rc = TH_OK;
    long long before = 0;

    TH_TRY(th_bm25_score(&s->index, line, size, s->scores, err));
    for (size_t i = 0; i < s->index.documents; i++)
        before += i != document && s->scores[i] >= s->scores[document];
    for (int k = 0; k < 3; k++)
        s->hits[k] += before < first_few[k];
    s->asked++;
out:
    return rc;
}

static th_code ask_for_picture(void *context, const char *key, const char *text, size_t size,
                               th_err *err)
{
    th_code rc = TH_OK;
    search *s = context;
    size_t  document = 0;

    (void)size;
    while (document < s->index.documents && strcmp(s->keys[document], key) != 0)
        document++;
    TH_CHECK(document < s->index.documents, TH_EDATA, "make the tars anew with the program emoji",
             "picture \"%s\" is held out, but not in train.tar", key);
    TH_TRY(each_line(s, document, text, ask, err));
out:
    return rc;
}

static void report(const search *s, const char *file, bool json)
{
    double percent[3];

    for (int k = 0; k < 3; k++)
        percent[k] = s->asked ? 100.0 * (double)s->hits[k] / (double)s->asked : 0;
    printf(json ? "{\"data\": \"%s\", \"method\": \"letters\", \"queries\": %lld, "
                  "\"pictures\": %zu, \"text_to_image_R@1\": %.4f, \"text_to_image_R@5\": %.4f, "
                  "\"text_to_image_R@10\": %.4f}\n"
                : "letters alone, %s: %lld names, %zu pictures, text to image R@1/5/10 "
                  "%.1f/%.1f/%.1f %%\n",
           file, s->asked, s->index.documents, json ? percent[0] / 100 : percent[0],
           json ? percent[1] / 100 : percent[1], json ? percent[2] / 100 : percent[2]);
}

static th_code run(search *s, const char *folder, bool json, th_err *err)
{
    static const char *const asked[] = { "held-out.tar", "new.tar" };
    th_code                  rc = TH_OK;

    TH_TRY(th_tar_read(folder, "train.tar", "txt", learn_picture, s, err));
    th_bm25_finish(&s->index);
    s->scores = malloc((s->index.documents + 1) * sizeof *s->scores);
    TH_CHECK(s->scores, TH_EIO, "free some memory", "no memory for the scores");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        s->asked = s->hits[0] = s->hits[1] = s->hits[2] = 0;
        TH_TRY(th_tar_read(folder, asked[i], "txt", ask_for_picture, s, err));
        report(s, asked[i], json);
    }
out:
    th_bm25_close(&s->index);
    free(s->keys);
    free(s->scores);
    return rc;
}

int main(int count, char **words)
{
    bool    json = count == 3 && strcmp(words[2], "--json") == 0;
    search  s = { 0 };
    th_err  err = { 0 };
    th_code rc;

    if (count != 2 + json) {
        (void)fprintf(stderr, "usage: %s FOLDER [--json]\n", words[0]);
        return th_exit_code(TH_EUSAGE);
    }
    rc = run(&s, words[1], json, &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "%s: error: %s\n  while: %s\n  fix:   %s\n", words[0], err.what,
                      err.trail, err.fix);
    return th_exit_code(rc);
}
