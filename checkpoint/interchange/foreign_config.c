#include "checkpoint/interchange/foreign_config.h"

#include "base/file.h"

#include <limits.h>
#include <stdlib.h>

#define CONFIG_BYTES ((size_t)1 << 20)

void th_config_pixels(const json_t *mean, const json_t *deviation, th_foreign_model *out)
{
    out->has_pixels = json_array_size(mean) == 3 && json_array_size(deviation) == 3;
    for (size_t i = 0; i < 3 && out->has_pixels; i++) {
        out->mean[i] = json_number_value(json_array_get(mean, i)); // 0 of what is no number
        out->deviation[i] = json_number_value(json_array_get(deviation, i));
        out->has_pixels = out->deviation[i] > 0;
    }
}

// *out is NULL when there is no such file.
static th_code read_json(const char *folder, const char *name, json_t **out, th_err *err)
{
    char         path[PATH_MAX], *text = NULL;
    size_t       size;
    json_error_t where;
    th_code      rc = TH_OK;

    *out = NULL;
    TH_CHECK(th_path_join(path, sizeof path, folder, name), TH_EUSAGE, "use a shorter path",
             "the path of \"%s\" is too long", name);
    if (!th_path_exists(path))
        goto out;
    TH_TRY(th_file_read(path, CONFIG_BYTES, &text, &size, err));
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    TH_CHECK(*out, TH_EDATA, "get the config again from where it is whole",
             "%s is no JSON: line %d: %.120s", name, where.line, where.text);
out:
    free(text);
    return rc;
}

th_code th_foreign_config_read(const char *folder, th_format format, th_foreign_model *out,
                               bool *out_found, th_err *err)
{
    const char      *name = format == TH_OPEN_CLIP ? "open_clip_config.json" : "config.json";
    th_foreign_model model = { .format = format, .configured = true };
    json_t          *config = NULL, *beside = NULL;
    th_code          rc = TH_OK;

    TH_TRY(read_json(folder, name, &config, err));
    *out_found = config != NULL;
    if (!config)
        goto out;
    if (format == TH_OPEN_CLIP) {
        TH_TRY(th_config_open_clip(config, &model, err));
    } else if (format == TH_BERT) {
        TH_TRY(read_json(folder, "1_Pooling/config.json", &beside, err));
        TH_TRY(th_config_bert(config, beside, &model, err));
    } else {
        TH_TRY(read_json(folder, "preprocessor_config.json", &beside, err));
        TH_TRY(th_config_clip(config, &model, err));
        th_config_pixels(json_object_get(beside, "image_mean"),
                         json_object_get(beside, "image_std"), &model);
    }
    *out = model;
out:
    json_decref(config);
    json_decref(beside);
    return rc == TH_OK ? TH_OK : th_during(err, "reading the config in \"%s\"", folder);
}
