#include "base/file.h"
#include "base/log.h"
#include "launch/verb.h"

#include <stdio.h>

th_code th_verb_stop(const th_command_line *line, th_err *err)
{
    char    path[4096];
    th_code rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_CHECK(line->word_count == 1, TH_EUSAGE, "thaw stop RUN",
             "thaw stop takes one run directory, not %d words", line->word_count);
    TH_CHECK(th_path_join(path, sizeof path, line->words[0], "config.resolved.yaml") &&
                 th_path_exists(path),
             TH_EDATA, "name the folder that thaw train wrote", "\"%s\" is not a run directory",
             line->words[0]);
    TH_CHECK(th_path_join(path, sizeof path, line->words[0], "halt"), TH_EUSAGE,
             "use a shorter path", "path \"%s\" is too long", line->words[0]);
    TH_TRY(th_file_replace(path, "", 0, err));
    printf("%s stops at its next step; the command that started it goes on with it\n",
           line->words[0]);
out:
    return rc;
}
