// checkpoint/manifest: what is told of a generation. Its hash is mended, so that guesses get past
// it. What is accepted is written again and read to the same.
#include "base/hash.h"
#include "checkpoint/manifest.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define STEP 7
#define LINE " \"manifest_hash\": \""
#define END  "\"\n}\n"

static const char *const names[] = { "step-00000007.json" };

// The input without its last line, if it has one, and the line with the right hash behind it.
static size_t mend(const uint8_t *bytes, size_t size, char *out, size_t room)
{
    const char *tail = memmem(bytes, size, LINE, sizeof LINE - 1);
    size_t      body = tail ? (size_t)(tail - (const char *)bytes) : size;
    char        digits[TH_HASH_TEXT];

    memcpy(out, bytes, body);
    th_hash_print(th_hash(out, body), digits);
    return body + (size_t)snprintf(out + body, room - body, LINE "%s" END, digits);
}

static void check_again(const char *folder, const th_manifest *manifest)
{
    th_manifest again = { 0 };
    th_err      err = { 0 };
    uint64_t    hash;

    th_fuzz_claim(manifest->generation.step == STEP && manifest->generation.bytes > 0);
    th_fuzz_claim(!strchr(manifest->generation.name, '/'));
    th_fuzz_claim(th_manifest_write(folder, manifest, &err) == TH_OK);
    th_fuzz_claim(th_manifest_read(folder, STEP, &again, &err) == TH_OK);
    th_fuzz_claim(memcmp(&again.generation, &manifest->generation, sizeof again.generation) == 0);
    th_fuzz_claim(again.hash == manifest->hash && again.tensor_count == manifest->tensor_count);
    for (int i = 0; i < manifest->tensor_count; i++)
        th_fuzz_claim(th_manifest_find(&again, manifest->tensors[i].path, &hash) &&
                      hash == manifest->tensors[i].hash);
    th_manifest_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char text[1 << 20];
    th_manifest manifest = { 0 };
    th_err      err = { 0 };

    if (size > sizeof text / 2)
        return 0;
    size_t      mended = mend(bytes, size, text, sizeof text);
    const char *folder = th_fuzz_folder(names, 1, (const uint8_t *)text, mended);
    th_code     rc = th_manifest_read(folder, STEP, &manifest, &err);
    if (rc == TH_OK)
        check_again(folder, &manifest);
    else
        th_fuzz_refusal(rc, err);
    th_manifest_done(&manifest);
    return 0;
}
