#include "base/hash.h"
#include "base/memory.h"
#include "checkpoint/chunks.h"
#include "checkpoint/fletcher.h"
#include "checkpoint/hdf5.h"
#include "checkpoint/layout.h"
#include "checkpoint/layout_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITEBACK_BYTES ((size_t)32 << 20) // the disk begins while we still write
#define CHECKSUM_BYTES  sizeof(uint32_t)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "chunks are stored as they are in memory");

static const char fix_io[] = "check that the disk has space and works";

// A file being written.
typedef struct {
    hid_t           file;
    hid_t           parts[TH_PARTS], steps; // groups
    int             fd;                     // HDF5's own
    unsigned char  *chunk;                  // one chunk and its checksum
    size_t          unflushed_bytes;
    th_tensor_hash *hashes;
    int             hash_count;
} writing;

void th_tensor_path(th_part part, const char *name, char out[TH_TENSOR_PATH])
{
    static const char *const groups[TH_PARTS] = { "model", "optim/exp_avg", "optim/exp_avg_sq" };

    (void)snprintf(out, TH_TENSOR_PATH, "%s/%s", groups[part], name);
}

static bool is_link_name(const char *name)
{
    size_t length = strnlen(name, TH_TENSOR_NAME);

    return length > 0 && length < TH_TENSOR_NAME && !strchr(name, '/') && strcmp(name, ".") != 0;
}

th_code th_layout_size(const th_snapshot *snapshot, int64_t *out_bytes, th_err *err)
{
    th_code rc = TH_OK;
    int64_t bytes = ((int64_t)64 << 10) + (int64_t)strlen(snapshot->config);

    for (int i = 0; i < snapshot->parameter_count; i++) {
        const th_saved_parameter *p = &snapshot->parameters[i];
        th_chunks                 chunks = { .count = 1 };
        int64_t                   elements;

        TH_CHECK(is_link_name(p->model.name), TH_EUSAGE,
                 "use 1 to 127 characters without a slash in parameter names",
                 "parameter %d has a name that cannot be stored: \"%.130s\"", i, p->model.name);
        TH_CHECK(th_shape_elements(p->model.dimensions, p->model.shape, &elements) &&
                     (p->model.dimensions == 0 ||
                      th_chunks_choose(p->model.dimensions, p->model.shape, &chunks)),
                 TH_EUSAGE, "use 0 to 4 dimensions, each at least 1",
                 "parameter \"%s\" has a shape that cannot be stored", p->model.name);
        if (p->model.dimensions > 0)
            elements = chunks.count * chunks.chunk_elements;
        int tensors = 1 + (p->exp_avg != NULL) + (p->exp_avg_sq != NULL);
        // Headers, links and the index of the chunks: measured below 1 KiB and 24 bytes a chunk.
        bytes += tensors * (elements * (int64_t)sizeof(float) + 64 * chunks.count + 2048) + 2048;
    }
    *out_bytes = bytes;
out:
    return rc;
}

static th_code flush_early(writing *w, size_t bytes, th_err *err)
{
    th_code rc = TH_OK;

    w->unflushed_bytes += bytes;
    if (w->unflushed_bytes >= WRITEBACK_BYTES) {
        w->unflushed_bytes = 0;
        TH_CHECK(sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE) == 0 || errno == ENOSYS ||
                     errno == EINVAL || errno == ESPIPE,
                 TH_EIO, fix_io, "could not begin to flush: %s", strerror(errno));
    }
out:
    return rc;
}

static th_code write_chunks(writing *w, hid_t dataset, const th_chunks *chunks, const float *data,
                            const char *path, th_hasher *hasher, th_err *err)
{
    th_code rc = TH_OK;
    size_t  size = (size_t)chunks->chunk_elements * sizeof(float);

    for (int64_t i = 0; i < chunks->count; i++) {
        int64_t at[TH_TENSOR_DIMENSIONS], first, elements;
        hsize_t place[TH_TENSOR_DIMENSIONS];

        th_chunks_at(chunks, i, at, &first, &elements);
        for (int d = 0; d < TH_TENSOR_DIMENSIONS; d++)
            place[d] = (hsize_t)at[d];
        size_t used = (size_t)elements * sizeof(float);
        memcpy(w->chunk, data + first, used);
        memset(w->chunk + used, 0, size - used);
        th_hasher_add(hasher, w->chunk, used);
        uint32_t checksum = th_fletcher32(w->chunk, size);
        memcpy(w->chunk + size, &checksum, CHECKSUM_BYTES);
        TH_HDF5_CHECK(
            H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, place, size + CHECKSUM_BYTES, w->chunk) >= 0,
            TH_EIO, "could not write \"%s\"", path);
        TH_TRY(flush_early(w, size, err));
    }
out:
    return rc;
}

// Dataset options: chunks with Fletcher-32, or for a scalar (chunks NULL) a place in the header.
static th_code dataset_options(const th_chunks *chunks, hid_t *out, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   options = H5Pcreate(H5P_DATASET_CREATE);

    TH_HDF5_CHECK(options >= 0 && H5Pset_obj_track_times(options, 0) >= 0 &&
                      H5Pset_fill_time(options, H5D_FILL_TIME_NEVER) >= 0,
                  TH_EIO, "could not set up HDF5");
    if (chunks) {
        hsize_t shape[TH_TENSOR_DIMENSIONS];
        for (int d = 0; d < chunks->dimensions; d++)
            shape[d] = (hsize_t)chunks->chunk[d];
        TH_HDF5_CHECK(H5Pset_chunk(options, chunks->dimensions, shape) >= 0 &&
                          H5Pset_fletcher32(options) >= 0,
                      TH_EIO, "could not set up HDF5");
    } else {
        TH_HDF5_CHECK(H5Pset_layout(options, H5D_COMPACT) >= 0, TH_EIO, "could not set up HDF5");
    }
    *out = options;
    options = H5I_INVALID_HID;
out:
    return th_hdf5_close(&options, H5Pclose, "options", rc, err);
}

static th_code write_scalar(hid_t group, const char *name, hid_t stored, hid_t given,
                            const void *value, hid_t options, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   dataset = H5I_INVALID_HID, space = H5Screate(H5S_SCALAR);

    TH_HDF5_CHECK(space >= 0, TH_EIO, "could not make \"%s\"", name);
    dataset = H5Dcreate2(group, name, stored, space, H5P_DEFAULT, options, H5P_DEFAULT);
    TH_HDF5_CHECK(dataset >= 0, TH_EIO, "could not make \"%s\"", name);
    TH_HDF5_CHECK(H5Dwrite(dataset, given, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0, TH_EIO,
                  "could not write \"%s\"", name);
out:
    rc = th_hdf5_close(&dataset, H5Dclose, name, rc, err);
    return th_hdf5_close(&space, H5Sclose, name, rc, err);
}

static th_code write_array(writing *w, th_part part, const th_tensor *tensor, const float *data,
                           const th_chunks *chunks, hid_t options, th_hasher *hasher, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   dataset = H5I_INVALID_HID, space;
    hsize_t shape[TH_TENSOR_DIMENSIONS];

    for (int d = 0; d < tensor->dimensions; d++)
        shape[d] = (hsize_t)tensor->shape[d];
    space = H5Screate_simple(tensor->dimensions, shape, NULL);
    TH_HDF5_CHECK(space >= 0, TH_EIO, "could not make \"%s\"", tensor->name);
    dataset = H5Dcreate2(w->parts[part], tensor->name, H5T_IEEE_F32LE, space, H5P_DEFAULT, options,
                         H5P_DEFAULT);
    TH_HDF5_CHECK(dataset >= 0, TH_EIO, "could not make \"%s\"", tensor->name);
    TH_TRY(write_chunks(w, dataset, chunks, data, tensor->name, hasher, err));
out:
    rc = th_hdf5_close(&dataset, H5Dclose, tensor->name, rc, err);
    return th_hdf5_close(&space, H5Sclose, tensor->name, rc, err);
}

static th_code write_tensor(writing *w, th_part part, const th_tensor *tensor, const float *data,
                            th_err *err)
{
    th_code         rc = TH_OK;
    th_chunks       chunks;
    hid_t           options = H5I_INVALID_HID;
    th_hasher      *hasher = NULL;
    th_tensor_hash *hash = &w->hashes[w->hash_count];
    bool            array = th_chunks_choose(tensor->dimensions, tensor->shape, &chunks);

    TH_TRY(th_hasher_open(&hasher, err));
    TH_TRY(dataset_options(array ? &chunks : NULL, &options, err));
    if (array) {
        TH_TRY(write_array(w, part, tensor, data, &chunks, options, hasher, err));
    } else {
        th_hasher_add(hasher, data, sizeof *data);
        TH_TRY(write_scalar(w->parts[part], tensor->name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, data,
                            options, err));
    }
    th_tensor_path(part, tensor->name, hash->path);
    hash->hash = th_hasher_value(hasher);
    w->hash_count++;
out:
    th_hasher_close(hasher);
    return th_hdf5_close(&options, H5Pclose, "options", rc, err);
}

static th_code write_config(hid_t file, const char *config, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   options = H5Pcreate(H5P_DATASET_CREATE), type = H5Tcopy(H5T_C_S1);
    size_t  length = strlen(config);

    TH_HDF5_CHECK(options >= 0 && H5Pset_obj_track_times(options, 0) >= 0 && type >= 0 &&
                      H5Tset_size(type, length ? length : 1) >= 0 &&
                      H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
                      H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0,
                  TH_EIO, "could not set up HDF5");
    TH_TRY(write_scalar(file, "config", type, type, config, options, err));
out:
    rc = th_hdf5_close(&type, H5Tclose, "string type", rc, err);
    return th_hdf5_close(&options, H5Pclose, "options", rc, err);
}

static th_code write_parameters(writing *w, const th_snapshot *snapshot, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   options = H5I_INVALID_HID;

    TH_TRY(dataset_options(NULL, &options, err));
    // Part by part, so that who needs the weights alone reads one stretch of the file.
    for (th_part part = 0; part < TH_PARTS; part++)
        for (int i = 0; i < snapshot->parameter_count; i++) {
            const th_saved_parameter *p = &snapshot->parameters[i];
            const float              *data[TH_PARTS] = { p->model.data, p->exp_avg, p->exp_avg_sq };
            if (data[part])
                TH_TRY(write_tensor(w, part, &p->model, data[part], err));
        }
    for (int i = 0; i < snapshot->parameter_count; i++)
        TH_TRY(write_scalar(w->steps, snapshot->parameters[i].model.name, H5T_STD_I64LE,
                            H5T_NATIVE_INT64, &snapshot->parameters[i].step, options, err));
out:
    return th_hdf5_close(&options, H5Pclose, "options", rc, err);
}

// Groups remember the order of their links: the order of the parameter table.
static th_code make_groups(writing *w, th_err *err)
{
    th_code  rc = TH_OK;
    hid_t    optim = H5I_INVALID_HID, options = H5Pcreate(H5P_GROUP_CREATE);
    hid_t    none = H5P_DEFAULT;
    unsigned ordered = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;

    TH_HDF5_CHECK(options >= 0 && H5Pset_obj_track_times(options, 0) >= 0 &&
                      H5Pset_link_creation_order(options, ordered) >= 0,
                  TH_EIO, "could not set up HDF5");
    optim = H5Gcreate2(w->file, "optim", none, options, none);
    w->parts[TH_MODEL] = H5Gcreate2(w->file, "model", none, options, none);
    w->parts[TH_EXP_AVG] = H5Gcreate2(optim, "exp_avg", none, options, none);
    w->parts[TH_EXP_AVG_SQ] = H5Gcreate2(optim, "exp_avg_sq", none, options, none);
    w->steps = H5Gcreate2(optim, "step", none, options, none);
    TH_HDF5_CHECK(optim >= 0 && w->parts[TH_MODEL] >= 0 && w->parts[TH_EXP_AVG] >= 0 &&
                      w->parts[TH_EXP_AVG_SQ] >= 0 && w->steps >= 0,
                  TH_EIO, "could not make the groups");
out:
    rc = th_hdf5_close(&options, H5Pclose, "options", rc, err);
    return th_hdf5_close(&optim, H5Gclose, "group \"optim\"", rc, err);
}

// The space is taken first: HDF5 writes its metadata late, and a disk that is full by then would
// show in the middle of its caches. A file in one piece is also written in half the time. A file
// system that cannot reserve is written to as it is.
static th_code make_file(writing *w, const char *path, int64_t reserve_bytes, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   access = H5I_INVALID_HID, options = H5Pcreate(H5P_FILE_CREATE);
    void   *handle = NULL;

    TH_TRY(th_hdf5_access(&access, err));
    TH_HDF5_CHECK(options >= 0 && H5Pset_obj_track_times(options, 0) >= 0, TH_EIO,
                  "could not set up HDF5");
    w->file = H5Fcreate(path, H5F_ACC_TRUNC, options, access);
    TH_HDF5_CHECK(w->file >= 0, TH_EIO, "could not make file \"%s\"", path);
    TH_HDF5_CHECK(H5Fget_vfd_handle(w->file, H5P_DEFAULT, &handle) >= 0, TH_EIO,
                  "could not ask for the file \"%s\"", path);
    w->fd = *(const int *)handle;
    // The size stays: HDF5 itself knows where the file ends.
    TH_CHECK(fallocate(w->fd, FALLOC_FL_KEEP_SIZE, 0, reserve_bytes) == 0 || errno == EOPNOTSUPP ||
                 errno == ENOSYS,
             TH_EIO, "make room on the disk, or keep fewer generations (checkpoint.keep)",
             "could not reserve %lld bytes for \"%s\": %s", (long long)reserve_bytes, path,
             strerror(errno));
out:
    rc = th_hdf5_close(&options, H5Pclose, "options", rc, err);
    return th_hdf5_close(&access, H5Pclose, "options", rc, err);
}

// The largest chunk that the snapshot needs: a row may be longer than the usual chunk.
static size_t largest_chunk(const th_snapshot *snapshot)
{
    int64_t   most = 1;
    th_chunks chunks;

    for (int i = 0; i < snapshot->parameter_count; i++) {
        const th_tensor *tensor = &snapshot->parameters[i].model;
        if (th_chunks_choose(tensor->dimensions, tensor->shape, &chunks) &&
            chunks.chunk_elements > most)
            most = chunks.chunk_elements;
    }
    return (size_t)most * sizeof(float);
}

th_code th_layout_write(const char *path, const th_snapshot *snapshot, int64_t reserve_bytes,
                        th_tensor_hash *out_hashes, int *out_count, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   none = H5I_INVALID_HID;
    writing w = {
        .file = none, .parts = { none, none, none }, .steps = none, .fd = -1, .hashes = out_hashes
    };

    TH_TRY(th_hdf5_begin(err));
    TH_TRY(
        th_alloc(1, largest_chunk(snapshot) + CHECKSUM_BYTES, "a chunk", (void **)&w.chunk, err));
    TH_TRY(make_file(&w, path, reserve_bytes, err));
    TH_TRY(make_groups(&w, err));
    TH_TRY(th_layout_state_write(w.file, &snapshot->state, err));
    TH_TRY(write_config(w.file, snapshot->config, err));
    TH_TRY(write_parameters(&w, snapshot, err));
out:
    for (int part = 0; part < TH_PARTS; part++)
        rc = th_hdf5_close(&w.parts[part], H5Gclose, "a group", rc, err);
    rc = th_hdf5_close(&w.steps, H5Gclose, "a group", rc, err);
    rc = th_hdf5_close(&w.file, H5Fclose, path, rc, err);
    free(w.chunk);
    if (rc == TH_OK)
        *out_count = w.hash_count;
    return rc;
}
