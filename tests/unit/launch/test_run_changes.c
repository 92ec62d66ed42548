/* tests/unit/launch/test_run_changes.c - a run file is edited between two starts: what is to come
 * may change, what happened may not. */
#include "tests/test.h"

#include "base/file.h"
#include "base/log.h"
#include "checkpoint/writer.h"
#include "launch/run_changes.h"
#include "launch/run_file.h"

typedef struct {
    char        run[256], log[320];
    th_schedule now;
    th_arena    pool;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    void    *folder = NULL;
    th_err   err = { 0 };

    if (!f || th_test_folder_open(&folder) != 0)
        return -1;
    (void)snprintf(f->run, sizeof f->run, "%s", (char *)folder);
    free(folder);
    th_test_path(f->log, sizeof f->log, f->run, "log.txt");
    *state = f;
    return th_arena_open(&f->pool, 16 << 20, &err) == TH_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    void    *folder = strdup(f->run);

    th_arena_close(&f->pool);
    free(f);
    return th_test_folder_close(&folder);
}

static void load(fixture *f, const char *text)
{
    th_err err = { 0 };
    char   path[320];

    th_test_path(path, sizeof path, f->run, "run.yaml");
    th_assert_ok(th_file_replace(path, text, strlen(text), &err), &err);
    th_assert_ok(th_run_file_load(path, false, NULL, &f->pool, &f->now, &err), &err);
}

// The run began with this file, and its newest checkpoint stands in that stage (-1: it has none).
static void began(fixture *f, const char *text, int64_t stage)
{
    float              value = 1;
    th_saved_parameter parameter = { .model = { .name = "logit_scale", .data = &value } };
    th_snapshot        snapshot = { .parameters = &parameter,
                                    .parameter_count = 1,
                                    .config = "",
                                    .state = { .step = 10 * stage, .stage = stage } };
    char               folder[320], path[320], *resolved;
    th_writer         *writer;
    th_err             err = { 0 };

    load(f, text);
    th_assert_ok(th_run_file_text(&f->now, true, &resolved, &err), &err);
    th_test_path(path, sizeof path, f->run, "config.resolved.yaml");
    th_assert_ok(th_file_replace(path, resolved, strlen(resolved), &err), &err);
    free(resolved);
    if (stage < 0)
        return;
    th_test_path(folder, sizeof folder, f->run, "ckpt");
    th_assert_ok(th_writer_open(&(th_writer_options){ .folder = folder, .keep = 2 }, &snapshot,
                                &writer, &err),
                 &err);
    th_assert_ok(th_writer_save(writer, &snapshot, &err), &err);
    th_assert_ok(th_writer_wait(writer, &err), &err);
    th_writer_close(writer);
}

// The run file as it is now, against the one before. The log of it is kept.
static th_code changes(fixture *f, const char *text, bool accept, th_err *err)
{
    load(f, text);
    (void)remove(f->log);
    th_assert_ok(th_log_file(f->log, err), err);
    th_code rc = th_run_changes(f->run, &f->now, accept, err);
    (void)th_log_file(NULL, NULL);
    return rc;
}

static void assert_logged(const fixture *f, const char *words)
{
    th_err err = { 0 };
    char  *log;
    size_t size;

    th_assert_ok(th_file_read(f->log, 1 << 20, &log, &size, &err), &err);
    if (*words ? !strstr(log, words) : size > 0)
        fail_msg("want \"%s\" in the log:\n%s", words, log);
    free(log);
}

#define RUN   "data: {train: packs/x, val: packs/v}\nbatch: 64\nlr.warmup: 5 steps\nstages:\n"
#define ALIGN "  - {name: align, train: [text, heads], for: 2 epochs, batch: 256}\n"
#define MELT  "  - {name: melt, unfreeze: {tower: image, one_group_every: 9 steps}}\n"
#define ALL   "  - {name: all, train: all, for: 10 epochs, layer_decay: {image: 0.9}}\n"

// In the stage `melt`: what may be edited, and what the log says of it.
static void what_is_to_come_may_change(void **state)
{
    static const struct {
        const char *text, *logged;
    } rows[] = {
        { RUN ALIGN MELT ALL, "" },
        { RUN ALIGN MELT "  - {name: all, train: all, for: 12 epochs, layer_decay: {image: 0.9}}\n",
          "option for of stage all was 10 epochs and is 12 epochs now" },
        { RUN ALIGN MELT "  - {name: all, train: all, for: 10 epochs}\n",
          "option layer_decay.* of stage all was {image: 0.9} and is " },
        { RUN ALIGN MELT
          "  - {name: all, train: all, for: 10 epochs, layer_decay: {image: 0.9}, lr: 1e-5}\n",
          "option optimizer.lr of stage all was 0.0005 and is 1e-05 now" },
        { RUN ALIGN MELT "  - {name: end, train: text, for: 1 epoch}\n",
          "option train of stage end was all and is text now" },
        { RUN ALIGN MELT ALL "  - {name: more, train: heads, for: 1 epoch}\n",
          "stage \"more\" is new" },
        { RUN ALIGN MELT, "stage \"all\" is gone" },
        // What may differ at each start, and the same said in other words.
        { "threads: 2\nmemory_budget: 1 GiB\n" RUN ALIGN MELT ALL, "" },
        { RUN "  - {name: align, train: [text,   heads], for: 2 epochs, batch: 256,"
              " optimizer.weight_decay: 0.2}\n" MELT ALL,
          "" },
    };
    fixture *f = *state;

    began(f, RUN ALIGN MELT ALL, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_err err = { 0 };
        th_assert_ok(changes(f, rows[i].text, false, &err), &err);
        assert_logged(f, rows[i].logged);
    }
}

static void what_happened_may_not(void **state)
{
    static const struct {
        const char *text, *what;
    } rows[] = {
        { RUN "  - {name: align, train: [text], for: 2 epochs, batch: 256}\n" MELT ALL,
          "option train of stage align was [text, heads] when run" },
        { RUN "  - {name: align, train: [text, heads], for: 2 epochs}\n" MELT ALL,
          "option batch of stage align was 256 when run" },
        { RUN "  - {name: first, train: [text, heads], for: 2 epochs, batch: 256}\n" MELT ALL,
          "option name of stage first was align when run" },
        // The stage under way has begun.
        { RUN ALIGN "  - {name: melt, unfreeze: {tower: image, one_group_every: 8 steps}}\n" ALL,
          "option unfreeze.one_group_every of stage melt was 9 steps when run" },
        { RUN ALIGN "  - {name: melt, unfreeze: {tower: image, one_group_every: 9 steps}, for: 1 "
                    "epoch}\n" ALL,
          "option for of stage melt was never when run" },
        // An option of the run that all stages have.
        { "optimizer.weight_decay: 0\n" RUN ALIGN MELT ALL,
          "option optimizer.weight_decay of stage align was 0.2 when run" },
        { "seed: 4\n" RUN ALIGN MELT ALL, "option seed was 1 when run" },
        { "model: {embed: 8}\n" RUN ALIGN MELT ALL, "option model.embed was 0 when run" },
        { RUN MELT ALL, "of stage melt was" }, // the first one is gone
    };
    fixture *f = *state;

    began(f, RUN ALIGN MELT ALL, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        th_err err = { 0 };
        th_assert_error(changes(f, rows[i].text, false, &err), TH_EUSAGE, &err, rows[i].what);
        th_assert_ok(changes(f, rows[i].text, true, &err), &err); // --accept-changes
        assert_logged(f, "warn");
    }
    th_err err = { 0 };
    for (int accept = 0; accept < 2; accept++)
        th_assert_error(changes(f, RUN ALIGN, accept, &err), TH_EUSAGE, &err,
                        "is in stage 2, and the run file has 1");
}

// Without a checkpoint the first stage is under way; metrics and log speak of it already.
static void the_first_stage_has_begun(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };

    began(f, RUN ALIGN MELT ALL, -1);
    th_assert_ok(changes(f, RUN ALIGN ALL MELT, false, &err), &err);
    assert_logged(f, "option name of stage all was melt and is all now");
    th_assert_error(changes(f, RUN MELT ALL, false, &err), TH_EUSAGE, &err, "of stage melt was");
}

static void a_run_without_stages_gets_one_more(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };

    began(f, "data.train: packs/x\nfor: 5 steps\n", 0);
    th_assert_ok(changes(f,
                         "data.train: packs/x\nstages:\n  - {name: all, train: all, for: 5 steps}\n"
                         "  - {name: heads, train: heads, for: 5 steps}\n",
                         false, &err),
                 &err);
    assert_logged(f, "stage \"heads\" is new");
    th_assert_error(changes(f, "data.train: packs/x\nfor: 6 steps\n", false, &err), TH_EUSAGE, &err,
                    "option for was 5 steps when run");
}

// Sixty keys are more than a line of the log; the last one is what differs.
static void a_change_at_the_end_of_a_long_value_is_seen(void **state)
{
    fixture *f = *state;
    th_err   err = { 0 };
    char     texts[2][8192];

    for (int i = 0; i < 2; i++) {
        int used = snprintf(texts[i], sizeof texts[i],
                            RUN "  - name: a\n    train: all\n"
                                "    for: 9 steps\n    lr:\n");
        for (int k = 0; k < 60; k++)
            used += snprintf(texts[i] + used, sizeof texts[i] - (size_t)used,
                             "      \"*.resblocks.%d.attn.in_proj_weight\": %g\n", k,
                             k == 59 ? 1e-4 * (i + 1) : 1e-4);
    }
    began(f, texts[0], 0);
    th_assert_ok(changes(f, texts[0], false, &err), &err);
    th_assert_error(changes(f, texts[1], false, &err), TH_EUSAGE, &err, "option lr.* of stage a");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_to_come_may_change),
        IN_FOLDER(what_happened_may_not),
        IN_FOLDER(the_first_stage_has_begun),
        IN_FOLDER(a_run_without_stages_gets_one_more),
        IN_FOLDER(a_change_at_the_end_of_a_long_value_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
