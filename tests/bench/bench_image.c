/* tests/bench/bench_image.c - JPEGs decoded, resized and cut to 224 pixels by one thread.
 *
 *     bench_image JPEG...        one report for each; tests/bench/image.py does the same with
 * Pillow
 *
 * Rates are of processor time and of input pixels. */
#include "base/file.h"
#include "dataloader/image/image.h"
#include "tests/bench/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE    224
#define ROUNDS  5
#define SECONDS 0.3 // of each round

static th_code cut(const th_image *in, th_image *out, th_err *err)
{
    int shorter = in->width < in->height ? in->width : in->height;
    int width = in->width * SIDE / shorter, height = in->height * SIDE / shorter;

    return th_image_resize_part(
        in, TH_FILTER_BICUBIC, (double[]){ 0, 0, in->width, in->height }, width, height,
        (int[]){ (width - SIDE) / 2, (height - SIDE) / 2, SIDE, SIDE }, out, err);
}

// Megapixels a second, the median of ROUNDS: with `decodes` from the JPEG on, else of a picture
// that is there.
static th_code measure(const char *jpeg, size_t size, _Bool decodes, double *out, th_err *err)
{
    th_code  rc = TH_OK;
    th_image picture = { 0 }, square = { 0 };
    double   rates[ROUNDS];

    TH_TRY(th_image_decode(jpeg, size, TH_ALPHA_WHITE, &picture, err));
    for (int round = 0; round < ROUNDS; round++) {
        int64_t count = 0;
        double  began = th_bench_processor(), seconds;
        do {
            if (decodes)
                TH_TRY(th_image_decode(jpeg, size, TH_ALPHA_WHITE, &picture, err));
            TH_TRY(cut(&picture, &square, err));
            count++;
        } while ((seconds = th_bench_processor() - began) < SECONDS);
        rates[round] = (double)count * picture.width * picture.height / seconds / 1e6;
    }
    *out = th_bench_median(rates, ROUNDS);
out:
    th_image_free(&picture);
    th_image_free(&square);
    return rc;
}

static th_code report(const char *path, th_err *err)
{
    th_code     rc = TH_OK;
    char       *jpeg = NULL;
    const char *slash = strrchr(path, '/');
    size_t      size;
    double      cut_rate, whole_rate;

    TH_TRY(th_file_read(path, (size_t)64 << 20, &jpeg, &size, err));
    TH_TRY(measure(jpeg, size, 0, &cut_rate, err));
    TH_TRY(measure(jpeg, size, 1, &whole_rate, err));
    th_report_begin("image");
    th_report_text("picture", slash ? slash + 1 : path);
    th_report_number("jpeg_bytes", (double)size);
    th_report_number("resize_mpixels_per_second", cut_rate);
    th_report_number("decode_resize_mpixels_per_second", whole_rate);
    th_report_end();
out:
    free(jpeg);
    return rc;
}

int main(int count, char **words)
{
    th_err  err = { 0 };
    th_code rc = TH_OK;

    for (int i = 1; i < count && rc == TH_OK; i++)
        rc = report(words[i], &err);
    if (rc != TH_OK)
        (void)fprintf(stderr, "%s: %s (%s)\n", words[0], err.what, err.fix);
    return th_exit_code(rc);
}
