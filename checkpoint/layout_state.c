#include "checkpoint/layout_state.h"
#include "checkpoint/hdf5.h"

#include <stddef.h>
#include <string.h>

typedef enum { SIGNED, UNSIGNED, REAL } field_kind;

#define FIELD(kind, name)                                                                          \
    {                                                                                              \
#name, kind, offsetof(th_saved_state, name)                                                \
    }

static const struct field {
    const char *name;
    field_kind  kind;
    size_t      offset;
} fields[] = {
    FIELD(SIGNED, step),          FIELD(SIGNED, samples_seen), FIELD(SIGNED, stage),
    FIELD(SIGNED, stage_step),    FIELD(UNSIGNED, seed),       FIELD(SIGNED, world_size),
    FIELD(SIGNED, metrics_bytes), FIELD(SIGNED, skipped),      FIELD(SIGNED, skipped_in_row),
    FIELD(REAL, seconds),
};
#define FIELDS ((int)(sizeof fields / sizeof *fields))

static hid_t file_type(field_kind kind)
{
    return kind == SIGNED ? H5T_STD_I64LE : kind == UNSIGNED ? H5T_STD_U64LE : H5T_IEEE_F64LE;
}

static hid_t memory_type(field_kind kind)
{
    return kind == SIGNED     ? H5T_NATIVE_INT64
           : kind == UNSIGNED ? H5T_NATIVE_UINT64
                              : H5T_NATIVE_DOUBLE;
}

static th_code write_attribute(hid_t group, const char *name, hid_t stored, hid_t given,
                               const void *value, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   attribute = H5I_INVALID_HID, space = H5Screate(H5S_SCALAR);

    TH_HDF5_CHECK(space >= 0, TH_EIO, "could not write state \"%s\"", name);
    attribute = H5Acreate2(group, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    TH_HDF5_CHECK(attribute >= 0, TH_EIO, "could not make state \"%s\"", name);
    TH_HDF5_CHECK(H5Awrite(attribute, given, value) >= 0, TH_EIO, "could not write state \"%s\"",
                  name);
out:
    rc = th_hdf5_close(&attribute, H5Aclose, name, rc, err);
    return th_hdf5_close(&space, H5Sclose, name, rc, err);
}

// A string of fixed length: h5py gives it as bytes, and it needs no heap, which has no checksum.
static th_code text_type(size_t length, hid_t *out, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   type = H5Tcopy(H5T_C_S1);

    TH_HDF5_CHECK(type >= 0 && H5Tset_size(type, length) >= 0 &&
                      H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
                      H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0,
                  TH_EIO, "could not make a string type");
    *out = type;
    type = H5I_INVALID_HID;
out:
    return th_hdf5_close(&type, H5Tclose, "string type", rc, err);
}

th_code th_layout_state_write(hid_t file, const th_saved_state *state, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   type = H5I_INVALID_HID, group = H5I_INVALID_HID, options = H5Pcreate(H5P_GROUP_CREATE);
    int64_t format = TH_LAYOUT_FORMAT;
    size_t  length = strnlen(state->trigger, sizeof state->trigger);

    // More than eight attributes would move to a heap and an index of kilobytes.
    TH_HDF5_CHECK(options >= 0 && H5Pset_attr_phase_change(options, 2 * FIELDS, 0) >= 0 &&
                      H5Pset_obj_track_times(options, 0) >= 0,
                  TH_EIO, "could not set up HDF5");
    group = H5Gcreate2(file, "state", H5P_DEFAULT, options, H5P_DEFAULT);
    TH_HDF5_CHECK(group >= 0, TH_EIO, "could not make group \"state\"");
    TH_TRY(write_attribute(group, "format", H5T_STD_I64LE, H5T_NATIVE_INT64, &format, err));
    for (int i = 0; i < FIELDS; i++)
        TH_TRY(write_attribute(group, fields[i].name, file_type(fields[i].kind),
                               memory_type(fields[i].kind), (const char *)state + fields[i].offset,
                               err));
    // A string type has at least one byte: an empty text is one zero.
    TH_TRY(text_type(length ? length : 1, &type, err));
    TH_TRY(write_attribute(group, "trigger", type, type, state->trigger, err));
out:
    rc = th_hdf5_close(&type, H5Tclose, "string type", rc, err);
    rc = th_hdf5_close(&options, H5Pclose, "options", rc, err);
    return th_hdf5_close(&group, H5Gclose, "group \"state\"", rc, err);
}

// `limit` is the size of value; it must be exactly that of a number, and may be more for a text.
static th_code read_attribute(hid_t group, const char *name, H5T_class_t class, hid_t given,
                              void *value, size_t limit, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hid_t   attribute = H5Aopen(group, name, H5P_DEFAULT);

    TH_HDF5_CHECK(attribute >= 0, TH_EDATA, "no state \"%s\"", name);
    type = H5Aget_type(attribute);
    space = H5Aget_space(attribute);
    TH_HDF5_CHECK(type >= 0 && space >= 0, TH_EDATA, "could not read state \"%s\"", name);
    TH_CHECK(H5Tget_class(type) == class && H5Tget_size(type) <= limit &&
                 H5Sget_simple_extent_npoints(space) == 1 &&
                 (class == H5T_STRING ? H5Tis_variable_str(type) == 0 : H5Tget_size(type) == limit),
             TH_EDATA, "use a file that thaw wrote", "state \"%s\" is of another type", name);
    TH_HDF5_CHECK(H5Aread(attribute, class == H5T_STRING ? type : given, value) >= 0, TH_EDATA,
                  "could not read state \"%s\"", name);
out:
    rc = th_hdf5_close(&type, H5Tclose, name, rc, err);
    rc = th_hdf5_close(&space, H5Sclose, name, rc, err);
    return th_hdf5_close(&attribute, H5Aclose, name, rc, err);
}

th_code th_layout_state_read(hid_t file, th_saved_state *out, th_err *err)
{
    th_code        rc = TH_OK;
    th_saved_state state = { 0 };
    int64_t        format = 0;
    hid_t          group = H5Gopen2(file, "state", H5P_DEFAULT);

    TH_HDF5_CHECK(group >= 0, TH_EDATA, "no group \"state\"");
    TH_TRY(read_attribute(group, "format", H5T_INTEGER, H5T_NATIVE_INT64, &format, sizeof format,
                          err));
    TH_CHECK(format == TH_LAYOUT_FORMAT, TH_EDATA, "use the version of thaw that wrote it",
             "checkpoint format %lld is not known here (%d is)", (long long)format,
             TH_LAYOUT_FORMAT);
    for (int i = 0; i < FIELDS; i++)
        TH_TRY(read_attribute(
            group, fields[i].name, fields[i].kind == REAL ? H5T_FLOAT : H5T_INTEGER,
            memory_type(fields[i].kind), (char *)&state + fields[i].offset, sizeof(int64_t), err));
    TH_TRY(read_attribute(group, "trigger", H5T_STRING, H5I_INVALID_HID, state.trigger,
                          sizeof state.trigger - 1, err));
    *out = state;
out:
    return th_hdf5_close(&group, H5Gclose, "group \"state\"", rc, err);
}
