/* launch/demo/emoji.c - makes the demo's data set: emoji, and what fifty languages call them.
 *
 *     emoji FOLDER [--keywords] [--json] [--font FILE] [--annotations FOLDER]
 *
 * Pictures are the font's for single code points that have an English name, as they stand in the
 * font. Of the (picture, language) names 10 % are held out, chosen by a keyed hash of the pair, at
 * least one a picture; their keywords are held out with them. Writes into FOLDER:
 *
 *     train.tar      every picture with its other names, one a line (--keywords: and keywords)
 *     held-out.tar   every picture with its held-out names
 *     new.tar        of these the strictly new ones: the picture does not carry the name letter for
 *                    letter, after cleaning and lower case, in another language of train.tar
 *     queries.txt    a dozen names of train.tar
 *
 * A sample's key is the code point ("U+1F600"); its .json names the language of each caption and,
 * for held-out ones, whether it is strictly new. */
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/tokenizer/clean.h"
#include "launch/demo/font.h"
#include "launch/demo/names.h"
#include "launch/demo/tar.h"

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Complete in CLDR, and spread over families and scripts; English first, so that it is what people
// see of a picture. How far letters alone get depends on this list: it was chosen, before any model
// was trained, so that the baseline of launch/demo/letters lies where other work on such data
// reports it.
static const char *const languages[] = {
    "en", "am", "ar", "az", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "es",
    "et", "eu", "fa", "fi", "fr", "ga", "he", "hi", "hr", "hu", "hy", "id", "is",
    "it", "ja", "ka", "ko", "lt", "lv", "ms", "nl", "no", "pl", "pt", "ro", "ru",
    "sk", "sl", "sv", "sw", "ta", "te", "th", "tr", "uk", "vi", "zh",
};
#define LANGUAGES (sizeof languages / sizeof *languages)

// Names to ask the trained model for; they are never held out.
static const struct {
    const char *language;
    uint32_t    code;
} queries[] = {
    { "en", 0x1F34E }, // red apple
    { "es", 0x1F415 }, // perro
    { "de", 0x1F511 }, // Schlüssel
    { "ja", 0x26C4 },  // a snowman
    { "fr", 0x1F680 }, // fusée
    { "ru", 0x1F98B }, // a butterfly
    { "zh", 0x1F33B }, // a sunflower
    { "it", 0x1F353 }, // fragola
    { "ko", 0x1F34C }, // a banana
    { "el", 0x2602 },  // an umbrella
    { "ar", 0x1F427 }, // a penguin
    { "tr", 0x1F3B8 }, // gitar
};

typedef struct {
    const char *folder, *font, *annotations;
    bool        keywords, json;
} options;

typedef struct {
    const char *text; // NULL: the picture has no name in this language
    const char *keywords;
    char       *clean; // text as the tokenizer sees it
    uint64_t    hash;
    bool        held_out, is_new;
} name;

typedef struct {
    options   options;
    th_font   font;
    th_names  names[LANGUAGES];
    th_tar   *train, *held_out, *new;
    long long pictures, train_captions, held_out_captions, new_captions, new_pictures, all_names;
} maker;

// Fills names[] of a picture; false when it has no English name.
static bool find_names(const maker *m, uint32_t code, name names[LANGUAGES])
{
    bool english = false;

    for (size_t i = 0; i < LANGUAGES; i++) {
        const th_annotation *row = th_names_find(&m->names[i], code);

        names[i] = (name){ .text = row ? row->name : NULL, .keywords = row ? row->keywords : NULL };
        english |= names[i].text && strcmp(languages[i], "en") == 0;
    }
    return english;
}

static bool is_query(const char *language, uint32_t code)
{
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        if (queries[i].code == code && strcmp(queries[i].language, language) == 0)
            return true;
    return false;
}

// Holds out the names whose hash is in the lowest tenth; if there is none, the lowest one, so that
// each picture can be asked for.
static void hold_out(uint32_t code, name names[LANGUAGES])
{
    name *lowest = NULL;

    for (size_t i = 0; i < LANGUAGES; i++) {
        char key[64];
        int  size;

        if (!names[i].text || is_query(languages[i], code))
            continue;
        size = snprintf(key, sizeof key, "held out, draw 1: U+%04X %s", code, languages[i]);
        names[i].hash = th_hash(key, (size_t)size);
        names[i].held_out = names[i].hash < UINT64_MAX / 10;
        if (!lowest || names[i].hash < lowest->hash)
            lowest = &names[i];
    }
    if (lowest)
        lowest->held_out = true;
}

static th_code clean_name(name *n, th_err *err)
{
    th_code          rc = TH_OK;
    const th_cleaner cleaner = { .kind = TH_CLEANUP_OPEN_CLIP };
    th_clean_room    room = { 0 };
    size_t           size;
    const char      *clean = th_text_clean(&cleaner, n->text, strlen(n->text), &room, &size);

    n->clean = clean ? strndup(clean, size) : NULL;
    TH_CHECK(n->clean, TH_EIO, "free some memory", "no memory for a name");
out:
    th_clean_room_done(&room);
    return rc;
}

static th_code tell_new(name names[LANGUAGES], th_err *err)
{
    th_code rc = TH_OK;

    for (size_t i = 0; i < LANGUAGES; i++)
        if (names[i].text)
            TH_TRY(clean_name(&names[i], err));
    for (size_t i = 0; i < LANGUAGES; i++) {
        names[i].is_new = names[i].held_out;
        for (size_t j = 0; j < LANGUAGES && names[i].is_new; j++)
            names[i].is_new =
                !names[j].clean || names[j].held_out || strcmp(names[i].clean, names[j].clean) != 0;
    }
out:
    return rc;
}

// The captions of a sample and what is known of them, one after the other.
typedef struct {
    FILE     *text, *languages, *new;
    char     *text_bytes, *languages_bytes, *new_bytes;
    size_t    text_size, languages_size, new_size;
    long long count;
} captions;

static void add_caption(captions *c, const char *text, size_t size, const char *language,
                        bool is_new)
{
    // The streams remember an error; write_sample() asks them.
    (void)fprintf(c->text, "%.*s\n", (int)size, text);
    (void)fprintf(c->languages, "%s\"%s\"", c->count ? ", " : "", language);
    (void)fprintf(c->new, "%s%s", c->count ? ", " : "", is_new ? "true" : "false");
    c->count++;
}

static void add_keywords(captions *c, const char *keywords, const char *language)
{
    while (*keywords) {
        size_t size;

        keywords += strspn(keywords, " |");
        size = strcspn(keywords, "|");
        const char *next = keywords + size;
        while (size > 0 && keywords[size - 1] == ' ')
            size--;
        if (size > 0)
            add_caption(c, keywords, size, language, false);
        keywords = next;
    }
}

static th_code open_captions(captions *c, th_err *err)
{
    th_code rc = TH_OK;

    *c = (captions){ 0 };
    c->text = open_memstream(&c->text_bytes, &c->text_size);
    c->languages = open_memstream(&c->languages_bytes, &c->languages_size);
    c->new = open_memstream(&c->new_bytes, &c->new_size);
    TH_CHECK(c->text && c->languages && c->new, TH_EIO, "free some memory",
             "no memory for the captions of a picture");
out:
    return rc;
}

static bool finish(FILE **file)
{
    bool good = *file && fflush(*file) == 0 && !ferror(*file);

    if (*file)
        good &= fclose(*file) == 0;
    *file = NULL;
    return good;
}

static void close_captions(captions *c)
{
    (void)finish(&c->text);
    (void)finish(&c->languages);
    (void)finish(&c->new);
    free(c->text_bytes);
    free(c->languages_bytes);
    free(c->new_bytes);
}

static th_code write_sample(th_tar *tar, const th_picture *picture, captions *c, bool with_new,
                            th_err *err)
{
    th_code rc = TH_OK;
    char    key[16], *json = NULL;
    int     size;
    bool    good = finish(&c->text);

    good &= finish(&c->languages);
    good &= finish(&c->new);
    TH_CHECK(good, TH_EIO, "free some memory", "no memory for the captions of a picture");
    size = with_new ? asprintf(&json, "{\"languages\": [%s], \"new\": [%s]}\n", c->languages_bytes,
                               c->new_bytes)
                    : asprintf(&json, "{\"languages\": [%s]}\n", c->languages_bytes);
    if (size < 0)
        json = NULL; // what asprintf leaves there then is undefined
    TH_CHECK(json, TH_EIO, "free some memory", "no memory for the captions of a picture");
    (void)snprintf(key, sizeof key, "U+%04X", picture->code);
    TH_TRY(th_tar_add(tar, key, "png", picture->png, picture->size, err));
    TH_TRY(th_tar_add(tar, key, "txt", c->text_bytes, c->text_size, err));
    TH_TRY(th_tar_add(tar, key, "json", json, (size_t)size, err));
out:
    free(json);
    return rc;
}

typedef enum { TRAIN, HELD_OUT, NEW } which;

static th_code write_names(maker *m, which kind, const th_picture *picture,
                           const name names[LANGUAGES], th_err *err)
{
    th_tar  *tars[] = { m->train, m->held_out, m->new };
    th_code  rc = TH_OK;
    captions c;

    TH_TRY(open_captions(&c, err));
    for (size_t i = 0; i < LANGUAGES; i++) {
        const name *n = &names[i];

        if (!n->text || n->held_out != (kind != TRAIN) || (kind == NEW && !n->is_new))
            continue;
        add_caption(&c, n->text, strlen(n->text), languages[i], n->is_new);
        if (kind == TRAIN && m->options.keywords && n->keywords)
            add_keywords(&c, n->keywords, languages[i]);
    }
    if (c.count > 0)
        TH_TRY(write_sample(tars[kind], picture, &c, kind != TRAIN, err));
    m->train_captions += kind == TRAIN ? c.count : 0;
    m->held_out_captions += kind == HELD_OUT ? c.count : 0;
    m->new_captions += kind == NEW ? c.count : 0;
    m->new_pictures += kind == NEW && c.count > 0;
out:
    close_captions(&c);
    return rc;
}

static th_code write_picture(maker *m, const th_picture *picture, th_err *err)
{
    th_code rc = TH_OK;
    name    names[LANGUAGES];

    if (!find_names(m, picture->code, names))
        return TH_OK;
    m->pictures++;
    hold_out(picture->code, names);
    TH_TRY(tell_new(names, err));
    for (which kind = TRAIN; kind <= NEW; kind++)
        TH_TRY(write_names(m, kind, picture, names, err));
out:
    for (size_t i = 0; i < LANGUAGES; i++) {
        m->all_names += names[i].text != NULL;
        free(names[i].clean);
    }
    return rc;
}

static th_code write_queries(const maker *m, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX], text[8192];
    size_t  used = 0;

    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        for (size_t l = 0; l < LANGUAGES; l++) {
            const th_annotation *row = strcmp(languages[l], queries[i].language) == 0
                                           ? th_names_find(&m->names[l], queries[i].code)
                                           : NULL;

            if (row && row->name && used + strlen(row->name) + 2 < sizeof text)
                used += (size_t)snprintf(text + used, sizeof text - used, "%s\n", row->name);
        }
    TH_CHECK(th_path_join(path, sizeof path, m->options.folder, "queries.txt"), TH_EUSAGE,
             "use a shorter path", "the path of the folder is too long");
    TH_TRY(th_file_replace(path, text, used, err));
out:
    return rc;
}

static th_code make(maker *m, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_font_open(m->options.font, &m->font, err));
    for (size_t i = 0; i < LANGUAGES; i++)
        TH_TRY(th_names_read(m->options.annotations, languages[i], &m->names[i], err));
    TH_TRY(th_folder_make(m->options.folder, err));
    TH_TRY(th_tar_open(m->options.folder, "train.tar", &m->train, err));
    TH_TRY(th_tar_open(m->options.folder, "held-out.tar", &m->held_out, err));
    TH_TRY(th_tar_open(m->options.folder, "new.tar", &m->new, err));
    for (size_t i = 0; i < m->font.count; i++)
        TH_TRY(write_picture(m, &m->font.pictures[i], err));
    TH_CHECK(m->pictures > 0, TH_EDATA, "reinstall fonts-noto-color-emoji and unicode-cldr-core",
             "no picture of the font has a name");
    TH_TRY(th_tar_publish(m->train, err));
    TH_TRY(th_tar_publish(m->held_out, err));
    TH_TRY(th_tar_publish(m->new, err));
    TH_TRY(write_queries(m, err));
out:
    th_tar_close(m->train);
    th_tar_close(m->held_out);
    th_tar_close(m->new);
    for (size_t i = 0; i < LANGUAGES; i++)
        th_names_close(&m->names[i]);
    th_font_close(&m->font);
    return rc;
}

static void report(const maker *m)
{
    printf(m->options.json
               ? "{\"pictures\": %lld, \"languages\": %zu, \"names\": %lld, \"train\": %lld, "
                 "\"held_out\": %lld, \"new\": %lld, \"new_pictures\": %lld}\n"
               : "%lld pictures, %zu languages, %lld names; to train on: %lld captions; held out: "
                 "%lld names, strictly new: %lld of %lld pictures\n",
           m->pictures, LANGUAGES, m->all_names, m->train_captions, m->held_out_captions,
           m->new_captions, m->new_pictures);
}

static bool read_options(int count, char **words, options *o)
{
    static const struct option known[] = { { "keywords", no_argument, NULL, 'k' },
                                           { "json", no_argument, NULL, 'j' },
                                           { "font", required_argument, NULL, 'f' },
                                           { "annotations", required_argument, NULL, 'a' },
                                           { 0 } };

    *o = (options){ .font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
                    .annotations = "/usr/share/unicode/cldr/common/annotations" };
    for (int c; (c = getopt_long(count, words, "", known, NULL)) != -1;)
        switch (c) {
        case 'k':
            o->keywords = true;
            break;
        case 'j':
            o->json = true;
            break;
        case 'f':
            o->font = optarg;
            break;
        case 'a':
            o->annotations = optarg;
            break;
        default:
            return false;
        }
    o->folder = words[optind];
    return optind + 1 == count;
}

int main(int count, char **words)
{
    static maker m; // large: fifty languages
    th_err       err = { 0 };
    th_code      rc;

    if (!read_options(count, words, &m.options)) {
        (void)fprintf(
            stderr, "usage: %s FOLDER [--keywords] [--json] [--font FILE] [--annotations FOLDER]\n",
            words[0]);
        return th_exit_code(TH_EUSAGE);
    }
    rc = make(&m, &err);
    if (rc == TH_OK)
        report(&m);
    else
        (void)fprintf(stderr, "%s: error: %s\n  while: %s\n  fix:   %s\n", words[0], err.what,
                      err.trail, err.fix);
    return th_exit_code(rc);
}
