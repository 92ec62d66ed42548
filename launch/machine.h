/* launch/machine.h - what this host has: cores, caches, memory, room on a disk. */
#ifndef TH_LAUNCH_MACHINE_H
#define TH_LAUNCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One line of hwloc's: "1 package, 8 cores, 16 threads, 1 NUMA node, L2 1 MiB, L3 32 MiB". */
void th_machine_topology(char *out, size_t size);

int     th_machine_cores(void);   // processors online, hardware threads included
int     th_machine_allowed(void); // those that this process may run on (its affinity mask)
int64_t th_machine_memory(void);  // bytes of the host, or of this control group when that is less

/* Bytes of this process that are in memory now; 0 when the system does not say. */
int64_t th_machine_resident(void);

/* Room of the file system that holds `path`, or the nearest folder above it that exists; false when
 * the system does not say. */
bool th_machine_room(const char *path, uint64_t *out_free, uint64_t *out_total);

#endif
