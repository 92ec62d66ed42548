#include "launch/run_directory.h"

#include "base/file.h"
#include "base/log.h"
#include "launch/environment.h"
#include "launch/run_changes.h"
#include "launch/run_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const fix = "check that the run directory can be written and has space";

th_code th_run_directory_name(const char *run_file, const char *run_dir, char *out, size_t size,
                              th_err *err)
{
    const char *slash = strrchr(run_file, '/');
    const char *name = slash ? slash + 1 : run_file;
    size_t      length = strcspn(name, ".");
    int         used;
    th_code     rc = TH_OK;

    if (run_dir)
        used = snprintf(out, size, "%s", run_dir);
    else
        used = snprintf(out, size, "runs/%.*s", (int)length, name);
    TH_CHECK(used > 0 && (size_t)used < size, TH_EUSAGE, "use a shorter run_dir",
             "the run directory's path is too long");
out:
    return rc;
}

static th_code join(const char *folder, const char *name, char *out, size_t size, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(th_path_join(out, size, folder, name), TH_EUSAGE, "use a shorter run_dir",
             "path \"%s/%s\" is too long", folder, name);
out:
    return rc;
}

th_code th_run_directory_schedule(const char *path, th_schedule *out, th_arena *pool, th_err *err)
{
    char    file[1100];
    th_code rc = TH_OK;

    TH_TRY(join(path, "config.resolved.yaml", file, sizeof file, err));
    TH_CHECK(th_path_exists(file), TH_EDATA, "name the folder that thaw train wrote",
             "\"%s\" is not a run directory: it has no config.resolved.yaml", path);
    TH_TRY(th_run_file_load(file, false, NULL, pool, out, err));
out:
    return rc;
}

static th_code write_text(const char *folder, const char *name, const char *text, th_err *err)
{
    char    path[1100];
    th_code rc = TH_OK;

    TH_TRY(join(folder, name, path, sizeof path, err));
    TH_TRY(th_file_replace(path, text, strlen(text), err));
out:
    return rc;
}

static th_code keep_run_file(const char *folder, const char *run_file, th_err *err)
{
    char   *text = NULL;
    size_t  size;
    th_code rc = TH_OK;

    TH_TRY(th_file_read(run_file, (size_t)1 << 20, &text, &size, err));
    TH_TRY(write_text(folder, "config.yaml", text, err));
out:
    free(text);
    return rc;
}

static th_code lock(const char *folder, int *out, th_err *err)
{
    char    path[1100], host[256] = "", owner[320];
    th_code rc = TH_OK;

    (void)gethostname(host, sizeof host - 1); // only for the message
    (void)snprintf(owner, sizeof owner, "%s pid %d", host, (int)getpid());
    TH_TRY(join(folder, "lock", path, sizeof path, err));
    TH_TRY(th_file_lock(path, owner, out, err));
out:
    return rc;
}

static th_code remove_mark(const char *folder, const char *name, th_err *err)
{
    char    path[1100];
    th_code rc = TH_OK;

    TH_TRY(join(folder, name, path, sizeof path, err));
    TH_CHECK(unlink(path) == 0 || errno == ENOENT, TH_EIO, fix, "could not remove \"%s\": %s", path,
             strerror(errno));
out:
    return rc;
}

th_code th_run_directory_open(const char *path, const char *run_file, const th_schedule *schedule,
                              const char *resolved, bool accept_changes, th_run_directory *out,
                              th_err *err)
{
    th_run_directory directory = { .lock = -1 };
    char             file[1100], *environment = NULL;
    th_code          rc = TH_OK;

    (void)snprintf(directory.path, sizeof directory.path, "%s", path);
    TH_TRY(th_folder_make(path, err));
    TH_TRY(lock(path, &directory.lock, err));
    TH_TRY(join(path, "config.resolved.yaml", file, sizeof file, err));
    if (th_path_exists(file)) {
        TH_TRY(th_run_changes(path, schedule, accept_changes, err));
    } else {
        TH_TRY(keep_run_file(path, run_file, err));
    }
    TH_TRY(write_text(path, "config.resolved.yaml", resolved, err));
    TH_TRY(th_environment_json(&environment, err));
    TH_TRY(write_text(path, "env.json", environment, err));
    TH_TRY(join(path, "log.txt", file, sizeof file, err));
    TH_TRY(th_log_file(file, err));
    TH_TRY(remove_mark(path, "halt", err));
    TH_TRY(remove_mark(path, "DONE", err)); // a stage may have been added behind the last one
    *out = directory;
out:
    free(environment);
    if (rc != TH_OK)
        th_run_directory_close(&directory);
    return rc;
}

void th_run_directory_close(th_run_directory *directory)
{
    if (directory->lock >= 0)
        (void)close(directory->lock); // gives the lock up; nothing was written through it
    directory->lock = -1;
}

th_code th_run_directory_done(const th_run_directory *directory, th_err *err)
{
    return write_text(directory->path, "DONE", "", err);
}

bool th_run_directory_halted(const char *path)
{
    char file[1100];

    return th_path_join(file, sizeof file, path, "halt") && access(file, F_OK) == 0;
}
