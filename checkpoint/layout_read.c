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
#include <unistd.h>

#define CONFIG_LIMIT_BYTES ((size_t)64 << 20)

static const char fix_io[] = "check that the disk works";
static const char fix_data[] = "use an older generation, or a copy of this one";

// Where a tensor lies in the file. HDF5 is asked once, at open; reading needs it no more.
typedef struct {
    bool      there;
    th_chunks chunks;    // of an array
    haddr_t  *addresses; // of its chunks; NULL for a scalar
    float     scalar;
} tensor_place;

struct th_layout {
    int                 fd;
    th_saved_state      state;
    char               *config;
    th_saved_parameter *parameters; // data pointers are flags: not NULL when the part is there
    char (*names)[TH_TENSOR_NAME];
    tensor_place (*places)[TH_PARTS];
    int count;
};

void th_layout_close(th_layout *layout)
{
    if (!layout)
        return;
    for (int i = 0; layout->places && i < layout->count; i++)
        for (int part = 0; part < TH_PARTS; part++)
            free(layout->places[i][part].addresses);
    free(layout->places);
    free(layout->names);
    free(layout->parameters);
    free(layout->config);
    if (layout->fd >= 0)
        (void)close(layout->fd); // opened for reading: nothing left to lose
    free(layout);
}

const th_saved_state *th_layout_state(const th_layout *layout)
{
    return &layout->state;
}

const char *th_layout_config(const th_layout *layout)
{
    return layout->config;
}

const th_saved_parameter *th_layout_parameters(const th_layout *layout, int *out_count)
{
    *out_count = layout->count;
    return layout->parameters;
}

// Shape and chunks of an open dataset, which must be float32 and, with dimensions, chunked.
static th_code read_shape(hid_t dataset, const char *path, th_tensor *tensor, th_chunks *chunks,
                          th_err *err)
{
    th_code rc = TH_OK;
    hid_t   type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hid_t   options = H5Dget_create_plist(dataset);
    hsize_t shape[TH_TENSOR_DIMENSIONS], chunk[TH_TENSOR_DIMENSIONS];
    int64_t cut[TH_TENSOR_DIMENSIONS];

    TH_HDF5_CHECK(type >= 0 && space >= 0 && options >= 0, TH_EDATA, "could not read \"%s\"", path);
    int dimensions = H5Sget_simple_extent_ndims(space);
    TH_CHECK(
        H5Tequal(type, H5T_IEEE_F32LE) > 0 && dimensions >= 0 && dimensions <= TH_TENSOR_DIMENSIONS,
        TH_EDATA, fix_data, "dataset \"%s\" is not a float32 tensor of 0 to 4 dimensions", path);
    tensor->dimensions = dimensions;
    if (dimensions == 0)
        goto out;
    TH_HDF5_CHECK(H5Sget_simple_extent_dims(space, shape, NULL) == dimensions &&
                      H5Pget_layout(options) == H5D_CHUNKED &&
                      H5Pget_chunk(options, dimensions, chunk) == dimensions,
                  TH_EDATA, "dataset \"%s\" is not in chunks", path);
    for (int d = 0; d < dimensions; d++) {
        tensor->shape[d] = (int64_t)shape[d];
        cut[d] = (int64_t)chunk[d];
    }
    TH_CHECK(th_chunks_accept(dimensions, tensor->shape, cut, chunks), TH_EDATA, fix_data,
             "dataset \"%s\" has chunks that thaw does not write", path);
out:
    rc = th_hdf5_close(&type, H5Tclose, path, rc, err);
    rc = th_hdf5_close(&options, H5Pclose, path, rc, err);
    return th_hdf5_close(&space, H5Sclose, path, rc, err);
}

static th_code read_addresses(hid_t dataset, const char *path, tensor_place *place, th_err *err)
{
    th_code rc = TH_OK;
    size_t  stored = (size_t)place->chunks.chunk_elements * sizeof(float) + sizeof(uint32_t);

    TH_TRY(th_alloc((size_t)place->chunks.count, sizeof(haddr_t), "chunk addresses",
                    (void **)&place->addresses, err));
    for (int64_t i = 0; i < place->chunks.count; i++) {
        int64_t  at[TH_TENSOR_DIMENSIONS], first, elements;
        hsize_t  where[TH_TENSOR_DIMENSIONS], size;
        unsigned mask;

        th_chunks_at(&place->chunks, i, at, &first, &elements);
        for (int d = 0; d < TH_TENSOR_DIMENSIONS; d++)
            where[d] = (hsize_t)at[d];
        TH_HDF5_CHECK(
            H5Dget_chunk_info_by_coord(dataset, where, &mask, &place->addresses[i], &size) >= 0,
            TH_EDATA, "could not find a chunk of \"%s\"", path);
        TH_CHECK(place->addresses[i] != HADDR_UNDEF && mask == 0 && size == stored, TH_EDATA,
                 fix_data, "a chunk of \"%s\" is missing or of another size", path);
    }
out:
    return rc;
}

// Finds one part of a parameter. The model gives the shape, which moments must have too.
static th_code find_tensor(th_layout *layout, hid_t file, int index, th_part part, th_err *err)
{
    th_code       rc = TH_OK;
    hid_t         dataset = H5I_INVALID_HID;
    char          path[TH_TENSOR_PATH];
    tensor_place *place = &layout->places[index][part];
    th_tensor    *model = &layout->parameters[index].model, tensor = { 0 };

    th_tensor_path(part, model->name, path);
    htri_t there = H5Lexists(file, path, H5P_DEFAULT);
    TH_HDF5_CHECK(there >= 0, TH_EDATA, "could not look for \"%s\"", path);
    if (!there)
        goto out;
    dataset = H5Dopen2(file, path, H5P_DEFAULT);
    TH_HDF5_CHECK(dataset >= 0, TH_EDATA, "could not open \"%s\"", path);
    TH_TRY(read_shape(dataset, path, &tensor, &place->chunks, err));
    if (part == TH_MODEL) {
        tensor.name = model->name;
        *model = tensor;
    }
    TH_CHECK(tensor.dimensions == model->dimensions &&
                 memcmp(tensor.shape, model->shape, sizeof tensor.shape) == 0,
             TH_EDATA, fix_data, "dataset \"%s\" has not the shape of its parameter", path);
    if (tensor.dimensions > 0)
        TH_TRY(read_addresses(dataset, path, place, err));
    else
        TH_HDF5_CHECK(
            H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, &place->scalar) >= 0,
            TH_EDATA, "could not read \"%s\"", path);
    place->there = true;
out:
    return th_hdf5_close(&dataset, H5Dclose, path, rc, err);
}

static th_code read_step(hid_t file, const char *name, int64_t *out, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   dataset = H5I_INVALID_HID, space = H5I_INVALID_HID;
    char    path[TH_TENSOR_PATH];

    (void)snprintf(path, sizeof path, "optim/step/%s", name);
    dataset = H5Dopen2(file, path, H5P_DEFAULT);
    TH_HDF5_CHECK(dataset >= 0, TH_EDATA, "could not open \"%s\"", path);
    space = H5Dget_space(dataset);
    TH_HDF5_CHECK(space >= 0 && H5Sget_simple_extent_npoints(space) == 1, TH_EDATA,
                  "\"%s\" is not one number", path);
    TH_HDF5_CHECK(H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0,
                  TH_EDATA, "could not read \"%s\"", path);
out:
    rc = th_hdf5_close(&space, H5Sclose, path, rc, err);
    return th_hdf5_close(&dataset, H5Dclose, path, rc, err);
}

static th_code read_config(hid_t file, char **out, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hid_t   dataset = H5Dopen2(file, "config", H5P_DEFAULT);
    char   *config = NULL;

    TH_HDF5_CHECK(dataset >= 0, TH_EDATA, "no dataset \"config\"");
    type = H5Dget_type(dataset);
    space = H5Dget_space(dataset);
    TH_HDF5_CHECK(type >= 0 && space >= 0, TH_EDATA, "could not read \"config\"");
    TH_CHECK(H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                 H5Sget_simple_extent_npoints(space) == 1 && H5Tget_size(type) < CONFIG_LIMIT_BYTES,
             TH_EDATA, fix_data, "dataset \"config\" is not one text below 64 MiB");
    TH_TRY(th_alloc(H5Tget_size(type) + 1, 1, "the run file", (void **)&config, err));
    TH_HDF5_CHECK(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, config) >= 0, TH_EDATA,
                  "could not read \"config\"");
    *out = config;
    config = NULL;
out:
    free(config);
    rc = th_hdf5_close(&type, H5Tclose, "config", rc, err);
    rc = th_hdf5_close(&space, H5Sclose, "config", rc, err);
    return th_hdf5_close(&dataset, H5Dclose, "config", rc, err);
}

static th_code make_table(th_layout *layout, hid_t file, th_err *err)
{
    th_code    rc = TH_OK;
    H5G_info_t info;
    hid_t      group = H5Gopen2(file, "model", H5P_DEFAULT);

    TH_HDF5_CHECK(group >= 0 && H5Gget_info(group, &info) >= 0, TH_EDATA, "no group \"model\"");
    TH_CHECK(info.nlinks < 1 << 24, TH_EDATA, fix_data, "group \"model\" has %llu datasets",
             (unsigned long long)info.nlinks);
    int count = (int)info.nlinks;
    TH_TRY(th_alloc((size_t)count, sizeof *layout->places, "the parameter table",
                    (void **)&layout->places, err));
    TH_TRY(th_alloc((size_t)count, sizeof *layout->names, "the parameter table",
                    (void **)&layout->names, err));
    TH_TRY(th_alloc((size_t)count, sizeof *layout->parameters, "the parameter table",
                    (void **)&layout->parameters, err));
    layout->count = count;
    for (int i = 0; i < count; i++) {
        ssize_t length = H5Lget_name_by_idx(group, ".", H5_INDEX_CRT_ORDER, H5_ITER_INC, (hsize_t)i,
                                            layout->names[i], TH_TENSOR_NAME, H5P_DEFAULT);
        TH_HDF5_CHECK(length > 0 && length < TH_TENSOR_NAME, TH_EDATA,
                      "could not read the name of parameter %d", i);
        layout->parameters[i].model.name = layout->names[i];
    }
out:
    return th_hdf5_close(&group, H5Gclose, "group \"model\"", rc, err);
}

static th_code read_table(th_layout *layout, hid_t file, th_err *err)
{
    th_code rc = TH_OK;

    for (int i = 0; i < layout->count; i++) {
        th_saved_parameter *p = &layout->parameters[i];
        for (th_part part = 0; part < TH_PARTS; part++)
            TH_TRY(find_tensor(layout, file, i, part, err));
        TH_CHECK(layout->places[i][TH_MODEL].there, TH_EDATA, fix_data,
                 "parameter \"%s\" is not there", p->model.name);
        TH_TRY(read_step(file, p->model.name, &p->step, err));
        p->model.data = &layout->places[i][TH_MODEL].scalar;
        p->exp_avg = layout->places[i][TH_EXP_AVG].there ? p->model.data : NULL;
        p->exp_avg_sq = layout->places[i][TH_EXP_AVG_SQ].there ? p->model.data : NULL;
    }
out:
    return rc;
}

th_code th_layout_open(const char *path, th_layout **out, th_err *err)
{
    th_code    rc = TH_OK;
    th_layout *layout = NULL;
    hid_t      file = H5I_INVALID_HID, access = H5I_INVALID_HID;

    TH_TRY(th_hdf5_begin(err));
    TH_TRY(th_alloc(1, sizeof *layout, "a checkpoint", (void **)&layout, err));
    layout->fd = open(path, O_RDONLY | O_CLOEXEC);
    TH_CHECK(layout->fd >= 0, TH_EIO, fix_io, "could not open file \"%s\": %s", path,
             strerror(errno));
    TH_TRY(th_hdf5_access(&access, err));
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    TH_HDF5_CHECK(file >= 0, TH_EDATA, "could not open file \"%s\"", path);
    TH_TRY(th_layout_state_read(file, &layout->state, err));
    TH_TRY(read_config(file, &layout->config, err));
    TH_TRY(make_table(layout, file, err));
    TH_TRY(read_table(layout, file, err));
out:
    rc = th_hdf5_close(&access, H5Pclose, "options", rc, err);
    rc = th_hdf5_close(&file, H5Fclose, path, rc, err);
    if (rc == TH_OK)
        *out = layout;
    else
        th_layout_close(layout);
    return rc;
}

static th_code read_at(int fd, void *bytes, size_t size, haddr_t address, th_err *err)
{
    th_code rc = TH_OK;
    char   *at = bytes;

    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)address);
        if (got < 0 && errno == EINTR)
            continue;
        TH_CHECK(got >= 0, TH_EIO, fix_io, "could not read a checkpoint: %s", strerror(errno));
        TH_CHECK(got > 0, TH_EDATA, fix_data, "a checkpoint ends too early");
        at += got;
        address += (haddr_t)got;
        size -= (size_t)got;
    }
out:
    return rc;
}

static th_code read_chunks(const th_layout *layout, const tensor_place *place, const char *path,
                           float *data, th_hasher *hasher, th_err *err)
{
    th_code        rc = TH_OK;
    size_t         size = (size_t)place->chunks.chunk_elements * sizeof(float);
    unsigned char *chunk = NULL;

    TH_TRY(th_alloc(size + sizeof(uint32_t), 1, "a chunk", (void **)&chunk, err));
    for (int64_t i = 0; i < place->chunks.count; i++) {
        int64_t  at[TH_TENSOR_DIMENSIONS], first, elements;
        uint32_t checksum;

        th_chunks_at(&place->chunks, i, at, &first, &elements);
        TH_TRY(read_at(layout->fd, chunk, size + sizeof checksum, place->addresses[i], err));
        memcpy(&checksum, chunk + size, sizeof checksum);
        TH_CHECK(checksum == th_fletcher32(chunk, size), TH_EDATA, fix_data,
                 "a chunk of \"%s\" is damaged: its checksum differs", path);
        th_hasher_add(hasher, chunk, (size_t)elements * sizeof(float));
        if (data)
            memcpy(data + first, chunk, (size_t)elements * sizeof(float));
    }
out:
    free(chunk);
    return rc;
}

th_code th_layout_read(const th_layout *layout, int index, th_part part, float *data,
                       uint64_t *out_hash, th_err *err)
{
    th_code             rc = TH_OK;
    th_hasher          *hasher = NULL;
    char                path[TH_TENSOR_PATH];
    const tensor_place *place = &layout->places[index][part];

    th_tensor_path(part, layout->names[index], path);
    TH_CHECK(place->there, TH_EDATA, fix_data, "there is no \"%s\"", path);
    TH_TRY(th_hasher_open(&hasher, err));
    if (place->addresses) {
        TH_TRY(read_chunks(layout, place, path, data, hasher, err));
    } else {
        th_hasher_add(hasher, &place->scalar, sizeof place->scalar);
        if (data)
            *data = place->scalar;
    }
    *out_hash = th_hasher_value(hasher);
out:
    th_hasher_close(hasher);
    return rc;
}

th_code th_layout_hash_by_hdf5(const char *path, const char *tensor, uint64_t *out_hash,
                               th_err *err)
{
    th_code rc = TH_OK;
    hid_t   file = H5I_INVALID_HID, dataset = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hid_t   access = H5I_INVALID_HID;
    float  *data = NULL;

    TH_TRY(th_hdf5_begin(err));
    TH_TRY(th_hdf5_access(&access, err));
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    TH_HDF5_CHECK(file >= 0, TH_EDATA, "could not open file \"%s\"", path);
    dataset = H5Dopen2(file, tensor, H5P_DEFAULT);
    TH_HDF5_CHECK(dataset >= 0, TH_EDATA, "could not open \"%s\"", tensor);
    space = H5Dget_space(dataset);
    hssize_t elements = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    TH_HDF5_CHECK(elements >= 0, TH_EDATA, "could not read \"%s\"", tensor);
    TH_TRY(th_alloc((size_t)elements, sizeof *data, "a tensor", (void **)&data, err));
    TH_HDF5_CHECK(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0,
                  TH_EDATA, "could not read \"%s\"", tensor);
    *out_hash = th_hash(data, (size_t)elements * sizeof *data);
out:
    free(data);
    rc = th_hdf5_close(&access, H5Pclose, "options", rc, err);
    rc = th_hdf5_close(&space, H5Sclose, tensor, rc, err);
    rc = th_hdf5_close(&dataset, H5Dclose, tensor, rc, err);
    return th_hdf5_close(&file, H5Fclose, path, rc, err);
}
