/* trainer/embed_pictures.c - features of pictures that are in no pack. */
#include "base/log.h"
#include "base/memory.h"
#include "base/slice.h"
#include "comm/agree.h"
#include "comm/gather.h"
#include "trainer/evaluate.h"
#include "trainer/nn/normalize.h"

#include <stdlib.h>
#include <string.h>

#define PICTURES 64 // in one pass: enough for GEMM to run at full speed

// Reads the pictures [first, first + n) of the list.
static th_code read_pictures(const th_picture_list *list, const th_pack_info *how, int64_t first,
                             int64_t n, th_picture_room *room, uint8_t *pixels, bool *good,
                             th_err *err)
{
    size_t  bytes = (size_t)how->size * (size_t)how->size * 3;
    th_code rc = TH_OK;

    for (int64_t i = 0; i < n; i++) {
        th_err why = { 0 };
        rc = th_picture_list_read(list, first + i, how, room, pixels + (size_t)i * bytes, &why);
        good[first + i] = rc == TH_OK;
        if (rc == TH_EDATA) {
            th_log_error(TH_WARN, &why);
            memset(pixels + (size_t)i * bytes, 0, bytes);
            rc = TH_OK;
        }
        if (rc != TH_OK && err)
            *err = why;
        TH_TRY(rc);
    }
out:
    return rc;
}

// This rank's slice of the features and of `good`, each in its place.
static th_code embed_slice(const th_parameters *parameters, const th_picture_list *list,
                           const th_pack_info *how, int64_t first, int64_t n, th_arena *arena,
                           th_real *features, bool *good, th_err *err)
{
    th_image_tower  tower = { .parameters = parameters };
    th_picture_room room = { 0 };
    size_t          mark = arena->used_bytes;
    int64_t         d = parameters->model.embed, most = n < PICTURES ? n : PICTURES;
    uint8_t        *pixels = NULL;
    th_real         norm[PICTURES];
    th_code         rc = TH_OK;

    memcpy(tower.mean, how->mean, sizeof tower.mean);
    memcpy(tower.deviation, how->deviation, sizeof tower.deviation);
    TH_TRY(th_alloc((size_t)most, (size_t)(how->size * how->size * 3), "pictures", (void **)&pixels,
                    err));
    for (int64_t at = first; at < first + n; at += PICTURES) {
        int64_t  some = first + n - at < PICTURES ? first + n - at : PICTURES;
        th_real *rows = features + at * d;
        TH_TRY(read_pictures(list, how, at, some, &room, pixels, good, err));
        TH_TRY(th_image_forward(&tower, pixels, some, arena, NULL, rows, err));
        th_normalize_rows(rows, some, d, rows, norm);
        th_arena_rewind(arena, mark);
    }
out:
    th_picture_room_done(&room);
    free(pixels);
    return rc;
}

th_code th_embed_pictures(th_world *world, const th_parameters *parameters,
                          const th_picture_list *list, const th_pack_info *how, th_arena *arena,
                          th_real *features, bool *good, th_err *err)
{
    int64_t    first = th_slice_first(list->names.count, world->size, world->rank);
    int64_t    n = th_slice_count(list->names.count, world->size, world->rank);
    size_t     row_bytes = (size_t)parameters->model.embed * sizeof *features;
    th_gather *gather = NULL;
    th_code    rc = embed_slice(parameters, list, how, first, n, arena, features, good, err);

    TH_TRY(th_agree(world, rc, err));
    TH_TRY(th_gather_start(world, features + first * parameters->model.embed, list->names.count,
                           row_bytes, features, &gather, err));
    TH_TRY(th_gather_finish(gather, err));
    TH_TRY(
        th_gather_start(world, good + first, list->names.count, sizeof *good, good, &gather, err));
    TH_TRY(th_gather_finish(gather, err));
out:
    return rc == TH_OK ? TH_OK : th_during(err, "embedding pictures of \"%s\"", list->folder);
}
