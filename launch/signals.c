#include "launch/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_asked;

// Sets a flag, which the run looks at once a step. The second signal means now; but USR2, by which
// thaw says a wish again (launch/launcher.c), never does.
static void on_signal(int signal)
{
    if (stop_asked && signal != SIGUSR2)
        _exit(128 + signal);
    stop_asked = 1;
}

th_code th_signals_install(th_err *err)
{
    static const int signals[] = { SIGUSR1, SIGUSR2, SIGTERM, SIGINT };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    th_code          rc = TH_OK;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        TH_CHECK(sigaction(signals[i], &action, NULL) == 0, TH_EIO, "",
                 "could not install a signal handler: %s", strerror(errno));
out:
    return rc;
}

bool th_signals_stop_asked(void)
{
    return stop_asked;
}
