#include "checkpoint/interchange/names.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

// Does `name` follow the pattern? *number is then the block's, its digits as they stand.
static bool match(const char *pattern, const char *name, char number[12])
{
    number[0] = '\0';
    while (*pattern && *name) {
        if (*pattern == '#') {
            size_t digits = strspn(name, "0123456789");
            if (digits == 0 || digits > 9)
                return false;
            memcpy(number, name, digits);
            number[digits] = '\0';
            name += digits;
            pattern++;
        } else if (*pattern++ != *name++) {
            return false;
        }
    }
    return !*pattern && !*name;
}

static void put_number(const char *pattern, const char *number, char out[TH_SAFETENSORS_NAME])
{
    const char *mark = strchr(pattern, '#');
    int         head = mark ? (int)(mark - pattern) : (int)strlen(pattern);

    (void)snprintf(out, TH_SAFETENSORS_NAME, "%.*s%s%s", head, pattern, mark ? number : "",
                   mark ? mark + 1 : "");
}

bool th_names_of(th_format format, const char *row, th_name_parts *out)
{
    const th_name_rule *rules = format == TH_BERT ? th_names_bert : th_names_hugging_face;
    char                number[12];

    if (format == TH_OPEN_CLIP) { // thaw's names are open_clip's
        *out = (th_name_parts){ .count = 1 };
        (void)snprintf(out->names[0], sizeof out->names[0], "%s", row);
        return true;
    }
    for (const th_name_rule *rule = rules; rule->row; rule++) {
        if (!match(rule->row, row, number))
            continue;
        *out = (th_name_parts){ .transposed = rule->transposed };
        for (int i = 0; i < TH_NAME_PARTS && rule->parts[i]; i++)
            put_number(rule->parts[i], number, out->names[out->count++]);
        return true;
    }
    return false;
}

// Skips a prefix where it stands.
static const char *without(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(name, prefix, length) == 0 ? name + length : name;
}

const char *th_names_plain(th_format format, const char *name)
{
    name = without(without(name, "_orig_mod."), "module.");
    if (format == TH_BERT) // a model with a head on it; sentence-transformers
        return without(without(name, "0.auto_model."), "bert.");
    return format == TH_OPEN_CLIP ? without(name, "text.") : name;
}

bool th_names_idle(th_format format, const char *plain)
{
    static const char *const idle[TH_FORMATS][5] = {
        [TH_OPEN_CLIP] = { "attn_mask", "input_resolution", "context_length", "vocab_size" },
        [TH_HUGGING_FACE] = { "*.position_ids" },
        // The pooler and the heads stand behind what a text tower gives.
        [TH_BERT] = { "embeddings.position_ids", "pooler.dense.*", "cls.*" },
    };

    for (int i = 0; idle[format][i]; i++)
        if (fnmatch(idle[format][i], plain, 0) == 0)
            return true;
    return false;
}

const char *th_names_foreign_part(const char *plain)
{
    static const struct {
        const char *pattern, *part;
    } parts[] = {
        { "visual.trunk.*", "an image tower of timm" },
        { "visual.layer1.*", "a ResNet image tower" },
        { "visual.attn_pool.*", "attentional pooling" },
        { "*.head.probe", "attentional pooling" },
        { "*.ls_1.gamma", "layer scale" },
        { "*.attn.ln_?.*", "norms within attention" },
        { "*.attn.head_scale", "scaled heads" },
        { "*.attn.logit_scale", "cosine attention" },
        { "*.ln_attn.*", "a norm behind attention" },
        { "*.mlp.ln.*", "a norm within MLPs" },
        { "cls_emb", "a class token in the text tower" },
        { "text_projection.bias", "a text projection with a bias" },
        { "transformer.encoder.layer.*", "a text tower of transformers" },
        { "text_decoder.*", "a text decoder" },
    };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (fnmatch(parts[i].pattern, plain, 0) == 0)
            return parts[i].part;
    return NULL;
}
