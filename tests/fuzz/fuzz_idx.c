// dataloader/source/idx: MNIST's two files, plain or gzipped, and the classes that give captions.
#include "tests/fuzz/read_source.h"

#include <limits.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "x-images-idx3-ubyte", "x-labels-idx1-ubyte",
                                         "classes.json" };
    char                     classes[PATH_MAX];
    th_source_options        options = { .classes = classes };

    (void)snprintf(classes, sizeof classes, "%s/%s", th_fuzz_folder(names, 3, bytes, size),
                   names[2]);
    th_fuzz_read_list("idx", names, 3, &options, bytes, size);
    return 0;
}
