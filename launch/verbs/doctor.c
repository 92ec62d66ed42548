/* launch/verbs/doctor.c - looks at everything a run stands on, one line each, with a fix where one
 * is needed. What may crash (BLAS on a processor it does not know, MPI that does not start) is
 * tried in a child. */
#include "launch/verbs/doctor.h"

#include "base/log.h"
#include "checkpoint/hdf5.h"
#include "comm/agree.h"
#include "comm/library.h"
#include "dataloader/pack.h"
#include "launch/launcher.h"
#include "launch/machine.h"
#include "launch/run_directory.h"
#include "launch/run_file.h"
#include "launch/verb.h"
#include "launch/verbs/train.h"
#include "trainer/nn/gemm.h"
#include "trainer/nn/gemm_check.h"
#include "trainer/options.h"
#include "trainer/parameters.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_SECONDS 30                   // after which a child hangs
#define SHARED_BYTES  ((uint64_t)64 << 20) // Open MPI's, and room to spare
#define DISK_BYTES    ((uint64_t)1 << 30)  // where no run says how much it needs

typedef enum { OK, WARN, FAIL } verdict;

typedef struct {
    int worst;
} doctor;

static void say(doctor *this, verdict mark, const char *subject, const char *fix,
                const char *format, ...) TH_PRINTF(5, 6);
static void say(doctor *this, verdict mark, const char *subject, const char *fix,
                const char *format, ...)
{
    static const char *const words[] = { "ok", "warn", "FAIL" };
    va_list                  values;

    printf("%-4s  %-10s  ", words[mark], subject);
    va_start(values, format);
    (void)vprintf(format, values);
    va_end(values);
    printf("\n");
    if (mark != OK)
        printf("                  fix: %s\n", fix);
    this->worst = (int)mark > this->worst ? (int)mark : this->worst;
}

// Runs `work` in a child, which writes a text of what it found. False when it did not end well:
// *out then says how.
static bool in_child(void (*work)(char *out, size_t size), char *out, size_t size)
{
    int    ends[2], status = 0;
    size_t used = 0;

    (void)snprintf(out, size, "could not start a child: %s", strerror(errno));
    (void)fflush(stdout); // or the child prints it again
    if (pipe(ends) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        char text[512] = "";
        (void)close(ends[0]);
        (void)alarm(CHILD_SECONDS);
        work(text, sizeof text);
        _exit(write(ends[1], text, strlen(text)) < 0 ? 1 : 0);
    }
    (void)close(ends[1]);
    for (ssize_t n = 1; pid > 0 && used + 1 < size && n > 0; used += n > 0 ? (size_t)n : 0)
        n = read(ends[0], out + used, size - 1 - used);
    (void)close(ends[0]);
    if (pid < 0)
        return false;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && used > 0) {
        out[used] = '\0';
        return true;
    }
    if (WIFSIGNALED(status))
        (void)snprintf(out, size, "%s",
                       WTERMSIG(status) == SIGALRM ? "it did not come to an end"
                                                   : strsignal(WTERMSIG(status)));
    else
        (void)snprintf(out, size, "it ended with code %d", WEXITSTATUS(status));
    return false;
}

static void try_gemm(char *out, size_t size)
{
    (void)snprintf(out, size, "%.9g", th_gemm_check());
}

static void look_at_blas(doctor *this)
{
    const char *fix =
        "set OPENBLAS_CORETYPE=Haswell (or SkylakeX where there is AVX-512), or install a "
        "newer OpenBLAS";
    char found[512];

    say(this, th_gemm_is_openmp() ? OK : FAIL, "openblas",
        "apt install libopenblas0-openmp; update-alternatives --config "
        "libopenblas.so.0-x86_64-linux-gnu",
        "%s, core %s, %s", th_gemm_library(), th_gemm_core(),
        th_gemm_is_openmp() ? "OpenMP flavour"
                            : "NOT the OpenMP flavour: its threads would stand beside ours");
    if (!in_child(try_gemm, found, sizeof found)) {
        say(this, FAIL, "products", fix, "a matrix product crashed: %s", found);
        return;
    }
    double error = strtod(found, NULL);
    bool   right = error <= TH_GEMM_ERROR;
    say(this, right ? OK : FAIL, "products", fix,
        right ? "equal to plain sums within %.1e" : "WRONG: off by %.1e of a sum", error);
}

static void try_mpi(char *out, size_t size)
{
    th_world        world = { 0 };
    th_err          err = { 0 };
    struct timespec start, end;

    (void)clock_gettime(CLOCK_MONOTONIC, &start); // cannot fail with this clock
    if (th_launch_prepare(&err) != TH_OK || th_world_open(NULL, NULL, &world, &err) != TH_OK) {
        (void)snprintf(out, size, "?%s", err.what);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    (void)snprintf(out, size, "%s, starts in %.2f s", th_mpi_thread_level(),
                   (double)(end.tv_sec - start.tv_sec) +
                       1e-9 * (double)(end.tv_nsec - start.tv_nsec));
    th_world_close(&world);
}

// `world` is NULL when no launcher started us: then MPI is tried in a child.
static void look_at_mpi(doctor *this, const th_world *world)
{
    const char *fix = "apt install openmpi-bin libopenmpi-dev, and build thaw again";
    char        library[256], found[512];

    th_mpi_library(library, sizeof library);
    if (world)
        say(this, OK, "mpi", "", "%s, %s, %d ranks, %d on this host", library,
            th_mpi_thread_level(), world->size, th_world_host_ranks(world));
    else if (!in_child(try_mpi, found, sizeof found) || *found == '?')
        say(this, FAIL, "mpi", fix, "%s does not start: %s", library,
            found + (*found == '?' ? 1 : 0));
    else
        say(this, OK, "mpi", "", "%s, %s", library, found);
    if (geteuid() == 0 &&
        !(getenv("OMPI_ALLOW_RUN_AS_ROOT") && getenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")))
        say(this, WARN, "user",
            "use another user, or set OMPI_ALLOW_RUN_AS_ROOT=1 and "
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
            "root: mpirun refuses to start ranks");
}

// What is on this host: so many ranks, each allowed so many cores and with so many threads.
typedef struct {
    int64_t ranks, threads; // threads 0: thaw chooses
    int     allowed;        // of the rank that may use the fewest
    bool    launched;
} share;

static void look_at_cores(doctor *this, const share *s)
{
    char topology[256];
    int  cores = th_machine_cores(), each = (int)(cores / s->ranks);

    th_machine_topology(topology, sizeof topology);
    say(this, OK, "host", "", "%s", topology);
    each = each > 1 ? each : 1;
    if (s->launched && s->allowed < each)
        say(this, WARN, "binding",
            "mpirun --bind-to none, or --map-by slot:PE=n for n cores a rank",
            "a rank may run on %d of %d cores: mpirun binds each to one core unless it is told "
            "otherwise",
            s->allowed, cores);
    else
        say(this, OK, "binding", "", "%d of %d cores may be used%s", s->allowed, cores,
            s->launched ? " by each rank" : "");
    int64_t threads = s->threads > 0 ? s->threads : s->allowed >= cores ? each : s->allowed;
    say(this, threads * s->ranks > cores ? WARN : OK, "threads",
        "start fewer ranks, or set threads: in the run file",
        "%lld rank%s x %lld threads on %d cores", (long long)s->ranks, s->ranks == 1 ? "" : "s",
        (long long)threads, cores);
}

static void look_at_memory(doctor *this, int64_t ranks, int64_t budget)
{
    double   host = (double)th_machine_memory(), wanted = (double)budget * (double)ranks;
    uint64_t free, total;

    if (budget > 0)
        say(this, wanted > 0.9 * host ? WARN : OK, "memory", "lower memory_budget",
            "%.1f GiB here, %lld x memory_budget is %.1f GiB", host / 1073741824, (long long)ranks,
            wanted / 1073741824);
    else
        say(this, OK, "memory", "", "%.1f GiB here", host / 1073741824);
    if (!th_machine_room("/dev/shm", &free, &total))
        say(this, WARN, "/dev/shm", "mount a tmpfs there", "is not there: ranks talk through it");
    else
        say(this, free < SHARED_BYTES ? WARN : OK, "/dev/shm",
            "give the container more: docker run --shm-size=1g", "%.1f MiB free of %.1f",
            (double)free / 1048576, (double)total / 1048576);
}

static void look_at_disk(doctor *this, const char *folder, uint64_t needed, int64_t kept)
{
    const char *fix = "make room, lower checkpoint.keep, or set run_dir to another disk";
    uint64_t    free, total;

    if (!th_machine_room(folder, &free, &total))
        say(this, FAIL, "disk", fix, "\"%s\" cannot be looked at", folder);
    else if (kept > 0)
        say(this, free < needed ? WARN : OK, "disk", fix,
            "%.2f GB free for \"%s\", %lld checkpoints take %.2f GB", (double)free / 1e9, folder,
            (long long)kept, (double)needed / 1e9);
    else
        say(this, free < DISK_BYTES ? WARN : OK, "disk", fix, "%.2f GB free in \"%s\"",
            (double)free / 1e9, folder);
}

static void look_at_hdf5(doctor *this)
{
    th_err err = { 0 };

    if (th_hdf5_begin(&err) != TH_OK)
        say(this, FAIL, "hdf5", err.fix, "%s", err.what);
    else
        say(this, OK, "hdf5", "", "thread-safe");
}

// What the run file asks for: fills `options`, and what its checkpoints take when its pack is
// there.
static bool look_at_run(doctor *this, const th_command_line *line, th_train_options *options,
                        th_arena *pool, uint64_t *out_bytes)
{
    th_schedule     schedule = { 0 };
    th_pack        *pack = NULL;
    th_model_config model;
    th_parameters   parameters = { 0 };
    th_err          err = { 0 };
    th_code         rc = TH_OK, loaded;

    loaded = th_run_file_load(line->words[0], true, line, pool, &schedule, &err);
    TH_TRY(loaded);
    *options = schedule.options;
    TH_TRY(th_pack_open(options->train, &pack, &err));
    TH_TRY(th_train_model(options, th_pack_describe(pack)->vocabulary, &model, &err));
    TH_TRY(th_parameters_open(&model, &parameters, &err)); // reserves, touches nothing
    *out_bytes = (uint64_t)parameters.elements * 3 * sizeof(float);
    say(this, OK, "run", "", "%s: %.1f million parameters, %lld records", line->words[0],
        (double)parameters.elements / 1e6, (long long)th_pack_describe(pack)->records);
out:
    if (rc != TH_OK)
        say(this, FAIL, "run", err.fix, "%s", err.what);
    th_parameters_close(&parameters);
    th_pack_close(pack);
    return loaded == TH_OK;
}

static void look_at_all(doctor *this, const th_command_line *line, const th_world *world, share *s,
                        th_arena *pool)
{
    th_train_options options = { 0 };
    char             folder[1024] = ".";
    uint64_t         checkpoint = 0;
    int64_t          kept = 0;
    th_err           err = { 0 };

    look_at_mpi(this, world);
    look_at_blas(this);
    if (line->word_count == 1 && look_at_run(this, line, &options, pool, &checkpoint)) {
        s->threads = options.threads;
        if (checkpoint > 0)
            kept = options.checkpoint_keep + 1; // a new one is written before the oldest goes
        if (th_run_directory_name(line->words[0], options.run_dir, folder, sizeof folder, &err) !=
            TH_OK)
            say(this, FAIL, "run", err.fix, "%s", err.what);
    }
    look_at_cores(this, s);
    look_at_memory(this, s->ranks, options.memory_budget.count);
    look_at_disk(this, folder, checkpoint * (uint64_t)kept, kept);
    look_at_hdf5(this);
}

void th_doctor_verb_options(th_option_set *out_sets, int *out_count)
{
    th_train_verb_options(out_sets, out_count);
}

// How many ranks, and the fewest cores that any may use; of the whole job when there is one.
static th_code survey(th_world *world, const th_command_line *line, share *out, th_err *err)
{
    double  fewest = -th_machine_allowed();
    th_code rc = TH_OK;

    *out = (share){ .ranks = 1, .launched = world != NULL };
    for (int i = 0; i < line->option_count; i++)
        if (strcmp(line->names[i], "n") == 0)
            out->ranks = strtoll(line->values[i], NULL, 10);
    TH_CHECK(out->ranks >= 1, TH_EUSAGE, "thaw doctor -n 4 run.yaml", "-n must be 1 or more");
    if (world) {
        TH_TRY(th_world_max(world, &fewest, 1, err));
        out->ranks = th_world_host_ranks(world);
    }
    out->allowed = -(int)fewest;
out:
    return rc;
}

th_code th_verb_doctor(const th_command_line *line, th_err *err)
{
    doctor this = { 0 };
    th_world world = { 0 };
    share    s;
    th_arena pool = { 0 };
    int      argc = line->argc;
    char   **argv = line->argv;
    bool     launched = th_launched();
    th_code  rc = TH_OK;

    th_log_setup(TH_WARN, -1);
    TH_CHECK(line->word_count <= 1, TH_EUSAGE, "thaw doctor [run.yaml]",
             "thaw doctor takes one run file, not %d words", line->word_count);
    TH_TRY(th_arena_open(&pool, (size_t)8 << 20, err));
    if (launched) {
        TH_TRY(th_launch_prepare(err));
        TH_TRY(th_world_open(&argc, &argv, &world, err));
    }
    TH_TRY(survey(launched ? &world : NULL, line, &s, err));
    if (world.rank == 0)
        look_at_all(&this, line, launched ? &world : NULL, &s, &pool);
    if (this.worst == FAIL)
        rc = th_fail(err, TH_EFAIL, "see the lines marked FAIL", __FILE__, __LINE__,
                     "thaw cannot work well on this host");
    if (launched)
        rc = th_agree(&world, rc, err);
out:
    if (world.mpi && rc != TH_OK && world.rank != 0)
        err->code = TH_OK; // rank 0 speaks for all
    th_world_close(&world);
    th_arena_close(&pool);
    return rc;
}
