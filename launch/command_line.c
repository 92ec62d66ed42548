#include "launch/command_line.h"

#include <string.h>

#define POOL_BYTES ((size_t)1 << 20)

static th_code add_option(th_command_line *line, const char *name, const char *value, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(line->option_count < TH_WORDS, TH_EUSAGE, "put them in a run file",
             "there are more than %d options", TH_WORDS);
    line->names[line->option_count] = name;
    line->values[line->option_count++] = value;
out:
    return rc;
}

static th_code add_word(th_command_line *line, const char *word, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(line->word_count < TH_WORDS, TH_EUSAGE, "give fewer", "there are more than %d words",
             TH_WORDS);
    line->words[line->word_count++] = word;
out:
    return rc;
}

// The name of `--name` or `name=value`, copied; dashes inside become underscores where only that
// spelling is known.
static const char *known_name(th_command_line *line, const char *text, size_t size,
                              const th_option_set *sets, int set_count, const th_option **out_row)
{
    char name[128];

    if (size >= sizeof name)
        return NULL;
    memcpy(name, text, size);
    name[size] = '\0';
    *out_row = th_option_find(sets, set_count, name, NULL);
    if (!*out_row) {
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : *c;
        *out_row = th_option_find(sets, set_count, name, NULL);
    }
    return *out_row ? th_arena_text(&line->pool, name) : NULL;
}

// Looks at argv[i]; *out_used is how many arguments it took.
static th_code take(th_command_line *line, int i, const th_option_set *sets, int set_count,
                    int *out_used, th_err *err)
{
    const char      *word = line->argv[i];
    bool             letter = word[0] == '-' && word[1] && word[1] != '-' && !word[2];
    bool             dashed = letter || strncmp(word, "--", 2) == 0;
    const char      *text = word + (letter ? 1 : dashed ? 2 : 0);
    const char      *equals = strchr(text, '=');
    const th_option *row = NULL;
    th_code          rc = TH_OK;

    *out_used = 1;
    if (!dashed && !equals) {
        TH_TRY(add_word(line, word, err));
        goto out;
    }
    size_t      size = equals ? (size_t)(equals - text) : strlen(text);
    const char *name = known_name(line, text, size, sets, set_count, &row);
    if (!name) {
        char        given[128];
        const char *near;
        (void)snprintf(given, sizeof given, "%.*s", (int)size, text);
        near = th_option_nearest(sets, set_count, given);
        TH_FAIL(TH_EUSAGE, "see thaw help for the verb's options", "unknown option \"%s\"%s%s%s",
                given, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    if (equals) {
        TH_TRY(add_option(line, name, equals + 1, err));
    } else if (row->kind == TH_FLAG) {
        TH_TRY(add_option(line, name, "true", err));
    } else {
        TH_CHECK(i + 1 < line->argc, TH_EUSAGE, "write the value behind it",
                 "option %s has no value", word);
        TH_TRY(add_option(line, name, line->argv[i + 1], err));
        *out_used = 2;
    }
out:
    return rc;
}

th_code th_command_line_parse(int argc, char **argv, int first, const th_option_set *sets,
                              int set_count, th_command_line *out, th_err *err)
{
    th_command_line line = { .program = argv[0], .argc = argc, .argv = argv };
    th_code         rc = TH_OK;
    int             used;

    TH_TRY(th_arena_open(&line.pool, POOL_BYTES, err));
    for (int i = first; i < argc; i += used) {
        if (strcmp(argv[i], "--") == 0) { // all that follows are words
            while (++i < argc)
                TH_TRY(add_word(&line, argv[i], err));
            break;
        }
        TH_TRY(take(&line, i, sets, set_count, &used, err));
    }
    *out = line;
out:
    if (rc != TH_OK)
        th_command_line_done(&line);
    return rc;
}

void th_command_line_done(th_command_line *line)
{
    th_arena_close(&line->pool);
}

th_code th_command_line_apply(const th_command_line *line, const th_option_set *sets, int set_count,
                              th_arena *pool, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_options_default(sets, set_count, pool, err));
    for (int i = 0; i < line->option_count; i++)
        TH_TRY(th_option_set_value(sets, set_count, line->names[i], line->values[i], pool, err));
out:
    return rc;
}
