// Hugging Face's tokenizer.json: a BPE as CLIP has it, or a WordPiece as BERT has it. Each field
// that changes what comes out is checked, so that a tokenizer of another make is refused by the
// name of the field that differs, and never encodes nearly right.
#include "base/memory.h"
#include "dataloader/tokenizer/tokenizer_private.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char fix_json[] =
    "use the tokenizer.json of a CLIP or a BERT, as its model came with it";

#define CLIP_WORDS "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
const char *const th_clip_patterns[2] = { CLIP_WORDS,
                                          "<\\|startoftext\\|>|<\\|endoftext\\|>|" CLIP_WORDS };

// --- fields: `where` is the path of the object, for messages ---

// A part of the file and where it stands: "normalizer.normalizers[1]".
typedef struct {
    const json_t *json;
    char          where[96];
} part;

// What does not fit is cut: a path is for the reader only.
static void TH_PRINTF(2, 3) say_where(part *p, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vsnprintf(p->where, sizeof p->where, format, list);
    va_end(list);
}

static part part_of(const part *from, const char *name)
{
    part p = { .json = json_object_get(from->json, name) };

    say_where(&p, "%s%s%s", from->where, *from->where ? "." : "", name);
    return p;
}

static part item_of(const part *from, size_t i)
{
    part p = { .json = json_array_get(from->json, i) };

    say_where(&p, "%s[%zu]", from->where, i);
    return p;
}

// What a value is, for messages: cut to the room.
static void show(const json_t *value, char out[64])
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

    (void)snprintf(out, 64, "%s", text ? text : value ? "?" : "missing");
    free(text);
}

static th_code refuse(const part *p, const char *wanted, th_err *err)
{
    th_code rc = TH_OK;
    char    is[64];

    show(p->json, is);
    TH_FAIL(TH_EDATA, fix_json, "tokenizer.json: %s is %s, not %s", p->where, is, wanted);
out:
    return rc;
}

static th_code want_text(const part *from, const char *name, const char *text, th_err *err)
{
    part        p = part_of(from, name);
    const char *is = json_string_value(p.json);
    char        wanted[160];

    (void)snprintf(wanted, sizeof wanted, "\"%s\"", text);
    return is && strcmp(is, text) == 0 ? TH_OK : refuse(&p, wanted, err);
}

// A flag that must have a value; null and absence are `absent`.
static th_code want_flag(const part *from, const char *name, bool value, bool absent, th_err *err)
{
    part p = part_of(from, name);
    bool is = json_is_boolean(p.json) ? json_is_true(p.json) : absent;

    if ((json_is_boolean(p.json) || !p.json || json_is_null(p.json)) && is == value)
        return TH_OK;
    return refuse(&p, value ? "true" : "false", err);
}

static th_code get_flag(const part *from, const char *name, bool fallback, bool *out, th_err *err)
{
    part p = part_of(from, name);

    if (p.json && !json_is_null(p.json) && !json_is_boolean(p.json))
        return refuse(&p, "true, false or null", err);
    *out = json_is_boolean(p.json) ? json_is_true(p.json) : fallback;
    return TH_OK;
}

static th_code want_items(const part *p, size_t count, th_err *err)
{
    char wanted[32];

    (void)snprintf(wanted, sizeof wanted, "a list of %zu", count);
    return json_is_array(p->json) && json_array_size(p->json) == count ? TH_OK
                                                                       : refuse(p, wanted, err);
}

// --- special tokens ---

static th_code read_special(th_tokenizer *t, const part *p, th_err *err)
{
    static const char *const flags[] = { "single_word", "lstrip", "rstrip" };
    th_code                  rc = TH_OK;
    part                     id = part_of(p, "id"), content = part_of(p, "content");
    const char              *text = json_string_value(content.json);
    json_int_t               number = json_integer_value(id.json);
    bool                     normalized = false;

    if (!json_is_integer(id.json) || number < 0 || number >= TH_SYMBOLS_MOST)
        return refuse(&id, "an id", err);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        TH_TRY(want_flag(p, flags[i], false, false, err));
    TH_TRY(get_flag(p, "normalized", false, &normalized, err));
    if (t->kind == TH_TOKENS_BERT) // it would be looked for in text where punctuation is apart
        TH_TRY(want_flag(p, "normalized", false, false, err));
    TH_CHECK(text && th_specials_add(&t->specials, text, (int32_t)number, normalized), TH_EDATA,
             fix_json, "tokenizer.json: %s is empty, longer than %d bytes, or one of more than %d",
             content.where, TH_SPECIAL_BYTES - 1, TH_SPECIALS_MOST);
out:
    return rc;
}

static th_code read_specials(th_tokenizer *t, const part *root, th_err *err)
{
    th_code rc = TH_OK;
    part    list = part_of(root, "added_tokens");

    for (size_t i = 0; i < json_array_size(list.json); i++) {
        part p = item_of(&list, i);
        TH_TRY(read_special(t, &p, err));
    }
out:
    return rc;
}

// The id of a special token by its name, which is looked for among the added ones, then in the
// vocabulary.
static int32_t id_of(const th_tokenizer *t, const part *root, const char *token)
{
    part          model = part_of(root, "model"), vocabulary = part_of(&model, "vocab");
    int32_t       id = th_specials_find(&t->specials, token, strlen(token));
    const json_t *value = json_object_get(vocabulary.json, token);

    if (id >= 0 || !json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= TH_SYMBOLS_MOST)
        return id;
    return (int32_t)json_integer_value(value);
}

// What a template puts at a place: "[CLS]" of [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence"...
static const char *template_token(const part *list, size_t i)
{
    part item = item_of(list, i), special = part_of(&item, "SpecialToken"),
         id = part_of(&special, "id");

    return json_string_value(id.json);
}

// The tokens around a caption: of RobertaProcessing and BertProcessing ["[CLS]", 101], of a
// template the first and the last of three, else the usual ones.
static th_code read_around(th_tokenizer *t, const part *root, th_err *err)
{
    th_code     rc = TH_OK;
    part        post = part_of(root, "post_processor"), type = part_of(&post, "type");
    bool        bert = t->kind == TH_TOKENS_BERT;
    const char *begin = bert ? "[CLS]" : TH_CLIP_START, *end = bert ? "[SEP]" : TH_CLIP_END;
    const char *name = json_string_value(type.json);

    if (name && strcmp(name, "TemplateProcessing") == 0) {
        part single = part_of(&post, "single");
        TH_TRY(want_items(&single, 3, err));
        begin = template_token(&single, 0);
        end = template_token(&single, 2);
        if (!begin || !end)
            TH_TRY(refuse(&single, "a token, a sequence and a token", err));
    } else if (name &&
               (strcmp(name, "RobertaProcessing") == 0 || strcmp(name, "BertProcessing") == 0)) {
        part cls = part_of(&post, "cls"), sep = part_of(&post, "sep");
        begin = json_string_value(json_array_get(cls.json, 0));
        end = json_string_value(json_array_get(sep.json, 0));
        if (!begin || !end)
            TH_TRY(refuse(begin ? &sep : &cls, "a token and its id", err));
    } else if (post.json && !json_is_null(post.json)) {
        TH_TRY(refuse(&type, "TemplateProcessing, RobertaProcessing or BertProcessing", err));
    }
    t->begin = id_of(t, root, begin);
    t->end = id_of(t, root, end);
    TH_CHECK(t->begin >= 0 && t->end >= 0, TH_EDATA, fix_json,
             "tokenizer.json: the token \"%.60s\", which stands around a caption, has no id",
             t->begin < 0 ? begin : end);
out:
    return rc;
}

// --- CLIP ---

static th_code check_clip_cleaning(const part *root, th_err *err)
{
    th_code rc = TH_OK;
    part    normalizer = part_of(root, "normalizer"), list, replace, pattern, lower, nfc;

    TH_TRY(want_text(&normalizer, "type", "Sequence", err));
    list = part_of(&normalizer, "normalizers");
    TH_TRY(want_items(&list, 3, err));
    nfc = item_of(&list, 0);
    TH_TRY(want_text(&nfc, "type", "NFC", err));
    replace = item_of(&list, 1);
    TH_TRY(want_text(&replace, "type", "Replace", err));
    pattern = part_of(&replace, "pattern");
    TH_TRY(want_text(&pattern, "Regex", "\\s+", err));
    TH_TRY(want_text(&replace, "content", " ", err));
    lower = item_of(&list, 2);
    TH_TRY(want_text(&lower, "type", "Lowercase", err));
out:
    return rc;
}

static th_code read_clip_words(th_tokenizer *t, const part *root, th_err *err)
{
    th_code     rc = TH_OK;
    part        splitter = part_of(root, "pre_tokenizer"), list, split, pattern, bytes, regex;
    const char *is;

    TH_TRY(want_text(&splitter, "type", "Sequence", err));
    list = part_of(&splitter, "pretokenizers");
    TH_TRY(want_items(&list, 2, err));
    split = item_of(&list, 0);
    TH_TRY(want_text(&split, "type", "Split", err));
    pattern = part_of(&split, "pattern");
    regex = part_of(&pattern, "Regex");
    is = json_string_value(regex.json);
    t->cuts_specials = is && strcmp(is, th_clip_patterns[1]) == 0;
    TH_TRY(want_text(&pattern, "Regex", th_clip_patterns[t->cuts_specials], err));
    TH_TRY(want_text(&split, "behavior", "Removed", err));
    TH_TRY(want_flag(&split, "invert", true, false, err));
    bytes = item_of(&list, 1);
    TH_TRY(want_text(&bytes, "type", "ByteLevel", err));
    TH_TRY(want_flag(&bytes, "add_prefix_space", false, true, err));
    TH_TRY(want_flag(&bytes, "use_regex", true, true, err));
out:
    return rc;
}

static th_code check_clip_model(const part *model, th_err *err)
{
    static const char *const off[] = { "fuse_unk", "byte_fallback", "ignore_merges" };
    th_code                  rc = TH_OK;
    part prefix = part_of(model, "continuing_subword_prefix"), dropout = part_of(model, "dropout");
    const char *is = json_string_value(prefix.json);

    if (prefix.json && !json_is_null(prefix.json) && !(is && *is == '\0'))
        TH_TRY(refuse(&prefix, "empty", err));
    if (dropout.json && !json_is_null(dropout.json) && json_number_value(dropout.json) != 0)
        TH_TRY(refuse(&dropout, "null", err));
    TH_TRY(want_text(model, "end_of_word_suffix", "</w>", err));
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        TH_TRY(want_flag(model, off[i], false, false, err));
out:
    return rc;
}

// Merges as a merges file has them. They are "a b" or ["a", "b"].
static th_code print_merges(const part *merges, char **out_text, size_t *out_size, th_err *err)
{
    th_code rc = TH_OK;
    FILE   *file = open_memstream(out_text, out_size);
    bool    failed = false;

    TH_CHECK(file, TH_EIO, "free some memory", "no memory for the merges of a tokenizer");
    (void)fputs("#version: 0.2\n", file);
    for (size_t i = 0; i < json_array_size(merges->json); i++) {
        const json_t *row = json_array_get(merges->json, i);
        const char   *line = json_string_value(row), *left, *right;

        left = json_string_value(json_array_get(row, 0));
        right = json_string_value(json_array_get(row, 1));
        if (line)
            (void)fprintf(file, "%s\n", line);
        else // what is no pair is a line that the reader of merges refuses
            (void)fprintf(file, "%s %s\n", left ? left : "", right ? right : "");
    }
    failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    TH_CHECK(!failed, TH_EIO, "free some memory", "no memory for the merges of a tokenizer");
out:
    return rc;
}

static th_code read_clip(th_tokenizer *t, const part *root, const part *model, th_err *err)
{
    th_code rc = TH_OK;
    part    merges = part_of(model, "merges"), vocabulary = part_of(model, "vocab"),
         unknown = part_of(model, "unk_token");
    char  *text = NULL;
    size_t size = 0;

    t->kind = TH_TOKENS_CLIP;
    TH_TRY(check_clip_cleaning(root, err));
    TH_TRY(read_clip_words(t, root, err));
    TH_TRY(check_clip_model(model, err));
    if (!json_is_array(merges.json))
        TH_TRY(refuse(&merges, "a list", err));
    if (!json_is_object(vocabulary.json))
        TH_TRY(refuse(&vocabulary, "an object", err));
    TH_TRY(read_specials(t, root, err));
    TH_TRY(read_around(t, root, err));
    TH_TRY(print_merges(&merges, &text, &size, err));
    TH_TRY(th_tokenizer_read_vocabulary(t, text, size, vocabulary.json,
                                        json_string_value(unknown.json), err));
    t->cleaner.kind = TH_CLEANUP_HF;
out:
    free(text);
    return rc;
}

// --- BERT ---

static th_code read_bert_cleaning(th_tokenizer *t, const part *root, th_err *err)
{
    th_code     rc = TH_OK;
    part        normalizer = part_of(root, "normalizer"), words = part_of(root, "pre_tokenizer");
    th_cleaner *cleaner = &t->cleaner;

    TH_TRY(want_text(&normalizer, "type", "BertNormalizer", err));
    cleaner->kind = TH_CLEANUP_BERT;
    TH_TRY(get_flag(&normalizer, "clean_text", true, &cleaner->clean_text, err));
    TH_TRY(
        get_flag(&normalizer, "handle_chinese_chars", true, &cleaner->handle_chinese_chars, err));
    TH_TRY(get_flag(&normalizer, "lowercase", true, &cleaner->lowercase, err));
    TH_TRY(
        get_flag(&normalizer, "strip_accents", cleaner->lowercase, &cleaner->strip_accents, err));
    TH_TRY(want_text(&words, "type", "BertPreTokenizer", err));
out:
    return rc;
}

static th_code list_tokens(const part *vocabulary, th_token_row **out, size_t *out_count,
                           th_err *err)
{
    th_code       rc = TH_OK;
    th_token_row *rows = NULL;
    const char   *token;
    json_t       *value;
    void         *memory;
    size_t        count = 0;

    if (!json_is_object(vocabulary->json))
        TH_TRY(refuse(vocabulary, "an object", err));
    TH_TRY(
        th_alloc(json_object_size(vocabulary->json), sizeof *rows, "the vocabulary", &memory, err));
    rows = memory;
    json_object_foreach((json_t *)(uintptr_t)vocabulary->json, token, value)
    {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;

        rows[count++] = (th_token_row){ token, strlen(token),
                                        id < 0 || id >= TH_PIECES_MOST ? -1 : (int32_t)id };
    }
    *out = rows;
    *out_count = count;
out:
    return rc;
}

static th_code read_bert(th_tokenizer *t, const part *root, const part *model, th_err *err)
{
    th_code rc = TH_OK;
    part most = part_of(model, "max_input_chars_per_word"), unknown = part_of(model, "unk_token"),
         vocabulary = part_of(model, "vocab");
    th_token_row *rows = NULL;
    size_t        count = 0;
    json_int_t    characters = most.json ? json_integer_value(most.json) : TH_BERT_CHARACTERS;

    t->kind = TH_TOKENS_BERT;
    TH_TRY(read_bert_cleaning(t, root, err));
    TH_TRY(want_text(model, "continuing_subword_prefix", "##", err));
    if (characters < 1 || characters > 10000)
        TH_TRY(refuse(&most, "1 to 10000", err));
    if (!json_is_string(unknown.json))
        TH_TRY(refuse(&unknown, "a token", err));
    TH_TRY(list_tokens(&vocabulary, &rows, &count, err));
    TH_TRY(th_wordpiece_open(rows, count, json_string_value(unknown.json), characters, &t->pieces,
                             err));
    t->unknown = t->pieces.unknown;
    TH_TRY(read_specials(t, root, err));
    TH_TRY(read_around(t, root, err));
    t->vocabulary = (int32_t)t->pieces.count;
    for (int i = 0; i < t->specials.count; i++)
        if (t->specials.rows[i].id >= t->vocabulary)
            t->vocabulary = t->specials.rows[i].id + 1;
out:
    free(rows);
    return rc;
}

th_code th_tokenizer_read_json(th_tokenizer *t, const char *text, size_t size, th_err *err)
{
    th_code      rc = TH_OK;
    json_error_t place;
    json_t      *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &place);
    part root = { .json = json }, model = part_of(&root, "model"), type = part_of(&model, "type");
    const char *name = json_string_value(type.json);

    TH_CHECK(json, TH_EDATA, fix_json, "tokenizer.json is not JSON: line %d: %s", place.line,
             place.text);
    if (name && strcmp(name, "BPE") == 0)
        TH_TRY(read_clip(t, &root, &model, err));
    else if (name && strcmp(name, "WordPiece") == 0)
        TH_TRY(read_bert(t, &root, &model, err));
    else
        TH_TRY(refuse(&type, "\"BPE\" or \"WordPiece\"", err));
out:
    json_decref(json);
    return rc;
}
