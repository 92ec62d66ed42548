/* tests/unit/dataloader/test_loader_views.c - views of a picture, and rows that stand for pictures.
 */
#include "base/log.h"
#include "loader_fixture.h"

#include <stdatomic.h>

enum { RECORDS = 23, K = 3, EPOCHS = 9 };

static th_loader_options crops_of(th_pack *pack, int64_t views)
{
    th_loader_options options = options_of(pack);

    options.random_crop = true;
    options.views = views;
    return options;
}

// Of each position its view, and its pixels as a number.
typedef struct {
    int64_t  record;
    uint32_t view;
    uint64_t pixels;
} sight;

static void look(const th_loader_options *options, int64_t from, int64_t count, sight *out)
{
    size_t bytes = (size_t)options->size * (size_t)options->size * 3;

    for (int rank = 0; rank < options->world_size; rank++) {
        th_loader_options mine = *options;
        mine.rank = rank;
        mine.position = from;
        th_loader *loader = open_loader(&mine);
        for (int64_t done = 0; done < count; done += options->batch) {
            const th_batch *batch = next(loader);
            for (int64_t i = 0; i < batch->n; i++) {
                int64_t at = batch->position + i - from;
                if (at < count)
                    out[at] = (sight){ batch->records[i], batch->views[i],
                                       th_hash(batch->pixels + (size_t)i * bytes, bytes) };
            }
        }
        th_loader_close(loader);
    }
}

// View v is the crop that epoch v has without views, whichever epoch draws it and however many
// views there are.
static void views_are_the_crops_of_the_first_epochs(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options fresh = crops_of(pack, 0), kept = crops_of(pack, K);
    sight             want[RECORDS * K], got[RECORDS * EPOCHS];
    uint64_t          table[RECORDS][K];
    int               drawn[K] = { 0 }, changed = 0, last[RECORDS] = { 0 };

    look(&fresh, 0, RECORDS * K, want);
    for (int i = 0; i < RECORDS * K; i++) {
        assert_int_equal(want[i].view, 0);
        table[want[i].record][i / RECORDS] = want[i].pixels;
    }
    look(&kept, 0, RECORDS * EPOCHS, got);
    for (int i = 0; i < RECORDS * EPOCHS; i++) {
        assert_in_range(got[i].view, 0, K - 1);
        assert_int_equal(got[i].pixels, table[got[i].record][got[i].view]);
        drawn[got[i].view]++;
        changed += i >= RECORDS && (int)got[i].view != last[got[i].record];
        last[got[i].record] = (int)got[i].view;
    }
    // 207 draws of three: 69 each give or take 21, three standard deviations; and from one epoch to
    // the next two in three are other ones, 123 of 184 give or take 20.
    for (int v = 0; v < K; v++)
        assert_in_range(drawn[v], 69 - 21, 69 + 21);
    assert_in_range(changed, 123 - 20, 123 + 20);
    th_pack_close(pack);
}

static void views_are_the_same_on_any_ranks_and_after_a_resume(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = crops_of(pack, K);
    sight             want[RECORDS * EPOCHS] = { 0 }, got[RECORDS * EPOCHS] = { 0 };

    look(&options, 0, RECORDS * EPOCHS, want);
    for (int world = 1; world <= 3; world++) {
        options.world_size = world;
        options.threads = world;
        look(&options, 0, RECORDS * EPOCHS, got);
        assert_memory_equal(got, want, sizeof want);
        look(&options, 60, RECORDS * EPOCHS - 60, got + 60);
        assert_memory_equal(got, want, sizeof want);
    }
    th_pack_close(pack);
}

static void views_in_turn_see_each_once(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = crops_of(pack, K);
    sight             got[RECORDS * 2 * K];

    options.views_in_turn = true;
    look(&options, 0, RECORDS * 2 * K, got);
    for (int i = 0; i < RECORDS * 2 * K; i++)
        assert_int_equal(got[i].view, i / RECORDS % K);
    th_pack_close(pack);
}

static void without_crops_there_is_one_view(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = options_of(pack);
    sight             want[RECORDS * 2] = { 0 }, got[RECORDS * 2] = { 0 };

    look(&options, 0, RECORDS * 2, want);
    options.views = 5;
    look(&options, 0, RECORDS * 2, got);
    assert_memory_equal(got, want, sizeof want);
    th_pack_close(pack);
}

// --- rows ---

// A source that has the rows of some records; a row tells its record and view.
typedef struct {
    int            every;     // it has records 0, every, 2 every, ..
    _Atomic int    asked[64]; // by record
    const int64_t *lacks;     // records it never has
    int            lack_count;
} source;

static bool get_row(void *context, int64_t record, uint32_t view, void *out_row)
{
    source *from = context;
    int64_t row[2] = { record, view };

    from->asked[record]++;
    for (int i = 0; i < from->lack_count; i++)
        if (from->lacks[i] == record)
            return false;
    if (record % from->every)
        return false;
    memcpy(out_row, row, sizeof row);
    return true;
}

static void rows_stand_for_pictures(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options without = crops_of(pack, K), with = crops_of(pack, K);
    source            from = { .every = 2 };
    th_loader        *plain, *reader;
    size_t            bytes = 9 * 9 * 3;
    int               rows = 0, blank = 0;

    with.rows = (th_row_source){ .get = get_row, .context = &from, .row_bytes = 16 };
    plain = open_loader(&without);
    reader = open_loader(&with);
    for (int t = 0; t < 2; t++) { // into slots that no picture was put in before
        const th_batch *want = next(plain), *got = next(reader);
        const int64_t(*row)[2] = got->rows;
        assert_null(want->has_row);
        for (int64_t i = 0; i < got->n; i++) {
            const uint8_t *picture = got->pixels + (size_t)i * bytes;
            int64_t        token = got->offsets[2 * i];
            assert_int_equal(got->records[i], want->records[i]);
            assert_int_equal(got->views[i], want->views[i]);
            assert_memory_equal(got->tokens + token, want->tokens + token, 4 * sizeof(int32_t));
            assert_int_equal(got->has_row[i], got->records[i] % 2 == 0);
            if (!got->has_row[i]) {
                assert_memory_equal(picture, want->pixels + (size_t)i * bytes, bytes);
                continue;
            }
            assert_int_equal(row[i][0], got->records[i]);
            assert_int_equal(row[i][1], got->views[i]);
            rows++;
            blank += picture[0] == 0 && memcmp(picture, picture + 1, bytes - 1) == 0;
        }
    }
    assert_in_range(rows, 5, 15);
    assert_int_equal(blank, rows); // nothing was decoded there
    th_loader_close(plain);
    th_loader_close(reader);
    th_pack_close(pack);
}

static void all_rows_decode_nothing(void **state)
{
    th_pack          *pack = open_pack(*state, &plan);
    th_loader_options options = options_of(pack);
    source            from = { .every = 1 };

    options.rows = (th_row_source){ .get = get_row, .context = &from, .row_bytes = 16 };
    th_loader *loader = open_loader(&options);
    for (int t = 0; t < 8; t++) {
        const th_batch *batch = next(loader);
        for (size_t i = 0; i < (size_t)batch->n * 9 * 9 * 3; i++)
            assert_int_equal(batch->pixels[i], 0);
    }
    th_loader_close(loader);
    th_pack_close(pack);
}

// A record that is damaged is replaced by the same one, whether rows are there or not: one that was
// damaged before rows were kept has none, and one that is damaged later is not read.
static void damage_is_the_same_with_rows(void **state)
{
    static const pack_plan large = { .records = 40, .shards = 3, .size = 32, .captions = 1 };
    static const int64_t   damaged[] = { 7, 20, 21, 39 };
    th_pack               *pack = NULL;
    th_err                 err = { 0 };

    pack_write(*state, &large);
    for (int i = 0; i < 4; i++)
        pack_damage(*state, &large, damaged[i]);
    th_assert_ok(th_pack_open(*state, &pack, &err), &err);
    th_loader_options without = options_of(pack), with = options_of(pack);
    for (int later = 0; later < 2; later++) {
        source from = { .every = 1, .lacks = damaged, .lack_count = later ? 0 : 4 };
        with.rows = (th_row_source){ .get = get_row, .context = &from, .row_bytes = 16 };
        th_loader *plain = open_loader(&without), *reader = open_loader(&with);
        for (int t = 0; t < 12; t++) {
            const th_batch *want = next(plain), *got = next(reader);
            const int64_t(*row)[2] = got->rows;
            assert_memory_equal(got->records, want->records, 10 * sizeof *got->records);
            for (int i = 0; i < 10; i++) {
                assert_true(got->has_row[i]);
                assert_int_equal(row[i][0], want->records[i]);
            }
        }
        assert_int_equal(th_loader_damaged(reader), 4);
        assert_int_equal(th_loader_damaged(plain), 4);
        for (int i = 0; i < 4; i++) // its record does not hold: nobody asks for its row
            assert_int_equal(from.asked[damaged[i]], 0);
        th_loader_close(plain);
        th_loader_close(reader);
    }
    th_pack_close(pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(views_are_the_crops_of_the_first_epochs),
        IN_FOLDER(views_are_the_same_on_any_ranks_and_after_a_resume),
        IN_FOLDER(views_in_turn_see_each_once),
        IN_FOLDER(without_crops_there_is_one_view),
        IN_FOLDER(rows_stand_for_pictures),
        IN_FOLDER(all_rows_decode_nothing),
        IN_FOLDER(damage_is_the_same_with_rows),
    };
    th_log_setup(TH_ALARM, -1); // damage is warned of
    return cmocka_run_group_tests(tests, NULL, NULL);
}
