// MNIST's data sets: pictures of grey bytes in one idx3 file, the class of each in an idx1 file
// beside it, plain or gzip, both read as streams. A picture's captions are all prompts of its
// class. Source: yann.lecun.com/exdb/mnist, "File formats": two zeros, the type (8: bytes), the
// number of dimensions, each size as 4 bytes with the highest first, then the values.
#include "dataloader/class_list.h"
#include "dataloader/image/image.h"
#include "dataloader/source/captions.h"
#include "dataloader/source/kind.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define TYPE_BYTES 8
#define MOST_SIDE  4096 // of a picture: its RGB stays below TH_SOURCE_IMAGE_BYTES

// One of the two files.
typedef struct {
    char   *path;
    gzFile  stream;  // reads plain files as they are
    int64_t bytes;   // on disk
    int64_t size[3]; // of each dimension
} idx_file;

typedef struct {
    th_source     head;
    idx_file      pictures, labels;
    th_class_list classes;
    char         *classes_path;
    th_image      image;
    int64_t       at; // the next picture
    bool          ended;
} idx;

// Reads `size` bytes, or says why not: "" when the file is at its end, and whole.
static bool read_bytes(idx_file *f, void *out, unsigned size, char why[96])
{
    int         state = Z_OK, got = gzread(f->stream, out, size);
    const char *text = gzerror(f->stream, &state);

    why[0] = 0;
    if (got == (int)size)
        return true;
    if (state != Z_OK && strstr(text, ": ")) // behind zlib's own name for the file
        (void)snprintf(why, 96, "%.95s", strstr(text, ": ") + 2);
    else if (state != Z_OK || got > 0)
        (void)snprintf(why, 96, "it ends too early");
    return false;
}

static th_code read_header(idx_file *f, int dimensions, th_err *err)
{
    th_code       rc = TH_OK;
    unsigned char header[16];
    char          why[96];
    unsigned      size = 4 + 4 * (unsigned)dimensions;
    bool          whole = read_bytes(f, header, size, why);

    TH_CHECK(whole, TH_EDATA, "copy the file again from where it is whole",
             "\"%s\" has no header of idx: %s", f->path, why[0] ? why : "it is empty");
    TH_CHECK(header[0] == 0 && header[1] == 0 && header[2] == TYPE_BYTES && header[3] == dimensions,
             TH_EDATA,
             "name a file of pictures, idx3-ubyte, with its labels, idx1-ubyte, beside it",
             "\"%s\" is no idx file of bytes in %d dimensions: it begins %02x %02x %02x %02x",
             f->path, dimensions, header[0], header[1], header[2], header[3]);
    for (int i = 0; i < dimensions; i++) {
        const unsigned char *b = header + 4 * (i + (ptrdiff_t)1);
        f->size[i] = (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];
    }
out:
    return rc;
}

static th_code open_file(idx_file *f, int dimensions, th_err *err)
{
    th_code     rc = TH_OK;
    struct stat status;
    int         fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not stop us

    TH_CHECK(fd >= 0, errno == ENOENT ? TH_EUSAGE : TH_EIO,
             "name the file of pictures; that of labels stands beside it",
             "could not open \"%s\": %s", f->path, strerror(errno));
    TH_CHECK(fstat(fd, &status) == 0 && S_ISREG(status.st_mode), TH_EUSAGE,
             "name a file behind the colon", "\"%s\" is not a file", f->path);
    f->bytes = status.st_size;
    f->stream = gzdopen(fd, "rb");
    TH_CHECK(f->stream, TH_EIO, "free some memory", "could not read \"%s\": out of memory",
             f->path);
    fd = -1; // the stream's
    TH_TRY(read_header(f, dimensions, err));
out:
    if (fd >= 0)
        (void)close(fd); // opened for reading: nothing left to lose
    return rc;
}

static void close_file(idx_file *f)
{
    if (f->stream)
        (void)gzclose_r(f->stream); // opened for reading: nothing left to lose
    free(f->path);
}

// train-images-idx3-ubyte.gz: train-labels-idx1-ubyte.gz.
static th_code name_labels(const char *pictures, char **out, th_err *err)
{
    th_code     rc = TH_OK;
    const char *slash = strrchr(pictures, '/'), *name = slash ? slash + 1 : pictures;
    const char *word = strstr(name, "images"), *kind = word ? strstr(word, "idx3") : NULL;

    TH_CHECK(kind, TH_EUSAGE, "name the pictures' file: idx:data/train-images-idx3-ubyte.gz",
             "\"%s\" has no \"images\" and \"idx3\" in its name", pictures);
    const char *middle = word + strlen("images");
    int         length = asprintf(out, "%.*slabels%.*sidx1%s", (int)(word - pictures), pictures,
                                  (int)(kind - middle), middle, kind + strlen("idx3"));
    TH_CHECK(length >= 0, TH_EIO, "free some memory", "could not open a source: out of memory");
out:
    return rc;
}

// What follows cannot be told apart any more: the item is the last one.
static void end_with(idx *x, th_item *out, const idx_file *f, const char *kind, const char *why)
{
    x->ended = true;
    if (!out->source[0])
        th_item_start(out, f->path, "");
    th_item_refuse(out, "%s: \"%.80s\", picture %" PRId64 ": %s", kind, f->path, x->at, why);
}

// Nothing may stand behind the last picture: sizes that are too small would cut it off unseen. This
// also makes zlib look at gzip's own sum.
static bool ends_well(idx *x, th_item *out)
{
    idx_file *files[] = { &x->pictures, &x->labels };
    char      byte, why[96];

    for (int i = 0; i < 2 && !x->ended; i++)
        if (read_bytes(files[i], &byte, 1, why))
            end_with(x, out, files[i], "too many bytes", "the header promises no more");
        else if (why[0])
            end_with(x, out, files[i], "damaged file", why);
    return !x->ended;
}

static th_code add_captions(idx *x, int label, th_item *out, th_err *err)
{
    th_code              rc = TH_OK;
    const th_class_list *list = &x->classes;

    if (label >= list->classes) {
        th_item_refuse(out, "unknown class: label %d, but \"%.80s\" has %" PRId64, label,
                       x->classes_path, list->classes);
        return TH_OK;
    }
    for (int64_t i = list->first[label]; i < list->first[label + 1] && !out->reason[0]; i++)
        TH_TRY(th_item_add_caption(out, list->prompt[i], strlen(list->prompt[i]), err));
out:
    return rc;
}

static th_code read_sample(idx *x, th_item *out, th_err *err)
{
    th_code       rc = TH_OK;
    th_image     *image = &x->image;
    size_t        pixels = (size_t)image->width * (size_t)image->height;
    uint8_t      *encoded = NULL;
    unsigned char label;
    char          key[32], why[96];

    (void)snprintf(key, sizeof key, "%" PRId64, x->at);
    th_item_start(out, x->pictures.path, key);
    if (!read_bytes(&x->pictures, image->pixels, (unsigned)pixels, why))
        end_with(x, out, &x->pictures, "damaged file", why[0] ? why : "it ends too early");
    else if (!read_bytes(&x->labels, &label, 1, why))
        end_with(x, out, &x->labels, "damaged file", why[0] ? why : "it ends too early");
    else
        TH_TRY(add_captions(x, label, out, err));
    if (out->reason[0] || x->head.skim)
        goto out;
    for (size_t i = pixels; i-- > 0;) // from the end: grey stands in front of what it becomes
        memset(image->pixels + 3 * i, image->pixels[i], 3);
    TH_TRY(th_image_encode_png(image, &encoded, &out->image_bytes, err));
    out->image = encoded;
out:
    x->at++;
    return rc;
}

static th_code next(th_source *source, th_item *out, bool *out_more, th_err *err)
{
    idx    *x = (idx *)source;
    th_code rc = TH_OK;

    *out_more = !x->ended;
    if (x->ended)
        return TH_OK;
    if (x->at < x->pictures.size[0])
        TH_TRY(read_sample(x, out, err));
    else if (ends_well(x, out)) {
        x->ended = true;
        *out_more = false;
    }
    atomic_store(&x->head.done_bytes, x->ended ? x->pictures.bytes : gzoffset(x->pictures.stream));
out:
    return rc;
}

static void close_source(th_source *source)
{
    idx *x = (idx *)source;

    close_file(&x->pictures);
    close_file(&x->labels);
    th_class_list_close(&x->classes);
    th_image_free(&x->image);
    free(x->classes_path);
    free(x);
}

static th_code check_sizes(const idx *x, th_err *err)
{
    th_code        rc = TH_OK;
    const int64_t *size = x->pictures.size;

    for (int i = 1; i < 3; i++)
        TH_CHECK(size[i] > 0 && size[i] <= MOST_SIDE, TH_EDATA, "check which file this is",
                 "\"%s\" has pictures of %" PRId64 " x %" PRId64 " pixels, of 1 to %d a side",
                 x->pictures.path, size[2], size[1], MOST_SIDE);
    TH_CHECK(size[0] == x->labels.size[0], TH_EDATA, "check that the two files belong together",
             "\"%s\" has %" PRId64 " pictures, \"%s\" %" PRId64 " labels", x->pictures.path,
             size[0], x->labels.path, x->labels.size[0]);
out:
    return rc;
}

th_code th_idx_open(const char *path, const th_source_options *options, th_source **out,
                    th_err *err)
{
    th_code rc = TH_OK;
    void   *memory = NULL;
    idx    *x = NULL;

    TH_CHECK(options->classes, TH_EUSAGE,
             "write {\"classes\": [\"cat\"], \"templates\": [\"a photo of a {c}.\"]} and name it "
             "with --classes",
             "labels of \"%s\" are numbers, and nothing says what they mean", path);
    TH_TRY(th_alloc(1, sizeof *x, "a source", &memory, err));
    x = memory;
    x->head.next = next;
    x->head.close = close_source;
    x->pictures.path = strdup(path);
    x->classes_path = strdup(options->classes);
    TH_CHECK(x->pictures.path && x->classes_path, TH_EIO, "free some memory",
             "could not open a source: out of memory");
    TH_TRY(name_labels(path, &x->labels.path, err));
    TH_TRY(th_class_list_open(options->classes, NULL, NULL, &x->classes, err));
    TH_TRY(open_file(&x->pictures, 3, err));
    TH_TRY(open_file(&x->labels, 1, err));
    TH_TRY(check_sizes(x, err));
    TH_TRY(th_image_shape(&x->image, (int)x->pictures.size[2], (int)x->pictures.size[1], err));
    x->head.total_bytes = x->pictures.bytes;
    *out = &x->head;
    x = NULL;
out:
    if (x)
        close_source(&x->head);
    return rc;
}
