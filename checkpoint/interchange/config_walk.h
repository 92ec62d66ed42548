/* checkpoint/interchange/config_walk.h - a config is walked by a table of its fields: what is taken
 * over, what must be as thaw's towers have it, what does not matter to the weights. Private to this
 * folder. */
#ifndef TH_CHECKPOINT_INTERCHANGE_CONFIG_WALK_H
#define TH_CHECKPOINT_INTERCHANGE_CONFIG_WALK_H

#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What is kept of one object of a config; each program's table fills some of it.
typedef struct {
    int64_t     size, patch, width, head_width, heads, layers, hidden, context;
    int64_t     vocabulary, embed, types;
    const char *activation; // borrowed from the JSON
    bool        quick_gelu, mean, first;
} th_config_seen;

typedef enum {
    TH_FIELD_SIZE,   // a whole number, kept; of a pair of equal ones (a picture's sides), one
    TH_FIELD_TEXT,   // kept
    TH_FIELD_FLAG,   // kept
    TH_FIELD_NUMBER, // must be `amount`
    TH_FIELD_WORD,   // must be `word`, or `other` where that is set, or null
    TH_FIELD_OFF,    // must be absent in effect: null, false, 0, "" or empty
    TH_FIELD_FREE,   // does not matter here
} th_field_kind;

typedef struct {
    const char   *name; // NULL behind the last one
    th_field_kind kind;
    size_t        offset; // in th_config_seen
    double        amount;
    const char   *word, *other;
} th_config_field;

#define TH_KEEP(label, how, member)                                                                \
    {                                                                                              \
        .name = (label), .kind = (how), .offset = offsetof(th_config_seen, member)                 \
    }
#define TH_FREE(label)                                                                             \
    {                                                                                              \
        .name = (label), .kind = TH_FIELD_FREE                                                     \
    }
#define TH_OFF(label)                                                                              \
    {                                                                                              \
        .name = (label), .kind = TH_FIELD_OFF                                                      \
    }

/* Walks an object; `where` is its name in messages. A field that no row names is refused if
 * `strict`, unless it is off. Errors: TH_EDATA when it is no object, TH_EUSAGE naming the field and
 * its value. */
TH_MUST_CHECK th_code th_config_walk(const json_t *object, const char *where,
                                     const th_config_field *fields, bool strict, th_config_seen *to,
                                     th_err *err);

extern const char th_config_fix_model[]; // what to do about a model that thaw does not have

#endif
