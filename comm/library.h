/* comm/library.h - which MPI this is: for `thaw doctor`. */
#ifndef TH_COMM_LIBRARY_H
#define TH_COMM_LIBRARY_H

#include <stddef.h>

/* The library's own words up to the first comma: "Open MPI v4.1.4". Also before th_world_open. */
void th_mpi_library(char *out, size_t size);

/* The thread level that an open world was given: "MPI_THREAD_SERIALIZED"; a static text. */
const char *th_mpi_thread_level(void);

#endif
