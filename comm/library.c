#include "comm/library.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>

void th_mpi_library(char *out, size_t size)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int  length = 0;

    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS)
        (void)snprintf(text, sizeof text, "an MPI library that does not say which");
    (void)snprintf(out, size, "%.*s", (int)strcspn(text, ",\n"), text);
}

const char *th_mpi_thread_level(void)
{
    int level = MPI_THREAD_SINGLE;

    if (MPI_Query_thread(&level) != MPI_SUCCESS)
        return "unknown";
    return level == MPI_THREAD_MULTIPLE     ? "MPI_THREAD_MULTIPLE"
           : level == MPI_THREAD_SERIALIZED ? "MPI_THREAD_SERIALIZED"
           : level == MPI_THREAD_FUNNELED   ? "MPI_THREAD_FUNNELED"
                                            : "MPI_THREAD_SINGLE";
}
