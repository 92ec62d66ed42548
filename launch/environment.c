#include "launch/environment.h"

#include "base/hash.h"
#include "base/memory.h"
#include "trainer/nn/gemm.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

th_code th_environment_path(char *out, size_t size, th_err *err)
{
    ssize_t used = readlink("/proc/self/exe", out, size);
    th_code rc = TH_OK;

    TH_CHECK(used > 0 && (size_t)used < size, TH_EIO, "mount /proc",
             "could not find this program's file: %s", strerror(errno));
    out[used] = '\0';
out:
    return rc;
}

th_code th_environment_program(uint64_t *out, th_err *err)
{
    char    path[4096];
    th_code rc = TH_OK;

    TH_TRY(th_environment_path(path, sizeof path, err));
    TH_TRY(th_hash_file(path, out, NULL, err));
out:
    return rc;
}

th_code th_environment_json(char **out, th_err *err)
{
    struct utsname host;
    uint64_t       program;
    char           hash[TH_HASH_TEXT], when[32];
    time_t         now = time(NULL);
    struct tm      utc;
    th_code        rc = TH_OK;

    TH_TRY(th_environment_program(&program, err));
    th_hash_print(program, hash);
    TH_CHECK(uname(&host) == 0, TH_EIO, "", "could not name this host: %s", strerror(errno));
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "thaw", TH_VERSION, "program", hash,
                  "started", when, "host", host.nodename, "system", host.release, "openblas_core",
                  th_gemm_core(), "cores", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN));
    *out = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    TH_CHECK(*out, TH_EIO, "free some memory", "could not describe the environment");
out:
    return rc;
}
