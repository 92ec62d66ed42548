#include "launch/launcher.h"

#include "launch/environment.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child; // mpirun, for the handler

static void forward(int signal)
{
    (void)signal;
    if (child > 0)
        (void)kill((pid_t)child, SIGUSR1);
}

bool th_launched(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || getenv("PMI_RANK");
}

// In the child: a process group of its own, so that the terminal's ctrl-C reaches only the parent.
static _Noreturn void become_mpirun(const th_command_line *line, const char *program, int64_t ranks)
{
    const char *arguments[TH_WORDS + 32];
    char        count[32];
    int         n = 0;

    (void)setpgid(0, 0);
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
    static const int signals[] = { SIGUSR1, SIGTERM, SIGINT };
    struct sigaction action = { .sa_handler = forward };
    char             program[4096];
    int              status = 0;
    th_code          rc = TH_OK;

    TH_CHECK(line->argc < TH_WORDS, TH_EUSAGE, "put options in the run file",
             "there are more than %d arguments", TH_WORDS);
    TH_TRY(th_environment_path(program, sizeof program, err));
    pid_t pid = fork();
    TH_CHECK(pid >= 0, TH_EIO, "free some memory", "could not start mpirun: %s", strerror(errno));
    if (pid == 0)
        become_mpirun(line, program, ranks);
    child = (sig_atomic_t)pid;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        TH_CHECK(sigaction(signals[i], &action, NULL) == 0, TH_EIO, "",
                 "could not install a signal handler: %s", strerror(errno));
    while (waitpid(pid, &status, 0) < 0)
        TH_CHECK(errno == EINTR, TH_EIO, "", "could not wait for mpirun: %s", strerror(errno));
    TH_CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 127, TH_EIO,
             "install it: apt install openmpi-bin", "could not start mpirun: not found");
    *out = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
out:
    return rc;
}
