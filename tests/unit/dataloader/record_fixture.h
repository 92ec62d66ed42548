/* tests/unit/dataloader/record_fixture.h - small records of known content. */
#ifndef TH_TESTS_RECORD_FIXTURE_H
#define TH_TESTS_RECORD_FIXTURE_H

#include "dataloader/record.h"
#include "tests/test.h"

#define FIXTURE_CAPTIONS 8

typedef struct {
    th_record  record;
    th_caption captions[FIXTURE_CAPTIONS];
    char       text[FIXTURE_CAPTIONS][32];
    int32_t    tokens[FIXTURE_CAPTIONS][8];
    uint8_t   *pixels; // free()d by fixture_free
} fixture;

/* Record `number` of a made-up set: a raw picture whose pixel (x, y) is (number, x, y) mod 256, and
 * captions "<number> caption <k>" with the tokens {number mod 200, k}. */
static inline void fixture_make(fixture *f, int64_t number, int width, int height, int captions)
{
    uint8_t *pixel = malloc((size_t)width * (size_t)height * 3);

    assert_non_null(pixel);
    assert_true(captions <= FIXTURE_CAPTIONS);
    f->pixels = pixel;
    f->record = (th_record){ .sample_id = (uint64_t)number * 1000003u,
                             .width = width,
                             .height = height,
                             .codec = TH_CODEC_RAW,
                             .image = pixel,
                             .image_bytes = (uint32_t)(width * height * 3),
                             .caption_count = captions,
                             .captions = f->captions };
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            *pixel++ = (uint8_t)number;
            *pixel++ = (uint8_t)x;
            *pixel++ = (uint8_t)y;
        }
    for (int k = 0; k < captions; k++) {
        int length =
            snprintf(f->text[k], sizeof f->text[k], "%lld caption %d", (long long)number, k);
        f->tokens[k][0] = (int32_t)(number % 200);
        f->tokens[k][1] = k;
        f->captions[k] = (th_caption){ .text = f->text[k],
                                       .text_bytes = (uint32_t)length,
                                       .tokens = f->tokens[k],
                                       .token_count = 2 };
    }
}

static inline void fixture_free(fixture *f)
{
    free(f->pixels);
}

#endif
