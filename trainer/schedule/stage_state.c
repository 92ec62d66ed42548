#include "trainer/schedule/stage_state.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ROWS 12000 // of a table: 3000 digits, which a checkpoint's state holds

// Four rows a hexadecimal digit, the first one in the lowest bit.
static void print_rows(const bool *rows, int count, char *out)
{
    for (int i = 0; i < count; i += 4) {
        int digit = 0;
        for (int k = 0; k < 4 && i + k < count; k++)
            digit |= rows[i + k] << k;
        *out++ = "0123456789abcdef"[digit];
    }
    *out = '\0';
}

static bool read_rows(const char *text, bool *rows, int count)
{
    if ((int)strlen(text) != (count + 3) / 4)
        return false;
    for (int i = 0; i < count; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, text[i / 4]);
        if (!at)
            return false;
        rows[i] = (at - digits) >> (i % 4) & 1;
    }
    return true;
}

th_code th_stage_state_print(const bool *before, int row_count, const th_trigger *trigger,
                             char *out, size_t size, th_err *err)
{
    char   *rows = NULL, *text = NULL;
    json_t *json = NULL;
    th_code rc = TH_OK;

    TH_CHECK(row_count <= MOST_ROWS, TH_EUSAGE, "use a model with fewer layers",
             "stages know tables of at most %d parameters, not %d", MOST_ROWS, row_count);
    TH_TRY(th_alloc((size_t)row_count / 4 + 2, 1, "stage state", (void **)&rows, err));
    print_rows(before, row_count, rows);
    json = json_pack("{s:s, s:b, s:f, s:I, s:b}", "before", rows, "seen", trigger->seen, "best",
                     trigger->best, "since", (json_int_t)trigger->since, "fell", trigger->fell);
    text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    TH_CHECK(text && strlen(text) < size, TH_EUSAGE, "use a model with fewer layers",
             "the state of the stage does not fit into a checkpoint");
    memcpy(out, text, strlen(text) + 1);
out:
    free(rows);
    free(text);
    json_decref(json);
    return rc;
}

th_code th_stage_state_read(const char *text, bool *before, int row_count, th_trigger *trigger,
                            th_err *err)
{
    const char *rows = NULL;
    int         seen = 0, fell = 0;
    double      best = 0;
    json_int_t  since = 0;
    json_t     *json = NULL;
    th_code     rc = TH_OK;

    if (*text == '\0')
        return TH_OK;
    json = json_loads(text, 0, NULL);
    TH_CHECK(json && json_unpack(json, "{s:s, s:b, s:F, s:I, s:b}", "before", &rows, "seen", &seen,
                                 "best", &best, "since", &since, "fell", &fell) == 0,
             TH_EDATA, "go on with the version of thaw that wrote it",
             "the checkpoint's state of the stage cannot be read");
    TH_CHECK(read_rows(rows, before, row_count), TH_EDATA,
             "go on with the run file that it was started with",
             "the checkpoint's stage is of another model");
    trigger->seen = seen;
    trigger->best = best;
    trigger->since = since;
    trigger->fell = fell;
out:
    json_decref(json);
    return rc;
}
