// checkpoint/interchange/safetensors: a header that is believed is one that fits together, and
// then every tensor that it lists can be read.
#include "checkpoint/interchange/safetensors.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_index(const th_safetensors_index *index, size_t size)
{
    uint64_t at = index->count > 0 ? index->tensors[0].first_byte : size;

    for (int i = 0; i < index->count; i++) {
        const th_stored_tensor *tensor = &index->tensors[i];
        int64_t                 elements = 1;

        th_fuzz_claim(tensor->first_byte == at && strlen(tensor->name) < sizeof tensor->name);
        th_fuzz_claim(tensor->dimensions >= 0 && tensor->dimensions <= TH_SAFETENSORS_DIMENSIONS);
        for (int d = 0; d < tensor->dimensions; d++)
            elements *= tensor->shape[d];
        th_fuzz_claim(tensor->elements == elements && tensor->bytes <= size);
        at += tensor->bytes;
    }
    th_fuzz_claim(at == size);
}

static void read_all(const uint8_t *bytes, size_t size)
{
    th_safetensors *file = NULL;
    th_err          err = { 0 };

    th_fuzz_claim(th_safetensors_open(th_fuzz_file(bytes, size), &file, &err) == TH_OK);
    const th_safetensors_index *index = th_safetensors_list(file);
    for (int i = 0; i < index->count; i++) {
        const th_stored_tensor *tensor = &index->tensors[i];
        if (tensor->bytes == 0 || tensor->elements > (int64_t)size)
            continue;
        float *values = malloc((size_t)tensor->elements * sizeof *values);
        th_fuzz_claim(values);
        th_code rc = th_safetensors_read(file, tensor, values, &err);
        th_fuzz_claim((rc == TH_OK) == (tensor->type != TH_STORED_OTHER));
        free(values);
    }
    th_safetensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    th_safetensors_index index = { 0 };
    th_err               err = { 0 };
    th_code              rc = th_safetensors_parse(bytes, size, size, &index, &err);

    if (rc == TH_OK) {
        check_index(&index, size);
        read_all(bytes, size);
    } else
        th_fuzz_refusal(rc, err);
    th_safetensors_index_done(&index);
    return 0;
}
