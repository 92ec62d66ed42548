#include "launch/orphan.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile sig_atomic_t parent;

// The kernel tells of the end of the thread that started us, which is not always that of its
// process.
static void on_end(int signal)
{
    (void)signal;
    if (getppid() != (pid_t)parent)
        _exit(1);
}

th_code th_orphan_ends(th_err *err)
{
    struct sigaction action = { .sa_handler = on_end, .sa_flags = SA_RESTART };
    int              told_by = SIGRTMIN; // which nobody else sends or handles
    th_code          rc = TH_OK;

    parent = (sig_atomic_t)getppid();
    sigemptyset(&action.sa_mask);
    TH_CHECK(sigaction(told_by, &action, NULL) == 0, TH_EIO, "",
             "could not install a signal handler: %s", strerror(errno));
    TH_CHECK(prctl(PR_SET_PDEATHSIG, told_by) == 0, TH_EIO, "",
             "could not ask to be told of the end of the process that started this one: %s",
             strerror(errno));
    on_end(told_by); // it may have ended meanwhile
out:
    return rc;
}
