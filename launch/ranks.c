#include "launch/ranks.h"

#include "launch/launcher.h"
#include "launch/signals.h"

#include <stdlib.h>

static th_code start_ranks(const th_command_line *line, const th_option_set *before,
                           const int64_t *ranks, th_err *err)
{
    int     code = 0;
    th_code rc = TH_OK;

    for (int i = 0; i < line->option_count; i++)
        if (th_option_find(before, 1, line->names[i], NULL))
            TH_TRY(th_option_set_value(before, 1, line->names[i], line->values[i], NULL, err));
    if (*ranks > 0 && !th_launched()) {
        TH_TRY(th_launch(line, *ranks, &code, err));
        exit(code); // the ranks have said what there was to say
    }
    TH_TRY(th_signals_install(err)); // a signal during the start is a wish to stop as well
out:
    return rc;
}

th_code th_ranks_begin(const th_command_line *line, const th_option_set *before,
                       const int64_t *ranks, th_level level, th_world *out, th_err *err)
{
    int     argc = line->argc;
    char  **argv = line->argv;
    th_code rc = TH_OK;

    if (before)
        TH_TRY(start_ranks(line, before, ranks, err));
    TH_TRY(th_launch_prepare(err));
    TH_TRY(th_world_open(&argc, &argv, out, err));
    th_log_setup(out->rank == 0 ? level : TH_ALARM, out->size > 1 ? out->rank : -1);
out:
    return rc;
}

void th_ranks_end(th_world *world, th_code rc, th_err *err)
{
    if (world->mpi && rc != TH_OK)
        th_launch_say(world->rank == 0, err);
    th_world_close(world);
}
