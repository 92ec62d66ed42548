#include "launch/launcher.h"

#include "base/log.h"
#include "launch/environment.h"
#include "launch/orphan.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child;      // mpirun, for the handlers
static volatile sig_atomic_t stop_asked; // and whether it has been told to stop

// mpirun forgets a signal that comes before its ranks are there, so the wish is said again every
// second, by USR2, which ranks take any number of times. A second signal of ours goes on as USR1,
// which ends ranks that have had the wish at once.
static void forward(int signal)
{
    if (signal == SIGALRM || !stop_asked) {
        stop_asked = 1;
        (void)kill((pid_t)child, SIGUSR2);
        (void)alarm(1);
    } else {
        (void)kill((pid_t)child, SIGUSR1);
    }
}

bool th_launched(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || getenv("PMI_RANK");
}

// Has a scheduler given this job its nodes? Then there is a network, and the site's settings for
// it.
static bool scheduled(void)
{
    static const char *const names[] = { "SLURM_JOB_ID", "PBS_JOBID",    "LSB_JOBID",
                                         "JOB_ID",       "COBALT_JOBID", "FLUX_JOB_ID" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return true;
    return false;
}

th_code th_launch_prepare(th_err *err)
{
    const char *ranks = getenv("OMPI_COMM_WORLD_SIZE"),
               *here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    bool    one_host = !th_launched() || (ranks && here && strcmp(ranks, here) == 0);
    th_code rc = TH_OK;

    if (th_launched())
        TH_TRY(th_orphan_ends(err));
    if (!one_host || scheduled())
        goto out;
    TH_CHECK(setenv("OMPI_MCA_pml", "ob1", 0) == 0, TH_EIO, "free some memory",
             "could not set an environment variable: %s", strerror(errno));
    if (!th_launched())
        TH_CHECK(setenv("OMPI_MCA_ess_singleton_isolated", "1", 0) == 0, TH_EIO, "free some memory",
                 "could not set an environment variable: %s", strerror(errno));
out:
    return rc;
}

// In the child: a process group of its own, so that the terminal's ctrl-C reaches only the parent,
// and a wish to stop when the parent is gone, which nobody could pass one on to any more.
static _Noreturn void become_mpirun(const th_command_line *line, const char *program, int64_t ranks,
                                    const sigset_t *mask)
{
    const char *arguments[TH_WORDS + 32];
    char        count[32];
    int         n = 0;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGUSR2);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)snprintf(count, sizeof count, "%lld", (long long)ranks);
    arguments[n++] = "mpirun";
    arguments[n++] = "-n";
    arguments[n++] = count;
    arguments[n++] = "--bind-to";
    arguments[n++] = "none";
    arguments[n++] = "--quiet"; // thaw says itself how it ended
    if (ranks > sysconf(_SC_NPROCESSORS_ONLN))
        arguments[n++] = "--oversubscribe";
    arguments[n++] = program;
    for (int i = 1; i < line->argc && n < TH_WORDS + 30; i++)
        arguments[n++] = line->argv[i];
    arguments[n] = NULL;
    (void)execvp("mpirun", (char *const *)arguments);
    _exit(127);
}

th_code th_launch(const th_command_line *line, int64_t ranks, int *out, th_err *err)
{
    static const int signals[] = { SIGUSR1, SIGTERM, SIGINT, SIGALRM };
    struct sigaction action = { .sa_handler = forward };
    char             program[4096];
    sigset_t         mask;
    int              status = 0;
    th_code          rc = TH_OK;

    TH_CHECK(line->argc < TH_WORDS, TH_EUSAGE, "put options in the run file",
             "there are more than %d arguments", TH_WORDS);
    TH_TRY(th_environment_path(program, sizeof program, err));
    // A signal that comes while mpirun is started waits until there is someone to pass it on to.
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&action.sa_mask, signals[i]);
    TH_CHECK(sigprocmask(SIG_BLOCK, &action.sa_mask, &mask) == 0, TH_EIO, "",
             "could not block signals: %s", strerror(errno));
    pid_t pid = fork();
    TH_CHECK(pid >= 0, TH_EIO, "free some memory", "could not start mpirun: %s", strerror(errno));
    if (pid == 0)
        become_mpirun(line, program, ranks, &mask);
    child = (sig_atomic_t)pid;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        TH_CHECK(sigaction(signals[i], &action, NULL) == 0, TH_EIO, "",
                 "could not install a signal handler: %s", strerror(errno));
    TH_CHECK(sigprocmask(SIG_SETMASK, &mask, NULL) == 0, TH_EIO, "",
             "could not unblock signals: %s", strerror(errno));
    while (waitpid(pid, &status, 0) < 0)
        TH_CHECK(errno == EINTR, TH_EIO, "", "could not wait for mpirun: %s", strerror(errno));
    TH_CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 127, TH_EIO,
             "install it: apt install openmpi-bin", "could not start mpirun: not found");
    *out = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    // USR2 ends only what has no handler for it yet: mpirun, or a rank, that has just been started.
    TH_CHECK(!stop_asked || *out != 128 + SIGUSR2, TH_ESTOP, "run the same command again to go on",
             "stopped as asked before the first step");
out:
    return rc;
}

void th_launch_say(bool speaks, th_err *err)
{
    if (speaks && err->code == TH_ESTOP)
        th_info("%s; %s", err->what, err->fix);
    else if (speaks)
        th_log_error(TH_ALARM, err);
    err->code = TH_OK;
}
