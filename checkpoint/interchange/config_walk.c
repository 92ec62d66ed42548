#include "checkpoint/interchange/config_walk.h"

#include <stdlib.h>
#include <string.h>

#define MOST_SIZE ((json_int_t)1 << 40) // so that small multiples stay in range

const char th_config_fix_model[] =
    "thaw has CLIP's towers, and BERT's for text; take another model";

static bool is_off(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && !*json_string_value(value)) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool get_size(const json_t *value, int64_t *out)
{
    if (json_array_size(value) == 2 &&
        json_equal(json_array_get(value, 0), json_array_get(value, 1)))
        value = json_array_get(value, 0);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > MOST_SIZE)
        return false;
    *out = json_integer_value(value);
    return true;
}

static bool is_word(const json_t *value, const char *word)
{
    return word && json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}

static bool accept(const th_config_field *about, const json_t *value, th_config_seen *to)
{
    void *place = (char *)to + about->offset;

    switch (about->kind) {
    case TH_FIELD_SIZE:
        return get_size(value, place);
    case TH_FIELD_TEXT:
        *(const char **)place = json_string_value(value);
        return json_is_string(value);
    case TH_FIELD_FLAG:
        *(bool *)place = json_is_true(value);
        return json_is_boolean(value);
    case TH_FIELD_NUMBER:
        return json_is_number(value) && json_number_value(value) == about->amount;
    case TH_FIELD_WORD:
        return json_is_null(value) || is_word(value, about->word) || is_word(value, about->other);
    case TH_FIELD_OFF:
        return is_off(value);
    case TH_FIELD_FREE:
        break;
    }
    return true;
}

static th_code refuse(const json_t *value, const char *where, const char *name, bool known,
                      th_err *err)
{
    const char *fix = known ? th_config_fix_model
                            : "remove the field if it does not change what the model computes";
    char       *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    th_code     rc =
        th_fail(err, TH_EUSAGE, fix, __FILE__, __LINE__, "%s.%.60s is %.80s, which thaw %s", where,
                name, text ? text : "?", known ? "cannot follow" : "does not know");

    free(text);
    return rc;
}

th_code th_config_walk(const json_t *object, const char *where, const th_config_field *fields,
                       bool strict, th_config_seen *to, th_err *err)
{
    const char *name;
    json_t     *value;
    th_code     rc = TH_OK;

    TH_CHECK(json_is_object(object), TH_EDATA, "get the config again from where it is whole",
             "the config has no object \"%s\"", where);
    json_object_foreach((json_t *)object, name, value)
    {
        const th_config_field *row = fields;
        while (row->name && strcmp(row->name, name) != 0)
            row++;
        if (row->name ? !accept(row, value, to) : strict && !is_off(value))
            TH_TRY(refuse(value, where, name, row->name != NULL, err));
    }
out:
    return rc;
}
