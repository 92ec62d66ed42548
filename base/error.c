#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

th_code th_fail(th_err *err, th_code code, const char *fix, const char *file, int line,
                const char *what, ...)
{
    va_list values;

    if (!err)
        return code;
    *err = (th_err){ .code = code, .file = file, .line = line };
    va_start(values, what);
    (void)vsnprintf(err->what, sizeof err->what, what, values);
    va_end(values);
    (void)snprintf(err->fix, sizeof err->fix, "%s", fix ? fix : "");
    return code;
}

th_code th_during(th_err *err, const char *doing, ...)
{
    va_list values;

    if (!err)
        return TH_EFAIL;
    size_t used = strlen(err->trail);
    if (used > 0 && used + 3 < sizeof err->trail) {
        memcpy(err->trail + used, ", ", 3);
        used += 2;
    }
    va_start(values, doing);
    (void)vsnprintf(err->trail + used, sizeof err->trail - used, doing, values);
    va_end(values);
    return err->code;
}

int th_exit_code(th_code code)
{
    switch (code) {
    case TH_OK:
        return 0;
    case TH_EUSAGE:
        return 2;
    case TH_EDATA:
        return 65;
    case TH_EIO:
        return 74;
    case TH_ESTOP:
        return 85;
    case TH_EPEER:
    case TH_EFAIL:
        return 1;
    }
    return 70;
}

const char *th_code_name(th_code code)
{
    static const char *const names[] = { "TH_OK",    "TH_EUSAGE", "TH_EDATA", "TH_EIO",
                                         "TH_EPEER", "TH_EFAIL",  "TH_ESTOP" };
    return (unsigned)code < sizeof names / sizeof *names ? names[code] : "unknown";
}
