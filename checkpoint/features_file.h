/* checkpoint/features_file.h - features of pictures and captions, with their names, for others.
 *
 *     NAME.h5            image [n, d], text [m, d] float32; image_names [n], captions [m] strings;
 *                        image_of [m] int64
 *     NAME.safetensors   image, text; beside it NAME.names.json, one object with the lists
 *                        "image_names", "captions", "image_of"
 *
 * What is not given is not there. image_of[i] is the row of the picture that caption i belongs to.
 * The same content gives the same bytes. */
#ifndef TH_CHECKPOINT_FEATURES_FILE_H
#define TH_CHECKPOINT_FEATURES_FILE_H

#include "base/error.h"
#include <stdint.h>

typedef struct {
    int64_t            images, texts, d;
    float             *image, *text; // [images, d], [texts, d]; NULL: there are none
    const char *const *image_names;  // [images] UTF-8
    const char *const *captions;     // [texts] UTF-8
    const int64_t     *image_of;     // [texts], or NULL: captions belong to no picture
} th_features_content;

/* May such a file be written? To be asked before hours of work. Errors: TH_EUSAGE: its name ends in
 * neither of the two; TH_EIO: its folder cannot be written to. */
TH_MUST_CHECK th_code th_features_file_check(const char *path, th_err *err);

/* Writes, flushes and publishes; of two files the names are published first, so that features
 * without names are never seen. Errors: TH_EUSAGE (the path); TH_EDATA: a name is not UTF-8, which
 * JSON cannot hold; TH_EIO.
 */
TH_MUST_CHECK th_code th_features_file_write(const char *path, const th_features_content *content,
                                             th_err *err);

#endif
