#include "launch/run_input.h"

#include "base/hash.h"
#include "launch/environment.h"
#include "launch/run_directory.h"
#include "launch/run_file.h"

#include <stdlib.h>
#include <string.h>

#define POOL_BYTES ((size_t)8 << 20)

th_code th_run_input_open(const th_command_line *line, th_run_input_files *out, th_err *err)
{
    char   *identity = NULL;
    th_code rc = TH_OK;

    TH_CHECK(line->word_count == 1, TH_EUSAGE, "name the run file",
             "thaw %s takes one run file, not %d words", line->verb, line->word_count);
    TH_TRY(th_arena_open(&out->pool, POOL_BYTES, err));
    TH_TRY(th_run_file_load(line->words[0], true, line, &out->pool, &out->schedule, err));
    TH_TRY(th_run_directory_name(line->words[0], out->schedule.options.run_dir, out->folder,
                                 sizeof out->folder, err));
    TH_TRY(th_run_file_text(&out->schedule, true, &out->resolved, err));
    TH_TRY(th_run_file_text(&out->schedule, false, &identity, err));
    out->input = (struct th_run_input){ .schedule = &out->schedule,
                                        .folder = out->folder,
                                        .config = out->resolved,
                                        .config_hash = th_hash(identity, strlen(identity)) };
    TH_TRY(th_environment_program(&out->input.program_hash, err));
out:
    free(identity);
    return rc;
}

void th_run_input_close(th_run_input_files *files)
{
    free(files->resolved);
    files->resolved = NULL;
    th_arena_close(&files->pool);
}
