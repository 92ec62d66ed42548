// A tokenizer as files: the one of a pack, and those that Hugging Face's libraries read.
#include "base/file.h"
#include "dataloader/tokenizer/tokenizer_private.h"
#include "dataloader/tokenizer/unicode.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char version_line[] = "#version: 0.2\n";

// --- texts: the stream remembers what goes wrong; end() asks it ---

typedef struct {
    FILE  *file;
    char  *text;
    size_t size;
} page;

static th_code begin(page *p, th_err *err)
{
    th_code rc = TH_OK;

    *p = (page){ 0 };
    p->file = open_memstream(&p->text, &p->size);
    TH_CHECK(p->file, TH_EIO, "free some memory", "no memory for the text of a tokenizer");
out:
    return rc;
}

static th_code end(page *p, th_err *err)
{
    th_code rc = TH_OK;
    bool    failed = ferror(p->file) != 0;

    failed |= fclose(p->file) != 0;
    p->file = NULL;
    TH_CHECK(!failed, TH_EIO, "free some memory", "no memory for the text of a tokenizer");
out:
    return rc;
}

static void done(page *p)
{
    if (p->file)
        (void)fclose(p->file);
    free(p->text);
}

static void put_string(FILE *file, const char *text, size_t size)
{
    (void)fputc('"', file);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\')
            (void)fprintf(file, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            (void)fprintf(file, "\\u%04x", c);
        else
            (void)fputc(c, file);
    }
    (void)fputc('"', file);
}

static const char *truth(bool is)
{
    return is ? "true" : "false";
}

// --- vocabularies ---

// CLIP's token as its files write it: a character for each byte, and </w>.
static void put_symbol(FILE *file, const th_tokenizer *t, int32_t symbol)
{
    const struct th_symbol *row = &t->bpe.symbols.rows[symbol];

    (void)fputc('"', file);
    for (uint32_t i = 0; i < row->size; i++) {
        char     utf8[4];
        uint32_t code = th_character_of_byte((unsigned char)t->bpe.symbols.bytes[row->at + i]);

        if (code == '"' || code == '\\')
            (void)fputc('\\', file);
        (void)fwrite(utf8, 1, th_utf8_put(code, utf8), file);
    }
    (void)fputs(row->ends ? "</w>\"" : "\"", file);
}

// A token as a JSON string; false when the id has none, or when another id has the same string and
// is the one that counts.
static bool put_token(FILE *file, const th_tokenizer *t, int32_t id, const char *before)
{
    const char *bytes;
    size_t      size;
    bool        ends;

    if (!th_tokenizer_token(t, id, &bytes, &size, &ends) ||
        !th_tokenizer_counts(t, id, bytes, size))
        return false;
    (void)fputs(before, file);
    if (t->kind == TH_TOKENS_CLIP && t->symbol[id] >= 0)
        put_symbol(file, t, t->symbol[id]);
    else
        put_string(file, bytes, size);
    return true;
}

static void put_vocabulary(FILE *file, const th_tokenizer *t)
{
    const char *before = "{";

    for (int32_t id = 0; id < t->vocabulary; id++)
        if (put_token(file, t, id, before)) {
            (void)fprintf(file, ":%d", (int)id);
            before = ",\n";
        }
    (void)fputs("}", file);
}

static void put_merges(FILE *file, const th_tokenizer *t)
{
    const char *at = t->merges, *last = t->merges + t->merges_size, *before = "[";

    for (const char *next; at < last; at = next + 1) {
        next = memchr(at, '\n', (size_t)(last - at));
        next = next ? next : last;
        (void)fputs(before, file);
        put_string(file, at, (size_t)(next - at));
        before = ",\n";
    }
    (void)fputs(t->merges_size > 0 ? "]" : "[]", file);
}

// --- tokenizer.json ---

static void put_special(FILE *file, const th_tokenizer *t, int32_t id)
{
    const char *bytes = "";
    size_t      size = 0;
    bool        ends;

    (void)th_tokenizer_token(t, id, &bytes, &size, &ends);
    put_string(file, bytes, size);
}

static void put_added(FILE *file, const th_tokenizer *t)
{
    for (int i = 0; i < t->specials.count; i++) {
        const struct th_special *row = &t->specials.rows[i];

        (void)fprintf(file, "%s{\"id\":%d,\"content\":", i > 0 ? ",\n" : "[", (int)row->id);
        put_string(file, row->text, row->size);
        (void)fprintf(file,
                      ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                      "\"normalized\":%s,\"special\":true}",
                      truth(row->normalized));
    }
    (void)fputs(t->specials.count > 0 ? "]" : "[]", file);
}

static void put_clip(FILE *file, const th_tokenizer *t)
{
    (void)fputs(",\n\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
                "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"},"
                "{\"type\":\"Lowercase\"}]},\n"
                "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                "\"pattern\":{\"Regex\":",
                file);
    put_string(file, th_clip_patterns[t->cuts_specials],
               strlen(th_clip_patterns[t->cuts_specials]));
    (void)fputs("},\"behavior\":\"Removed\",\"invert\":true},{\"type\":\"ByteLevel\","
                "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]},\n"
                "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[",
                file);
    put_special(file, t, t->end);
    (void)fprintf(file, ",%d],\"cls\":[", (int)t->end);
    put_special(file, t, t->begin);
    (void)fprintf(file,
                  ",%d],\"trim_offsets\":false,\"add_prefix_space\":false},\n"
                  "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
                  "\"trim_offsets\":true,\"use_regex\":true},\n"
                  "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":",
                  (int)t->begin);
    if (t->unknown < 0)
        (void)fputs("null", file);
    else
        put_special(file, t, t->unknown);
    (void)fputs(",\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"</w>\","
                "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\n\"vocab\":",
                file);
    put_vocabulary(file, t);
    (void)fputs(",\n\"merges\":", file);
    put_merges(file, t);
    (void)fputs("}}\n", file);
}

static void put_template(FILE *file, const th_tokenizer *t, const char *kind)
{
    (void)fprintf(file, "\"%s\":[{\"SpecialToken\":{\"id\":", kind);
    put_special(file, t, t->begin);
    (void)fputs(",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
                "{\"SpecialToken\":{\"id\":",
                file);
    put_special(file, t, t->end);
    (void)fputs(",\"type_id\":0}}", file);
    if (strcmp(kind, "pair") == 0) {
        (void)fputs(",{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},{\"SpecialToken\":{\"id\":",
                    file);
        put_special(file, t, t->end);
        (void)fputs(",\"type_id\":1}}", file);
    }
    (void)fputs("],", file);
}

static void put_template_token(FILE *file, const th_tokenizer *t, int32_t id)
{
    put_special(file, t, id);
    (void)fputs(":{\"id\":", file);
    put_special(file, t, id);
    (void)fprintf(file, ",\"ids\":[%d],\"tokens\":[", (int)id);
    put_special(file, t, id);
    (void)fputs("]}", file);
}

static void put_bert(FILE *file, const th_tokenizer *t)
{
    (void)fprintf(file,
                  ",\n\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":%s,"
                  "\"handle_chinese_chars\":%s,\"strip_accents\":%s,\"lowercase\":%s},\n"
                  "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\n"
                  "\"post_processor\":{\"type\":\"TemplateProcessing\",",
                  truth(t->cleaner.clean_text), truth(t->cleaner.handle_chinese_chars),
                  truth(t->cleaner.strip_accents), truth(t->cleaner.lowercase));
    put_template(file, t, "single");
    put_template(file, t, "pair");
    (void)fputs("\"special_tokens\":{", file);
    put_template_token(file, t, t->begin);
    (void)fputc(',', file);
    put_template_token(file, t, t->end);
    (void)fputs("}},\n\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},\n"
                "\"model\":{\"type\":\"WordPiece\",\"unk_token\":",
                file);
    put_special(file, t, t->unknown);
    (void)fprintf(file,
                  ",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":%lld,\n"
                  "\"vocab\":",
                  (long long)t->pieces.most_characters);
    put_vocabulary(file, t);
    (void)fputs("}}\n", file);
}

static void put_json(FILE *file, const th_tokenizer *t)
{
    (void)fputs("{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n\"added_tokens\":",
                file);
    put_added(file, t);
    if (t->kind == TH_TOKENS_CLIP)
        put_clip(file, t);
    else
        put_bert(file, t);
}

static void put_merges_file(FILE *file, const th_tokenizer *t)
{
    (void)fputs(version_line, file);
    (void)fwrite(t->merges, 1, t->merges_size, file);
    (void)fputs(t->merges_size > 0 ? "\n" : "", file);
}

th_code th_tokenizer_print(const th_tokenizer *t, char **out_text, size_t *out_size,
                           const char **out_name, th_err *err)
{
    th_code rc = TH_OK;
    page    p;

    TH_TRY(begin(&p, err));
    if (t->is_plain)
        put_merges_file(p.file, t);
    else
        put_json(p.file, t);
    TH_TRY(end(&p, err));
    *out_text = p.text;
    *out_size = p.size;
    *out_name = t->is_plain ? TH_TOKENIZER_MERGES : TH_TOKENIZER_JSON;
    p.text = NULL;
out:
    done(&p);
    return rc;
}

// --- Hugging Face's files ---

// The tokens by their names in transformers, each line with its comma.
static void put_named(FILE *file, const th_tokenizer *t)
{
    static const char *const clip[] = { "bos_token", "eos_token", "unk_token", "pad_token" };
    static const char *const bert[] = { "cls_token", "sep_token", "unk_token" };
    const int32_t            clip_ids[] = { t->begin, t->end, t->unknown, t->end };
    const int32_t            bert_ids[] = { t->begin, t->end, t->unknown };
    bool                     is_bert = t->kind == TH_TOKENS_BERT;

    for (int i = 0; i < (is_bert ? 3 : 4); i++) {
        int32_t id = is_bert ? bert_ids[i] : clip_ids[i];

        if (id < 0)
            continue;
        (void)fprintf(file, "\"%s\":", is_bert ? bert[i] : clip[i]);
        put_special(file, t, id);
        (void)fputs(",\n", file);
    }
    if (is_bert)
        (void)fputs("\"pad_token\":\"[PAD]\",\n\"mask_token\":\"[MASK]\",\n", file);
}

static void put_config(FILE *file, const th_tokenizer *t, int64_t context)
{
    bool is_bert = t->kind == TH_TOKENS_BERT;

    (void)fputs("{", file);
    put_named(file, t);
    if (is_bert)
        (void)fprintf(file,
                      "\"do_lower_case\":%s,\n\"strip_accents\":%s,\n"
                      "\"tokenize_chinese_chars\":%s,\n",
                      truth(t->cleaner.lowercase), truth(t->cleaner.strip_accents),
                      truth(t->cleaner.handle_chinese_chars));
    (void)fprintf(file, "\"tokenizer_class\":\"%s\",\n\"model_max_length\":%lld}\n",
                  is_bert ? "BertTokenizer" : "CLIPTokenizer", (long long)context);
}

static void put_map(FILE *file, const th_tokenizer *t)
{
    (void)fputs("{", file);
    put_named(file, t);
    (void)fputs("\"additional_special_tokens\":[]}\n", file);
}

static void put_vocabulary_file(FILE *file, const th_tokenizer *t)
{
    put_vocabulary(file, t);
    (void)fputc('\n', file);
}

// One token a line, in the order of their ids; an id without one has an empty line.
static void put_list(FILE *file, const th_tokenizer *t)
{
    for (int32_t id = 0; id < t->vocabulary; id++) {
        const char *bytes;
        size_t      size;
        bool        ends;

        if (th_tokenizer_token(t, id, &bytes, &size, &ends))
            (void)fwrite(bytes, 1, size, file);
        (void)fputc('\n', file);
    }
}

// Ends the text and publishes it.
static th_code publish(page *p, const char *folder, const char *name, th_err *err)
{
    th_code rc = TH_OK;
    char    path[PATH_MAX];

    TH_TRY(end(p, err));
    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EIO, "use a shorter path",
             "path \"%.100s...\" is too long", folder);
    TH_TRY(th_file_replace(path, p->text, p->size, err));
out:
    return rc;
}

static th_code write_file(const th_tokenizer *t, const char *folder, const char *name,
                          void (*put)(FILE *file, const th_tokenizer *t), th_err *err)
{
    th_code rc = TH_OK;
    page    p;

    TH_TRY(begin(&p, err));
    put(p.file, t);
    TH_TRY(publish(&p, folder, name, err));
out:
    done(&p);
    return rc;
}

static th_code write_config(const th_tokenizer *t, const char *folder, int64_t context, th_err *err)
{
    th_code rc = TH_OK;
    page    p;

    TH_TRY(begin(&p, err));
    put_config(p.file, t, context);
    TH_TRY(publish(&p, folder, "tokenizer_config.json", err));
out:
    done(&p);
    return rc;
}

th_code th_tokenizer_write_hf(const th_tokenizer *t, const char *folder, int64_t context,
                              th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(write_file(t, folder, TH_TOKENIZER_JSON, put_json, err));
    TH_TRY(write_config(t, folder, context, err));
    TH_TRY(write_file(t, folder, "special_tokens_map.json", put_map, err));
    if (t->kind == TH_TOKENS_CLIP) {
        TH_TRY(write_file(t, folder, "vocab.json", put_vocabulary_file, err));
        TH_TRY(write_file(t, folder, "merges.txt", put_merges_file, err));
    } else {
        TH_TRY(write_file(t, folder, "vocab.txt", put_list, err));
    }
out:
    return rc == TH_OK ? rc : th_during(err, "writing the tokenizer to \"%s\"", folder);
}
