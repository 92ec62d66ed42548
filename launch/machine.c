#include "launch/machine.h"

#include "base/file.h"

#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static size_t add_count(char *out, size_t size, size_t used, int count, const char *one,
                        const char *many)
{
    if (count <= 0 || used >= size)
        return used;
    return used + (size_t)snprintf(out + used, size - used, "%s%d %s", used > 0 ? ", " : "", count,
                                   count == 1 ? one : many);
}

static size_t add_cache(char *out, size_t size, size_t used, hwloc_topology_t topology,
                        hwloc_obj_type_t type, const char *name)
{
    hwloc_obj_t cache = hwloc_get_obj_by_type(topology, type, 0);

    if (!cache || used >= size)
        return used;
    double kib = (double)cache->attr->cache.size / 1024;
    return used + (size_t)snprintf(out + used, size - used, ", %s %g %s", name,
                                   kib >= 1024 ? kib / 1024 : kib, kib >= 1024 ? "MiB" : "KiB");
}

void th_machine_topology(char *out, size_t size)
{
    hwloc_topology_t topology;
    size_t           used = 0;

    (void)snprintf(out, size, "unknown");
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (hwloc_topology_load(topology) == 0) {
        used = add_count(out, size, used, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE),
                         "package", "packages");
        used = add_count(out, size, used, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE),
                         "core", "cores");
        used = add_count(out, size, used, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU),
                         "thread", "threads");
        used = add_count(out, size, used, hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE),
                         "NUMA node", "NUMA nodes");
        used = add_cache(out, size, used, topology, HWLOC_OBJ_L2CACHE, "L2");
        (void)add_cache(out, size, used, topology, HWLOC_OBJ_L3CACHE, "L3");
    }
    hwloc_topology_destroy(topology);
}

int th_machine_cores(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int th_machine_allowed(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : th_machine_cores();
}

int64_t th_machine_memory(void)
{
    int64_t   bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    FILE     *limit = fopen("/sys/fs/cgroup/memory.max", "re");
    long long most;

    if (limit && fscanf(limit, "%lld", &most) == 1 && most > 0 && most < bytes) // not "max"
        bytes = most;
    if (limit)
        (void)fclose(limit);
    return bytes;
}

int64_t th_machine_resident(void)
{
    FILE     *status = fopen("/proc/self/statm", "re");
    long long all, resident = 0;

    if (status && fscanf(status, "%lld %lld", &all, &resident) != 2)
        resident = 0;
    if (status)
        (void)fclose(status);
    return (int64_t)resident * (int64_t)sysconf(_SC_PAGESIZE);
}

bool th_machine_room(const char *path, uint64_t *out_free, uint64_t *out_total)
{
    struct statvfs status;
    char           folder[4096];

    (void)snprintf(folder, sizeof folder, "%s", path);
    while (!th_path_exists(folder)) {
        char *slash = strrchr(folder, '/');
        if (!slash) {
            (void)snprintf(folder, sizeof folder, ".");
            break;
        }
        slash[slash == folder ? 1 : 0] = '\0'; // "/" exists
    }
    if (statvfs(folder, &status) != 0)
        return false;
    *out_free = (uint64_t)status.f_bavail * status.f_frsize;
    *out_total = (uint64_t)status.f_blocks * status.f_frsize;
    return true;
}
