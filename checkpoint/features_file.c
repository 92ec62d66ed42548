#include "checkpoint/features_file.h"

#include "base/file.h"
#include "checkpoint/hdf5.h"
#include "checkpoint/interchange/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAFETENSORS ".safetensors"

static const char fix_path[] = "use a shorter path";

static bool ends_in(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);

    return length > tail && strcmp(path + length - tail, ending) == 0;
}

th_code th_features_file_check(const char *path, th_err *err)
{
    const char *slash = strrchr(path, '/');
    char        folder[PATH_MAX] = ".";
    th_code     rc = TH_OK;

    TH_CHECK(ends_in(path, ".h5") || ends_in(path, SAFETENSORS), TH_EUSAGE,
             "write NAME.safetensors or NAME.h5",
             "\"%s\" names no format: it ends neither in .safetensors nor in .h5", path);
    if (slash)
        TH_CHECK(snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path) <
                     (int)sizeof folder,
                 TH_EUSAGE, fix_path, "the path \"%.100s...\" is too long", path);
    TH_CHECK(access(folder, W_OK) == 0, TH_EIO, "make the folder first, or name another",
             "could not write to folder \"%s\": %s", folder, strerror(errno));
out:
    return rc;
}

// --- HDF5 ---

// A dataset of one kind of element.
typedef struct {
    const char *name;
    int         dimensions;
    hsize_t     shape[2];
    hid_t       stored, given; // types
    const void *data;
} dataset;

static th_code write_dataset(hid_t file, const dataset *what, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   space = H5I_INVALID_HID, made = H5I_INVALID_HID;
    hid_t   options = H5Pcreate(H5P_DATASET_CREATE);

    TH_HDF5_CHECK(options >= 0 && H5Pset_obj_track_times(options, 0) >= 0, TH_EIO,
                  "could not set up HDF5");
    space = H5Screate_simple(what->dimensions, what->shape, NULL);
    TH_HDF5_CHECK(space >= 0, TH_EIO, "could not make \"%s\"", what->name);
    made = H5Dcreate2(file, what->name, what->stored, space, H5P_DEFAULT, options, H5P_DEFAULT);
    TH_HDF5_CHECK(made >= 0, TH_EIO, "could not make \"%s\"", what->name);
    TH_HDF5_CHECK(H5Dwrite(made, what->given, H5S_ALL, H5S_ALL, H5P_DEFAULT, what->data) >= 0,
                  TH_EIO, "could not write \"%s\"", what->name);
out:
    rc = th_hdf5_close(&made, H5Dclose, what->name, rc, err);
    rc = th_hdf5_close(&space, H5Sclose, what->name, rc, err);
    return th_hdf5_close(&options, H5Pclose, "options", rc, err);
}

static th_code write_all(hid_t file, hid_t string, const th_features_content *c, th_err *err)
{
    hsize_t n = (hsize_t)c->images, m = (hsize_t)c->texts, d = (hsize_t)c->d;
    hid_t   real = H5T_IEEE_F32LE, number = H5T_STD_I64LE;
    dataset all[] = {
        { "image", 2, { n, d }, real, H5T_NATIVE_FLOAT, c->image },
        { "image_names", 1, { n }, string, string, c->image ? c->image_names : NULL },
        { "text", 2, { m, d }, real, H5T_NATIVE_FLOAT, c->text },
        { "captions", 1, { m }, string, string, c->text ? c->captions : NULL },
        { "image_of", 1, { m }, number, H5T_NATIVE_INT64, c->text ? c->image_of : NULL },
    };
    th_code rc = TH_OK;

    for (size_t i = 0; rc == TH_OK && i < sizeof all / sizeof *all; i++)
        if (all[i].data)
            rc = write_dataset(file, &all[i], err);
    return rc;
}

static th_code write_hdf5(const char *path, const th_features_content *content, th_err *err)
{
    th_code rc = TH_OK;
    hid_t   none = H5I_INVALID_HID, access = none, options = none, file = none, string = none;

    TH_TRY(th_hdf5_begin(err));
    TH_TRY(th_hdf5_access(&access, err));
    options = H5Pcreate(H5P_FILE_CREATE);
    string = H5Tcopy(H5T_C_S1);
    TH_HDF5_CHECK(options >= 0 && H5Pset_obj_track_times(options, 0) >= 0 && string >= 0 &&
                      H5Tset_size(string, H5T_VARIABLE) >= 0 &&
                      H5Tset_cset(string, H5T_CSET_UTF8) >= 0,
                  TH_EIO, "could not set up HDF5");
    file = H5Fcreate(path, H5F_ACC_TRUNC, options, access);
    TH_HDF5_CHECK(file >= 0, TH_EIO, "could not make file \"%s\"", path);
    TH_TRY(write_all(file, string, content, err));
out:
    rc = th_hdf5_close(&string, H5Tclose, "string type", rc, err);
    rc = th_hdf5_close(&options, H5Pclose, "options", rc, err);
    rc = th_hdf5_close(&access, H5Pclose, "options", rc, err);
    return th_hdf5_close(&file, H5Fclose, path, rc, err);
}

static th_code publish_hdf5(const char *path, const th_features_content *content, th_err *err)
{
    char    tmp[PATH_MAX] = "";
    th_code rc = TH_OK;

    TH_CHECK((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) < sizeof tmp, TH_EUSAGE, fix_path,
             "the path \"%.100s...\" is too long", path);
    TH_TRY(write_hdf5(tmp, content, err));
    TH_TRY(th_file_publish(AT_FDCWD, tmp, path, err));
out:
    if (rc != TH_OK && tmp[0])
        (void)unlink(tmp); // gives the space back
    return rc;
}

// --- safetensors, and names beside ---

static th_code add_strings(json_t *object, const char *key, const char *const *strings,
                           int64_t count, th_err *err)
{
    json_t *list = json_array();
    th_code rc = TH_OK;

    TH_CHECK(list && json_object_set_new(object, key, list) == 0, TH_EIO, "free some memory",
             "could not list names: out of memory");
    for (int64_t i = 0; i < count; i++)
        TH_CHECK(json_array_append_new(list, json_string(strings[i])) == 0, TH_EDATA,
                 "write names in UTF-8", "name %lld of \"%s\" cannot be stored: \"%.100s\"",
                 (long long)i, key, strings[i]);
out:
    return rc;
}

static th_code add_numbers(json_t *object, const char *key, const int64_t *numbers, int64_t count,
                           th_err *err)
{
    json_t *list = json_array();
    th_code rc = TH_OK;

    TH_CHECK(list && json_object_set_new(object, key, list) == 0, TH_EIO, "free some memory",
             "could not list names: out of memory");
    for (int64_t i = 0; i < count; i++)
        TH_CHECK(json_array_append_new(list, json_integer(numbers[i])) == 0, TH_EIO,
                 "free some memory", "could not list names: out of memory");
out:
    return rc;
}

static th_code publish_names(const char *path, const th_features_content *c, th_err *err)
{
    json_t *object = json_object();
    char   *text = NULL, name[PATH_MAX];
    int     stem = (int)(strlen(path) - strlen(SAFETENSORS));
    th_code rc = TH_OK;

    TH_CHECK((size_t)snprintf(name, sizeof name, "%.*s.names.json", stem, path) < sizeof name,
             TH_EUSAGE, fix_path, "the path \"%.100s...\" is too long", path);
    TH_CHECK(object, TH_EIO, "free some memory", "could not list names: out of memory");
    if (c->image)
        TH_TRY(add_strings(object, "image_names", c->image_names, c->images, err));
    if (c->text)
        TH_TRY(add_strings(object, "captions", c->captions, c->texts, err));
    if (c->text && c->image_of)
        TH_TRY(add_numbers(object, "image_of", c->image_of, c->texts, err));
    text = json_dumps(object, JSON_INDENT(0) | JSON_PRESERVE_ORDER);
    TH_CHECK(text, TH_EIO, "free some memory", "could not print names: out of memory");
    TH_TRY(th_file_replace(name, text, strlen(text), err));
out:
    free(text);
    json_decref(object);
    return rc;
}

static th_code publish_safetensors(const char *path, const th_features_content *c, th_err *err)
{
    th_tensor tensors[2];
    int       count = 0;
    th_code   rc = TH_OK;

    if (c->image)
        tensors[count++] = (th_tensor){ "image", 2, { c->images, c->d }, c->image };
    if (c->text)
        tensors[count++] = (th_tensor){ "text", 2, { c->texts, c->d }, c->text };
    TH_TRY(publish_names(path, c, err));
    TH_TRY(th_safetensors_write(path, tensors, count, err));
out:
    return rc;
}

th_code th_features_file_write(const char *path, const th_features_content *content, th_err *err)
{
    th_code rc = TH_OK;

    TH_TRY(th_features_file_check(path, err));
    if (ends_in(path, SAFETENSORS))
        TH_TRY(publish_safetensors(path, content, err));
    else
        TH_TRY(publish_hdf5(path, content, err));
out:
    return rc == TH_OK ? TH_OK : th_during(err, "writing features to \"%s\"", path);
}
