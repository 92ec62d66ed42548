/* tests/parity/features.c - unit features of a whole pack by the weights of a run, for comparison.
 *
 *     parity_features RUN PACK OUT
 *
 * writes OUT: float32, [images, d] and behind it [captions, d], in the order of the pack. */
#include "launch/trained_model.h"
#include "trainer/evaluate.h"

#include <stdio.h>

static th_code write_features(const char *path, const th_features *features, th_err *err)
{
    size_t  images = (size_t)(features->images * features->d);
    size_t  captions = (size_t)(features->captions * features->d);
    th_code rc = TH_OK;
    FILE   *file = fopen(path, "wb");

    TH_CHECK(file, TH_EIO, "name another file", "could not open \"%s\"", path);
    TH_CHECK(fwrite(features->image, sizeof(float), images, file) == images &&
                 fwrite(features->text, sizeof(float), captions, file) == captions,
             TH_EIO, "make room", "could not write \"%s\"", path);
out:
    if (file && fclose(file) != 0 && rc == TH_OK)
        rc = th_fail(err, TH_EIO, "make room", __FILE__, __LINE__, "could not write \"%s\"", path);
    return rc;
}

int main(int argc, char **argv)
{
    th_world         world = { .size = 1 };
    th_trained_model model = { 0 };
    th_features      features = { 0 };
    th_err           failure = { 0 }, *err = &failure;
    th_code          rc = TH_OK;

    TH_CHECK(argc == 4, TH_EUSAGE, "name all three", "parity_features RUN PACK OUT");
    TH_TRY(th_trained_model_open(argv[1], argv[2], &model, err));
    TH_TRY(th_embed_pack(&world, &model.parameters, model.pack, &model.passes, &features, err));
    TH_TRY(write_features(argv[3], &features, err));
out:
    if (rc != TH_OK)
        fprintf(stderr, "%s\n", err->what);
    th_features_free(&features);
    th_trained_model_close(&model);
    return rc != TH_OK;
}
