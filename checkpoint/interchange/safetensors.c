/* checkpoint/interchange/safetensors.c - the header, which is all that can lie. */
#include "checkpoint/interchange/safetensors.h"

#include "base/memory.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES sizeof(uint64_t)
#define MOST_SIZE    ((json_int_t)1 << 40) // of a dimension: sums and small multiples stay in range

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as they stand");

static const char fix_file[] = "get the file again from where it is whole";

static const struct {
    const char    *name;
    uint64_t       bytes; // of an element
    th_stored_type type;
} types[] = {
    { "F32", 4, TH_STORED_F32 },       { "F16", 2, TH_STORED_F16 },
    { "BF16", 2, TH_STORED_BF16 },     { "F64", 8, TH_STORED_OTHER },
    { "I64", 8, TH_STORED_OTHER },     { "U64", 8, TH_STORED_OTHER },
    { "I32", 4, TH_STORED_OTHER },     { "U32", 4, TH_STORED_OTHER },
    { "I16", 2, TH_STORED_OTHER },     { "U16", 2, TH_STORED_OTHER },
    { "I8", 1, TH_STORED_OTHER },      { "U8", 1, TH_STORED_OTHER },
    { "BOOL", 1, TH_STORED_OTHER },    { "F8_E4M3", 1, TH_STORED_OTHER },
    { "F8_E5M2", 1, TH_STORED_OTHER },
};

// *out_bytes: of one element.
static th_code parse_type(const json_t *value, th_stored_tensor *tensor, uint64_t *out_bytes,
                          th_err *err)
{
    const char *name = json_string_value(value);
    size_t      i = 0, count = sizeof types / sizeof *types;
    th_code     rc = TH_OK;

    while (name && i < count && strcmp(types[i].name, name) != 0)
        i++;
    TH_CHECK(name && i < count, TH_EDATA, "convert it to F32, F16 or BF16",
             "tensor \"%s\" has dtype \"%.20s\", which is not known", tensor->name,
             name ? name : "none");
    (void)strcpy(tensor->type_name, types[i].name); // NOLINT: the table's names fit
    tensor->type = types[i].type;
    *out_bytes = types[i].bytes;
out:
    return rc;
}

static th_code parse_shape(const json_t *value, th_stored_tensor *tensor, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(json_is_array(value) && json_array_size(value) <= TH_SAFETENSORS_DIMENSIONS, TH_EDATA,
             fix_file, "tensor \"%s\" has no shape of 0 to %d sizes", tensor->name,
             TH_SAFETENSORS_DIMENSIONS);
    tensor->dimensions = (int)json_array_size(value);
    tensor->elements = 1;
    for (int d = 0; d < tensor->dimensions; d++) {
        const json_t *size = json_array_get(value, (size_t)d);
        TH_CHECK(json_is_integer(size) && json_integer_value(size) >= 0 &&
                     json_integer_value(size) <= MOST_SIZE &&
                     !__builtin_mul_overflow(tensor->elements, json_integer_value(size),
                                             &tensor->elements),
                 TH_EDATA, fix_file, "tensor \"%s\" has a shape that no file can hold",
                 tensor->name);
        tensor->shape[d] = json_integer_value(size);
    }
out:
    return rc;
}

// `data` is where offsets count from, file_bytes where the file ends.
static th_code parse_place(const json_t *value, uint64_t element_bytes, uint64_t data,
                           uint64_t file_bytes, th_stored_tensor *tensor, th_err *err)
{
    const json_t *first = json_array_get(value, 0), *behind = json_array_get(value, 1);
    uint64_t      bytes;
    th_code       rc = TH_OK;

    TH_CHECK(json_array_size(value) == 2 && json_is_integer(first) && json_is_integer(behind),
             TH_EDATA, fix_file, "tensor \"%s\" has no data_offsets of two numbers", tensor->name);
    int64_t from = json_integer_value(first), to = json_integer_value(behind);
    TH_CHECK(from >= 0 && to >= from && (uint64_t)to <= file_bytes - data, TH_EDATA, fix_file,
             "tensor \"%s\" stands at bytes %" PRId64 " to %" PRId64 " of %" PRIu64, tensor->name,
             from, to, file_bytes - data);
    TH_CHECK(!__builtin_mul_overflow((uint64_t)tensor->elements, element_bytes, &bytes) &&
                 bytes == (uint64_t)(to - from),
             TH_EDATA, fix_file,
             "tensor \"%s\" has %" PRId64 " elements of %s, and %" PRId64 " bytes", tensor->name,
             tensor->elements, tensor->type_name, to - from);
    tensor->first_byte = data + (uint64_t)from;
    tensor->bytes = bytes;
out:
    return rc;
}

static th_code parse_tensor(const char *name, const json_t *about, uint64_t data,
                            uint64_t file_bytes, th_stored_tensor *tensor, th_err *err)
{
    uint64_t element_bytes = 0;
    size_t   length = strlen(name);
    th_code  rc = TH_OK;

    TH_CHECK(length > 0 && length < sizeof tensor->name, TH_EDATA, fix_file,
             "a tensor has a name of %zu bytes: \"%.60s\"", length, name);
    memcpy(tensor->name, name, length + 1);
    TH_TRY(parse_type(json_object_get(about, "dtype"), tensor, &element_bytes, err));
    TH_TRY(parse_shape(json_object_get(about, "shape"), tensor, err));
    TH_TRY(parse_place(json_object_get(about, "data_offsets"), element_bytes, data, file_bytes,
                       tensor, err));
out:
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const th_stored_tensor *left = a, *right = b;

    if (left->first_byte != right->first_byte)
        return left->first_byte < right->first_byte ? -1 : 1;
    if (left->bytes != right->bytes) // an empty one stands before the one that begins there
        return left->bytes < right->bytes ? -1 : 1;
    return strcmp(left->name, right->name);
}

// Each tensor begins where the one before ended, and the last one ends with the file.
static th_code check_cover(const th_safetensors_index *index, uint64_t data, uint64_t file_bytes,
                           th_err *err)
{
    uint64_t at = data;
    th_code  rc = TH_OK;

    for (int i = 0; i < index->count; i++) {
        const th_stored_tensor *tensor = &index->tensors[i];
        TH_CHECK(tensor->first_byte >= at, TH_EDATA, fix_file,
                 "tensors \"%.80s\" and \"%.80s\" overlap", index->tensors[i - 1].name,
                 tensor->name);
        TH_CHECK(tensor->first_byte == at, TH_EDATA, fix_file,
                 "%" PRIu64 " bytes before tensor \"%s\" belong to none", tensor->first_byte - at,
                 tensor->name);
        at += tensor->bytes;
    }
    TH_CHECK(at == file_bytes, TH_EDATA, fix_file,
             "the file has %" PRIu64 " bytes behind its last tensor", file_bytes - at);
out:
    return rc;
}

static th_code check_length(const void *bytes, size_t size, uint64_t file_bytes,
                            uint64_t *out_length, th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(size >= LENGTH_BYTES && file_bytes >= size, TH_EDATA, fix_file,
             "the file has %" PRIu64 " bytes: too few for safetensors", file_bytes);
    memcpy(out_length, bytes, LENGTH_BYTES);
    TH_CHECK(*out_length <= TH_SAFETENSORS_HEADER, TH_EDATA, fix_file,
             "the header would have %" PRIu64 " bytes, more than %zu: not safetensors", *out_length,
             TH_SAFETENSORS_HEADER);
    TH_CHECK(*out_length <= size - LENGTH_BYTES, TH_EDATA, fix_file,
             "the header has %" PRIu64 " bytes, and the file ends before", *out_length);
out:
    return rc;
}

th_code th_safetensors_parse(const void *bytes, size_t size, uint64_t file_bytes,
                             th_safetensors_index *out, th_err *err)
{
    th_safetensors_index index = { 0 };
    json_t              *root = NULL, *about;
    json_error_t         where;
    const char          *name;
    uint64_t             length = 0;
    th_code              rc = TH_OK;

    TH_TRY(check_length(bytes, size, file_bytes, &length, err));
    root = json_loadb((const char *)bytes + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES,
                      &where);
    TH_CHECK(json_is_object(root), TH_EDATA, fix_file, "the header is no JSON object: %.120s",
             root ? "it is something else" : where.text);
    TH_CHECK(json_object_size(root) <= TH_SAFETENSORS_TENSORS, TH_EDATA, fix_file,
             "the header names %zu tensors, more than %d", json_object_size(root),
             TH_SAFETENSORS_TENSORS);
    TH_TRY(th_alloc(json_object_size(root), sizeof *index.tensors, "tensors of a file",
                    (void **)&index.tensors, err));
    json_object_foreach(root, name, about)
    {
        if (strcmp(name, "__metadata__") != 0)
            TH_TRY(parse_tensor(name, about, LENGTH_BYTES + length, file_bytes,
                                &index.tensors[index.count++], err));
    }
    qsort(index.tensors, (size_t)index.count, sizeof *index.tensors, by_place);
    TH_TRY(check_cover(&index, LENGTH_BYTES + length, file_bytes, err));
    *out = index;
out:
    json_decref(root);
    if (rc != TH_OK)
        th_safetensors_index_done(&index);
    return rc;
}

void th_safetensors_index_done(th_safetensors_index *index)
{
    free(index->tensors);
    *index = (th_safetensors_index){ 0 };
}
