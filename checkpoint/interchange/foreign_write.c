#include "checkpoint/interchange/foreign_write.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

// Tensors on their way out. Most are the rows themselves, or a part of one; what is turned on its
// side is a copy.
typedef struct {
    th_tensor     *tensors; // [TH_NAME_PARTS * rows]
    th_name_parts *names;   // [rows]
    float        **copies;  // [rows], NULL where there is none
    int            count, rows;
} outgoing;

static void outgoing_done(outgoing *out)
{
    for (int i = 0; out->copies && i < out->rows; i++)
        free(out->copies[i]);
    free(out->copies);
    free(out->names);
    free(out->tensors);
}

// [n, m] to [m, n].
static th_code transpose(const th_tensor *row, float **out, th_err *err)
{
    int64_t n = row->shape[0], m = row->shape[1];
    float  *side = NULL;
    th_code rc = TH_OK;

    TH_TRY(th_alloc((size_t)(n * m), sizeof *side, "a tensor", (void **)&side, err));
    for (int64_t i = 0; i < m; i++)
        for (int64_t k = 0; k < n; k++)
            side[i * n + k] = row->data[k * m + i];
    *out = side;
out:
    return rc;
}

static th_code add_row(outgoing *to, int i, const th_tensor *row, th_err *err)
{
    const th_name_parts *names = &to->names[i];
    th_tensor            part = *row;
    int64_t              elements = 1;
    th_code              rc = TH_OK;

    if (names->transposed) {
        TH_TRY(transpose(row, &to->copies[i], err));
        part.data = to->copies[i];
        part.shape[0] = row->shape[1];
        part.shape[1] = row->shape[0];
    }
    if (names->count > 1)
        part.shape[0] /= names->count;
    for (int d = 0; d < part.dimensions; d++)
        elements *= part.shape[d];
    for (int k = 0; k < names->count; k++) {
        part.name = names->names[k];
        to->tensors[to->count++] = part;
        part.data += elements;
    }
out:
    return rc;
}

th_code th_foreign_write(const char *path, th_format format, const th_tensor *rows, int count,
                         const char **out_left_out, th_err *err)
{
    outgoing    to = { .rows = count };
    const char *left_out = NULL;
    th_code     rc = TH_OK;

    TH_TRY(th_alloc((size_t)count * TH_NAME_PARTS, sizeof *to.tensors, "tensors to write",
                    (void **)&to.tensors, err));
    TH_TRY(th_alloc((size_t)count, sizeof *to.names, "names of tensors", (void **)&to.names, err));
    TH_TRY(
        th_alloc((size_t)count, sizeof *to.copies, "copies of tensors", (void **)&to.copies, err));
    for (int i = 0; i < count; i++)
        if (th_names_of(format, rows[i].name, &to.names[i]))
            TH_TRY(add_row(&to, i, &rows[i], err));
        else
            left_out = rows[i].name;
    TH_TRY(th_safetensors_write(path, to.tensors, to.count, err));
    if (out_left_out)
        *out_left_out = left_out;
out:
    outgoing_done(&to);
    return rc;
}
