// dataloader/image: JPEG, PNG and WebP, of which above all the headers: the libraries behind them
// are not ours and not instrumented.
#include "dataloader/image/image.h"
#include "tests/fuzz/fuzz.h"

#define SIDE 16

static void decode(const uint8_t *bytes, size_t size, th_alpha alpha)
{
    th_image image = { 0 }, small = { 0 };
    th_err   err = { 0 };
    th_code  rc = th_image_decode(bytes, size, alpha, &image, &err);

    if (rc == TH_OK) {
        th_fuzz_claim(image.width > 0 && image.height > 0);
        th_fuzz_claim(image.height <= TH_IMAGE_PIXELS / image.width);
        th_fuzz_claim(image.room >= (size_t)image.width * (size_t)image.height * 3);
        if (image.width <= 1024 && image.height <= 1024) { // reads every pixel
            rc = th_image_resize(&image, TH_FILTER_BICUBIC, 0, 0, image.width, image.height, SIDE,
                                 SIDE, &small, &err);
            th_fuzz_claim(rc == TH_OK && small.width == SIDE && small.height == SIDE);
        }
    } else
        th_fuzz_refusal(rc, err);
    th_image_free(&image);
    th_image_free(&small);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    decode(bytes, size, TH_ALPHA_WHITE);
    decode(bytes, size, TH_ALPHA_DROP);
    return 0;
}
