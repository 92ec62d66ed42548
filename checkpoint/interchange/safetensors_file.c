/* checkpoint/interchange/safetensors_file.c - reading the data by offset, and writing a file. The
 * data is read by pread: a file that is cut while we read is an error then, and not a signal. */
#include "base/file.h"
#include "base/memory.h"
#include "checkpoint/interchange/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 16) // 16-bit numbers that are widened at a time: half of an L2 cache

struct th_safetensors {
    int                  fd;
    th_safetensors_index index;
};

static const char fix_io[] = "check that the disk works and has space";

static th_code read_at(int fd, void *bytes, size_t size, uint64_t at, th_err *err)
{
    char   *to = bytes;
    th_code rc = TH_OK;

    while (size > 0) {
        ssize_t got = pread(fd, to, size, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        TH_CHECK(got >= 0, TH_EIO, fix_io, "could not read the weights: %s", strerror(errno));
        TH_CHECK(got > 0, TH_EDATA, "get the file again from where it is whole",
                 "the weights end too early");
        to += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
out:
    return rc;
}

static th_code read_header(th_safetensors *file, th_err *err)
{
    struct stat    status;
    unsigned char *header = NULL;
    uint64_t       length = 0;
    th_code        rc = TH_OK;

    TH_CHECK(fstat(file->fd, &status) == 0, TH_EIO, fix_io, "could not look at the file: %s",
             strerror(errno));
    TH_CHECK(S_ISREG(status.st_mode), TH_EUSAGE, "name a file", "it is not a file");
    uint64_t bytes = (uint64_t)status.st_size;
    if (bytes >= sizeof length)
        TH_TRY(read_at(file->fd, &length, sizeof length, 0, err));
    // What cannot be a header is not read: parse says why from the length alone.
    uint64_t size = sizeof length + (length <= TH_SAFETENSORS_HEADER ? length : 0);
    if (size > bytes)
        size = bytes;
    TH_TRY(th_alloc((size_t)size, 1, "a header", (void **)&header, err));
    TH_TRY(read_at(file->fd, header, (size_t)size, 0, err));
    TH_TRY(th_safetensors_parse(header, (size_t)size, bytes, &file->index, err));
out:
    free(header);
    return rc;
}

th_code th_safetensors_open(const char *path, th_safetensors **out, th_err *err)
{
    th_safetensors *file = NULL;
    th_code         rc = TH_OK;

    TH_TRY(th_alloc(1, sizeof *file, "a file of weights", (void **)&file, err));
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    TH_CHECK(file->fd >= 0, TH_EIO, "check the path", "could not open it: %s", strerror(errno));
    TH_TRY(read_header(file, err));
    *out = file;
    return TH_OK;
out:
    th_safetensors_close(file);
    return th_during(err, "opening \"%s\"", path);
}

void th_safetensors_close(th_safetensors *file)
{
    if (!file)
        return;
    if (file->fd >= 0)
        (void)close(file->fd); // opened for reading: nothing left to lose
    th_safetensors_index_done(&file->index);
    free(file);
}

const th_safetensors_index *th_safetensors_list(const th_safetensors *file)
{
    return &file->index;
}

float th_float_of_bfloat(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float    value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

// Sign, 5 bits of exponent (bias 15), 10 of fraction, into sign, 8 (bias 127), 23.
float th_float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3ff, bits;
    float    value;

    if (exponent == 0) { // zero, or subnormal: fraction * 2^-24, a normal float
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static th_code read_halves(const th_safetensors *file, const th_stored_tensor *tensor, float *out,
                           th_err *err)
{
    uint16_t *halves = NULL;
    bool      brain = tensor->type == TH_STORED_BF16;
    th_code   rc = TH_OK;

    TH_TRY(th_alloc(PIECE, sizeof *halves, "a piece of a tensor", (void **)&halves, err));
    for (int64_t at = 0; at < tensor->elements; at += (int64_t)PIECE) {
        int64_t left = tensor->elements - at;
        size_t  count = left < (int64_t)PIECE ? (size_t)left : PIECE;
        TH_TRY(read_at(file->fd, halves, count * sizeof *halves,
                       tensor->first_byte + (uint64_t)at * sizeof *halves, err));
        for (size_t i = 0; i < count; i++)
            out[at + (int64_t)i] =
                brain ? th_float_of_bfloat(halves[i]) : th_float_of_half(halves[i]);
    }
out:
    free(halves);
    return rc;
}

th_code th_safetensors_read(const th_safetensors *file, const th_stored_tensor *tensor, float *out,
                            th_err *err)
{
    th_code rc = TH_OK;

    TH_CHECK(tensor->type != TH_STORED_OTHER, TH_EUSAGE, "convert it to F32, F16 or BF16",
             "tensor \"%s\" has dtype %s, which thaw does not read", tensor->name,
             tensor->type_name);
    if (tensor->type == TH_STORED_F32)
        TH_TRY(read_at(file->fd, out, (size_t)tensor->bytes, tensor->first_byte, err));
    else
        TH_TRY(read_halves(file, tensor, out, err));
out:
    return rc;
}

// --- writing ---

static int by_name(const void *a, const void *b)
{
    const th_tensor *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static uint64_t tensor_bytes(const th_tensor *tensor)
{
    uint64_t bytes = sizeof(float);

    for (int d = 0; d < tensor->dimensions; d++)
        bytes *= (uint64_t)tensor->shape[d];
    return bytes;
}

static void print_tensor(const th_tensor *tensor, uint64_t *at, FILE *to)
{
    uint64_t bytes = tensor_bytes(tensor);

    (void)fprintf(to, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", tensor->name);
    for (int d = 0; d < tensor->dimensions; d++)
        (void)fprintf(to, "%s%" PRId64, d ? "," : "", tensor->shape[d]);
    (void)fprintf(to, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", *at, *at + bytes);
    *at += bytes;
}

// Names are thaw's own and its tables', so JSON needs no escapes.
static bool is_plain(const char *name)
{
    size_t length =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");

    return length > 0 && length < TH_SAFETENSORS_NAME && name[length] == '\0';
}

// Length and JSON, padded so that the data begins on a multiple of 8 bytes. free() *out.
static th_code make_header(const th_tensor *const *sorted, int count, char **out, size_t *out_size,
                           th_err *err)
{
    static const char zeros[sizeof(uint64_t)] = { 0 };
    char             *text = NULL;
    size_t            size = 0;
    uint64_t          at = 0, length;
    th_code           rc = TH_OK;
    FILE             *to = open_memstream(&text, &size);

    TH_CHECK(to, TH_EIO, "free some memory", "could not print a header: %s", strerror(errno));
    (void)fwrite(zeros, 1, sizeof zeros, to);
    (void)fputs("{\"__metadata__\":{\"format\":\"pt\"}", to);
    for (int i = 0; i < count; i++)
        print_tensor(sorted[i], &at, to);
    (void)fputc('}', to);
    for (long used = ftell(to); used % 8 != 0; used++)
        (void)fputc(' ', to);
    TH_CHECK(fclose(to) == 0, TH_EIO, "free some memory", "could not print a header: %s",
             strerror(errno));
    length = size - sizeof length;
    memcpy(text, &length, sizeof length);
    *out = text;
    *out_size = size;
    return TH_OK;
out:
    free(text);
    return rc;
}

static th_code write_file(const char *path, const char *header, size_t header_size,
                          const th_tensor *const *sorted, int count, th_err *err)
{
    th_code rc = TH_OK;
    int     fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    TH_CHECK(fd >= 0, TH_EIO, fix_io, "could not make \"%s\": %s", path, strerror(errno));
    TH_TRY(th_write_all(fd, header, header_size, path, err));
    for (int i = 0; i < count; i++)
        TH_TRY(th_write_all(fd, sorted[i]->data, (size_t)tensor_bytes(sorted[i]), path, err));
out:
    if (fd >= 0 && close(fd) != 0 && rc == TH_OK)
        rc = th_fail(err, TH_EIO, fix_io, __FILE__, __LINE__, "could not close \"%s\": %s", path,
                     strerror(errno));
    return rc;
}

th_code th_safetensors_write(const char *path, const th_tensor *tensors, int count, th_err *err)
{
    const th_tensor **sorted = NULL;
    char             *header = NULL, tmp[PATH_MAX];
    size_t            header_size = 0;
    bool              made = false;
    th_code           rc = TH_OK;

    TH_CHECK((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) < sizeof tmp, TH_EUSAGE,
             "use a shorter path", "the path \"%s\" is too long", path);
    TH_TRY(th_alloc((size_t)count, sizeof(const th_tensor *), "tensors by name", (void **)&sorted,
                    err));
    for (int i = 0; i < count; i++)
        sorted[i] = &tensors[i];
    qsort(sorted, (size_t)count, sizeof(const th_tensor *), by_name);
    for (int i = 0; i < count; i++)
        TH_CHECK(is_plain(sorted[i]->name) &&
                     (i == 0 || strcmp(sorted[i]->name, sorted[i - 1]->name) != 0),
                 TH_EUSAGE, "give each tensor a name of its own",
                 "the name \"%.100s\" cannot be stored, or stands twice", sorted[i]->name);
    TH_TRY(make_header(sorted, count, &header, &header_size, err));
    made = true;
    TH_TRY(write_file(tmp, header, header_size, sorted, count, err));
    TH_TRY(th_file_publish(AT_FDCWD, tmp, path, err));
    made = false;
out:
    if (made)
        (void)unlink(tmp); // gives the space back
    free(header);
    free(sorted);
    return rc == TH_OK ? TH_OK : th_during(err, "writing \"%s\"", path);
}
