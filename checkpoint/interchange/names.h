/* checkpoint/interchange/names.h - what a row of thaw's table is called elsewhere.
 *
 * A row is one tensor there, or up to three that lie below each other in it (query, key and value
 * of an attention), and a projection may lie on its side. The rules are tables, one a format, used
 * in both directions. */
#ifndef TH_CHECKPOINT_INTERCHANGE_NAMES_H
#define TH_CHECKPOINT_INTERCHANGE_NAMES_H

#include "checkpoint/interchange/safetensors.h"
#include <stdbool.h>

#define TH_NAME_PARTS 3

typedef enum { TH_OPEN_CLIP, TH_HUGGING_FACE, TH_BERT, TH_FORMATS } th_format;

/* '#' is the number of a block, the same in all names of a rule. */
typedef struct {
    const char *row;
    const char *parts[TH_NAME_PARTS]; // NULL behind the last one
    bool        transposed;           // the row is [n, m], the tensor [m, n]
} th_name_rule;

typedef struct {
    int  count; // of parts; their first dimensions add up to the row's
    char names[TH_NAME_PARTS][TH_SAFETENSORS_NAME];
    bool transposed;
} th_name_parts;

/* The tensors that a row is made of; false when the format has no such row. Any thread. */
bool th_names_of(th_format format, const char *row, th_name_parts *out);

/* The name that the tables know, for one as it stands in a file: without the prefixes that wrappers
 * put before it ("module.", "_orig_mod.", open_clip's "text." before a text tower,
 * "bert."). Points into
 * `name`. */
const char *th_names_plain(th_format format, const char *name);

/* Is it a tensor that a model of this format may have, and that says nothing thaw does not know:
 * position ids, masks, sizes? */
bool th_names_idle(th_format format, const char *plain);

/* A feature that thaw's towers lack and that the name gives away ("layer scale"), or NULL. */
const char *th_names_foreign_part(const char *plain);

/* The tables; the last row is zero. A row that open_clip's table does not name is called as it is
 * there. */
extern const th_name_rule th_names_hugging_face[];
extern const th_name_rule th_names_bert[];

#endif
