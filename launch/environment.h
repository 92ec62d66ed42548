/* launch/environment.h - what this start runs on: program, host, processor, libraries. */
#ifndef TH_LAUNCH_ENVIRONMENT_H
#define TH_LAUNCH_ENVIRONMENT_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* As JSON, free() it. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_environment_json(char **out, th_err *err);

/* Hash of the running program's file: ranks of one job must have the same. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_environment_program(uint64_t *out, th_err *err);

/* Path of the running program. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_environment_path(char *out, size_t size, th_err *err);

#endif
