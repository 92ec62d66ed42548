/* base/option.h - an option stands once, in a table: name, type, default, range, help.
 *
 * Each folder publishes a table of the fields of its own options struct; launch/ joins the tables.
 * Parser, --help, run file, resolved configuration, JSON schema and docs are loops over the rows.
 * The kind comes from the field's C type (TH_OPTION), so a row cannot disagree with the struct.
 *
 *     typedef struct { int64_t batch; th_span checkpoint_every; const char *lr_shape; } my_options;
 *     #define OPT(label, field, ...) TH_OPTION(my_options, label, field, __VA_ARGS__)
 *     const th_option my_table[] = {   // sorted by name
 *         OPT("batch", batch, .fallback = "256", .unit = "samples", .min = 2, .max = 1 << 20,
 *             .when = TH_PER_STAGE, .help = "global batch: samples per step, all ranks"),
 *     };
 */
#ifndef TH_BASE_OPTION_H
#define TH_BASE_OPTION_H

#include "base/error.h"
#include "base/memory.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum { TH_NEVER, TH_STEPS, TH_EPOCHS, TH_SAMPLES, TH_SECONDS } th_span_unit;
typedef struct { // "500 steps", "2 epochs", "1e6 samples", "30 min", "12 h", "never"
    double       amount;
    th_span_unit unit;
} th_span;
typedef struct { // "8 GiB", "500 MB", "4096"
    int64_t count;
} th_bytes;
typedef struct { // "[0.9, 0.98]"
    double first, second;
} th_pair;
typedef struct { // keys that are patterns: lr: {text.embed: 16x, image: 1e-5}
    struct th_map_row {
        const char *key;    // as written
        double      amount; // 16 or 1e-5
        bool        factor; // written with an x behind it: multiplies what would hold otherwise
    } * rows;
    int count;
} th_map;

typedef enum {
    TH_INT,  // int64_t, unit free
    TH_REAL, // double
    TH_FLAG, // bool: true, false, yes, no, on, off
    TH_TEXT, // const char *, NULL when unset and fallback is NULL
    TH_SPAN, // th_span
    TH_BYTES,
    TH_PAIR,
    TH_MAP, // the row's name ends in ".*": takes any key below that prefix that no other row has
} th_option_kind;

typedef enum { TH_PER_RUN, TH_PER_STAGE, TH_PER_START } th_option_when;
// TH_PER_RUN: part of what the run is; a resume with another value is refused.
// TH_PER_STAGE: a stage may set its own.  TH_PER_START: may differ at each start (threads, log
// level).

typedef struct th_option {
    const char    *name; // dotted, as in the run file: "optimizer.weight_decay"
    size_t         offset;
    th_option_kind kind;
    const char    *fallback; // the default, as text; NULL: none (a TH_TEXT stays NULL, others zero)
    const char    *unit;     // shown in help
    double         min, max; // inclusive; both 0: no limits. Of amounts, counts, pairs' numbers.
    const char    *choices;  // words split by spaces: a TH_TEXT must be one of them
    bool           required;
    th_option_when when;
    const char    *since; // version
    const char    *help;  // one line, lower case
} th_option;

#define TH_OPTION(type, label, field, ...)                                                           \
    {                                                                                                \
        .name = label, .offset = offsetof(type, field),                                            \
        .kind = _Generic(((type *)0)->field, int64_t: TH_INT, double: TH_REAL, bool: TH_FLAG,      \
                         const char *: TH_TEXT, th_span: TH_SPAN, th_bytes: TH_BYTES,              \
                         th_pair: TH_PAIR, th_map: TH_MAP),                                        \
        __VA_ARGS__ \
    }

/* A table together with the struct it fills. launch/ joins several into an array of these. */
typedef struct {
    const th_option *rows;
    int              count;
    void            *values;
} th_option_set;

/* Sets every field to its fallback (zero where there is none). Texts are copied to pool. */
TH_MUST_CHECK th_code th_options_default(const th_option_set *sets, int set_count, th_arena *pool,
                                         th_err *err);

/* The row of that name in the sets, or the TH_MAP row that takes it; NULL when there is none.
 * *out_set (may be NULL) is the index of its set. */
const th_option *th_option_find(const th_option_set *sets, int set_count, const char *name,
                                int *out_set);

/* The known name nearest to `name` by edit distance, for "did you mean"; NULL when none is near. */
const char *th_option_nearest(const th_option_set *sets, int set_count, const char *name);

/* Parses text into the field of that name. Texts must be UTF-8 and are copied to pool; a TH_MAP
 * gets one more key, or another value for a key that it has, in a new array of rows, so that
 * structs that were copied before keep theirs. Errors: TH_EUSAGE: unknown name (with the nearest),
 * text that is not of the kind, out of range, not among the choices; TH_EIO when the pool is full.
 * `what` is complete but for the place, which the caller adds. */
TH_MUST_CHECK th_code th_option_set_value(const th_option_set *sets, int set_count,
                                          const char *name, const char *text, th_arena *pool,
                                          th_err *err);

/* Prints a field's value so that th_option_set_value reads it back to the same bits. A TH_MAP
 * prints as {key: value, ...}, for people; a text that is not set prints as nothing. */
void th_option_print(const th_option *row, const void *values, char *out, size_t size);

/* Writes a field's value on one line as YAML: texts quoted where they must be. */
void th_option_print_flow(const th_option *row, const void *values, FILE *to);

/* Writes every row as "name: value" lines in nested YAML: the resolved configuration. Texts that
 * are not set and maps without keys are left out, and rows that are TH_PER_START when `whole` is
 * false, so that its hash says what the run is. */
void th_options_print_yaml(const th_option_set *sets, int set_count, bool whole, FILE *to);

/* Writes the help table: name, default, unit, range or choices, help. */
void th_options_print_help(const th_option_set *sets, int set_count, FILE *to);

/* Checks a table: sorted by name, unique, help present, fallbacks parse and are in range. */
TH_MUST_CHECK th_code th_options_check(const th_option *rows, int count, th_err *err);

#endif
