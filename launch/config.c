#include "launch/config.h"

#include "base/file.h"
#include "base/log.h"
#include "trainer/schedule/stage.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_BYTES   ((size_t)1 << 20)
#define MOST_DEPTH   8
#define NAME_BYTES   128
#define MOST_OPTIONS 512
#define MOST_PAIRS   10000 // walked in all: aliases of aliases make millions of a few lines
#define MOST_PATH    80    // of a message: the end of the path
#define LIST_BYTES   4096  // of a list, written as text

struct th_config {
    const char     *path;
    char           *text;
    yaml_document_t document;
    bool            parsed; // document is to be deleted
};

// One mapping of the file on its way into option sets.
typedef struct {
    const char          *path, *text;
    const th_option_set *sets;
    int                  set_count;
    th_arena            *pool;
    yaml_document_t     *document;
    const char          *skip;               // key of the top level that is read elsewhere, or NULL
    bool                 stage;              // only what may differ by stage is allowed
    const char          *seen[MOST_OPTIONS]; // names set so far: one that stands twice is an error
    int                  seen_count;
    int                  pairs; // walked so far
} reader;

// Says where: "run.yaml:3:9: " before `what`, and the line with a caret in the log.
static th_code at(const reader *in, yaml_mark_t mark, th_err *err)
{
    const char *start = in->text;
    char        what[sizeof err->what];

    for (size_t n = 0; n < mark.line && start; n++) {
        start = strchr(start, '\n');
        start = start ? start + 1 : NULL;
    }
    if (start) { // a log line is one line
        th_warn("%s:%zu:%zu:", in->path, mark.line + 1, mark.column + 1);
        th_warn("    %.*s", (int)strcspn(start, "\r\n"), start);
        th_warn("    %*s^", (int)mark.column, "");
    }
    (void)snprintf(what, sizeof what, "%s", err->what);
    size_t length = strlen(in->path), cut = length > MOST_PATH ? length - MOST_PATH : 0;
    (void)snprintf(err->what, sizeof err->what, "%s%s:%zu:%zu: %.140s", cut ? "..." : "",
                   in->path + cut, mark.line + 1, mark.column + 1, what);
    return err->code;
}

// Of a run file: lr.over, for instance, which as an option of the run would pass for a pattern's
// rate.
static bool stage_only(const char *name)
{
    for (int i = 0; i < th_stage_table_count; i++)
        if (strcmp(th_stage_table[i].name, name) == 0)
            return true;
    return false;
}

static th_code set(reader *in, const char *name, const char *value, yaml_mark_t mark, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < in->seen_count; i++)
        if (strcmp(in->seen[i], name) == 0) {
            rc = th_fail(err, TH_EUSAGE, "leave one of them", __FILE__, __LINE__,
                         "option %s stands twice", name);
            return at(in, mark, err);
        }
    if (in->seen_count < MOST_OPTIONS) {
        in->seen[in->seen_count] = th_arena_text(in->pool, name);
        if (!in->seen[in->seen_count++])
            return th_fail(err, TH_EIO, "write a shorter run file", __FILE__, __LINE__,
                           "the run file is too long");
    }
    if (in->skip && stage_only(name)) {
        rc = th_fail(err, TH_EUSAGE,
                     "write it in each stage that it is meant for, below stages:", __FILE__,
                     __LINE__, "option %s is one of a stage", name);
        return at(in, mark, err);
    }
    const th_option *row = th_option_find(in->sets, in->set_count, name, NULL);
    if (in->stage && row && row->when != TH_PER_STAGE) {
        rc = th_fail(err, TH_EUSAGE, "set it for the whole run, outside of stages:", __FILE__,
                     __LINE__, "option %s cannot differ by stage", name);
        return at(in, mark, err);
    }
    rc = th_option_set_value(in->sets, in->set_count, name, value, in->pool, err);
    return rc == TH_OK ? TH_OK : at(in, mark, err);
}

// A sequence of scalars is the text "[a, b]", which options of pairs read.
static th_code sequence_text(reader *in, yaml_node_t *node, char *out, size_t size, th_err *err)
{
    size_t  used = (size_t)snprintf(out, size, "[");
    th_code rc = TH_OK;

    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        yaml_node_t *child = yaml_document_get_node(in->document, *item);
        if (child->type != YAML_SCALAR_NODE) {
            rc = th_fail(err, TH_EUSAGE, "see thaw help train", __FILE__, __LINE__,
                         "a list may hold only plain values here");
            return at(in, child->start_mark, err);
        }
        used += (size_t)snprintf(out + used, used < size ? size - used : 0, "%s%s",
                                 used > 1 ? ", " : "", (char *)child->data.scalar.value);
        if (used + 2 > size) {
            rc = th_fail(err, TH_EUSAGE, "see thaw help train", __FILE__, __LINE__,
                         "this list has more than %d bytes, written as text", LIST_BYTES - 1);
            return at(in, child->start_mark, err);
        }
    }
    (void)snprintf(out + used, size - used, "]");
    return rc;
}

// What is said so often that it has a short form beside its full name.
static const char *short_name(const char *name)
{
    static const char *const names[][2] = { { "lr", "optimizer.lr" },
                                            { "weight_decay", "optimizer.weight_decay" },
                                            { "augment", "data.augment" },
                                            { "loss", "loss.kind" },
                                            { "views", "data.views" } };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], name) == 0)
            return names[i][1];
    return NULL;
}

static th_code walk(reader *in, yaml_node_t *node, const char *prefix, int depth, th_err *err);

static th_code walk_pair(reader *in, yaml_node_pair_t *pair, const char *prefix, int depth,
                         th_err *err)
{
    yaml_node_t *key = yaml_document_get_node(in->document, pair->key);
    yaml_node_t *value = yaml_document_get_node(in->document, pair->value);
    char         name[NAME_BYTES], list[LIST_BYTES];
    th_code      rc = TH_OK;

    if (++in->pairs > MOST_PAIRS) {
        rc = th_fail(err, TH_EUSAGE, "write it without aliases", __FILE__, __LINE__,
                     "the file has more than %d keys, those of its aliases counted each time",
                     MOST_PAIRS);
        return at(in, key->start_mark, err);
    }
    if (in->skip && !*prefix && key->type == YAML_SCALAR_NODE &&
        strcmp((char *)key->data.scalar.value, in->skip) == 0)
        return TH_OK;
    if (key->type != YAML_SCALAR_NODE ||
        (size_t)snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "",
                         (char *)key->data.scalar.value) >= sizeof name) {
        rc = th_fail(err, TH_EUSAGE, "see thaw help train", __FILE__, __LINE__,
                     "a key must be a short plain word");
        return at(in, key->start_mark, err);
    }
    const char *full = !*prefix && value->type == YAML_SCALAR_NODE ? short_name(name) : NULL;
    if (full)
        (void)snprintf(name, sizeof name, "%s", full);
    switch (value->type) {
    case YAML_MAPPING_NODE:
        return walk(in, value, name, depth + 1, err);
    case YAML_SEQUENCE_NODE:
        rc = sequence_text(in, value, list, sizeof list, err);
        return rc == TH_OK ? set(in, name, list, key->start_mark, err) : rc;
    default:
        return set(in, name, (char *)value->data.scalar.value, key->start_mark, err);
    }
}

static th_code walk(reader *in, yaml_node_t *node, const char *prefix, int depth, th_err *err)
{
    th_code rc = TH_OK;

    if (node->type != YAML_MAPPING_NODE || depth > MOST_DEPTH) {
        rc = th_fail(err, TH_EUSAGE, "see thaw help train for an example", __FILE__, __LINE__,
                     "a run file is a mapping of options");
        return at(in, node->start_mark, err);
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++)
        TH_TRY(walk_pair(in, pair, prefix, depth, err));
out:
    return rc;
}

// Takes `text` over.
static th_code parse(const char *path, char *text, size_t size, th_config **out, th_err *err)
{
    th_config    *config = NULL;
    yaml_parser_t parser;
    th_code       rc = TH_OK;

    rc = th_alloc(1, sizeof *config, "run file", (void **)&config, err);
    if (rc != TH_OK) {
        free(text);
        return rc;
    }
    config->path = path;
    config->text = text;
    TH_CHECK(yaml_parser_initialize(&parser), TH_EIO, "free some memory",
             "could not start reading \"%s\"", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)config->text, size);
    config->parsed = yaml_parser_load(&parser, &config->document);
    if (!config->parsed) {
        reader in = { .path = path, .text = config->text };
        rc = th_fail(err, TH_EUSAGE, "write it as YAML: name: value, indented by spaces", __FILE__,
                     __LINE__, "not YAML: %s", parser.problem ? parser.problem : "unreadable");
        (void)at(&in, parser.problem_mark, err);
    }
    yaml_parser_delete(&parser);
    TH_TRY(rc);
    *out = config;
out:
    if (rc != TH_OK)
        th_config_close(config);
    return rc;
}

th_code th_config_open(const char *path, th_config **out, th_err *err)
{
    char   *text = NULL;
    size_t  size;
    th_code rc = TH_OK;

    TH_TRY(th_file_read(path, FILE_BYTES, &text, &size, err));
    TH_TRY(parse(path, text, size, out, err));
out:
    return rc;
}

th_code th_config_parse(const char *text, const char *name, th_config **out, th_err *err)
{
    char   *copy = strdup(text);
    th_code rc = TH_OK;

    TH_CHECK(copy, TH_EIO, "free some memory", "could not copy %s: out of memory", name);
    TH_TRY(parse(name, copy, strlen(copy), out, err));
out:
    return rc;
}

void th_config_close(th_config *config)
{
    if (!config)
        return;
    if (config->parsed)
        yaml_document_delete(&config->document);
    free(config->text);
    free(config);
}

// The value of a key of the top level, or NULL.
static yaml_node_t *find(th_config *config, const char *key)
{
    yaml_node_t *root = yaml_document_get_root_node(&config->document);

    if (!root || root->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = yaml_document_get_node(&config->document, pair->key);
        if (name->type == YAML_SCALAR_NODE && strcmp((char *)name->data.scalar.value, key) == 0)
            return yaml_document_get_node(&config->document, pair->value);
    }
    return NULL;
}

int th_config_items(th_config *config, const char *key)
{
    yaml_node_t *list = find(config, key);

    if (!list)
        return 0;
    return list->type == YAML_SEQUENCE_NODE
               ? (int)(list->data.sequence.items.top - list->data.sequence.items.start)
               : -1;
}

static th_code apply(th_config *config, const char *skip, const th_option_set *sets, int set_count,
                     th_arena *pool, th_err *err)
{
    yaml_node_t *root = yaml_document_get_root_node(&config->document);
    reader       in = { .path = config->path,
                        .text = config->text,
                        .sets = sets,
                        .set_count = set_count,
                        .pool = pool,
                        .document = &config->document,
                        .skip = skip };

    return root ? walk(&in, root, "", 0, err) : TH_OK; // an empty file sets nothing
}

th_code th_config_apply_item(th_config *config, const char *key, int item,
                             const th_option_set *sets, int set_count, th_arena *pool, th_err *err)
{
    yaml_node_t *list = find(config, key);
    reader       in = { .path = config->path,
                        .text = config->text,
                        .sets = sets,
                        .set_count = set_count,
                        .pool = pool,
                        .document = &config->document,
                        .stage = true };

    return walk(&in,
                yaml_document_get_node(&config->document, list->data.sequence.items.start[item]),
                "", 0, err);
}

// THAW_ and the name in capitals, dots as underscores.
static th_code load_environment(const th_option_set *sets, int set_count, th_arena *pool,
                                th_err *err)
{
    th_code rc = TH_OK;

    for (int s = 0; s < set_count; s++)
        for (int i = 0; i < sets[s].count; i++) {
            const th_option *row = &sets[s].rows[i];
            char             variable[NAME_BYTES] = "THAW_";
            size_t           used = strlen(variable);
            if (row->kind == TH_MAP)
                continue;
            for (const char *c = row->name; *c && used + 1 < sizeof variable; c++)
                variable[used++] = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
            const char *value = getenv(variable);
            if (!value)
                continue;
            rc = th_option_set_value(sets, set_count, row->name, value, pool, err);
            if (rc != TH_OK)
                return th_during(err, "reading the environment variable %s", variable);
        }
    return rc;
}

// Options that have no default must have been given.
static th_code check_required(const char *path, const th_option_set *sets, int set_count,
                              th_err *err)
{
    th_code rc = TH_OK;

    for (int s = 0; s < set_count; s++)
        for (int i = 0; i < sets[s].count; i++) {
            const th_option *row = &sets[s].rows[i];
            if (row->required && row->kind == TH_TEXT)
                TH_CHECK(*(const char **)((char *)sets[s].values + row->offset), TH_EUSAGE,
                         "add it to the run file", "%s: option %s is missing (%s)", path, row->name,
                         row->help);
        }
out:
    return rc;
}

th_code th_config_apply(th_config *config, const char *skip, const th_option_set *sets,
                        int set_count, th_arena *pool, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_options_default(sets, set_count, pool, err));
    TH_TRY(apply(config, skip, sets, set_count, pool, err));
out:
    return rc;
}

th_code th_config_resolve(th_config *config, const char *skip, bool environment,
                          const th_command_line *line, const th_option_set *sets, int set_count,
                          th_arena *pool, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_config_apply(config, skip, sets, set_count, pool, err));
    if (environment)
        TH_TRY(load_environment(sets, set_count, pool, err));
    for (int i = 0; line && i < line->option_count; i++)
        if (th_option_find(sets, set_count, line->names[i], NULL))
            TH_TRY(
                th_option_set_value(sets, set_count, line->names[i], line->values[i], pool, err));
    TH_TRY(check_required(config->path, sets, set_count, err));
out:
    return rc;
}

th_code th_config_load(const char *path, bool environment, const th_command_line *line,
                       const th_option_set *sets, int set_count, th_arena *pool, th_err *err)
{
    th_config *config = NULL;
    th_code    rc = TH_OK;

    TH_TRY(th_config_open(path, &config, err));
    TH_TRY(th_config_resolve(config, NULL, environment, line, sets, set_count, pool, err));
out:
    th_config_close(config);
    return rc;
}

th_code th_config_text(const th_option_set *sets, int set_count, bool whole, char **out,
                       th_err *err)
{
    char   *text = NULL;
    size_t  size;
    FILE   *memory = open_memstream(&text, &size);
    th_code rc = TH_OK;

    TH_CHECK(memory, TH_EIO, "free some memory", "could not print the configuration: %s",
             strerror(errno));
    th_options_print_yaml(sets, set_count, whole, memory);
    TH_CHECK(fclose(memory) == 0, TH_EIO, "free some memory",
             "could not print the configuration: %s", strerror(errno));
    *out = text;
out:
    return rc;
}
