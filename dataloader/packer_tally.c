#include "dataloader/packer_tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void th_tally_add(th_tally *tally, th_part part, const th_made_sample *sample, int64_t side)
{
    int shorter = sample->width < sample->height ? sample->width : sample->height;

    tally->read++;
    tally->packed[part]++;
    tally->captions[part] += sample->caption_count;
    tally->sides[shorter < TH_TALLY_SIDES ? shorter : TH_TALLY_SIDES - 1]++;
    tally->enlarged += shorter < side;
    for (int i = 0; i < sample->caption_count; i++)
        tally->lengths[sample->lengths[i]]++;
}

static th_pack_reason *find_reason(th_tally *tally, const char *kind)
{
    for (int i = 0; i < tally->reason_count; i++)
        if (strcmp(tally->reasons[i].reason, kind) == 0)
            return &tally->reasons[i];
    return NULL;
}

// The last row is for all that find no room.
static void count_reason(th_tally *tally, const char *kind, int64_t count)
{
    th_pack_reason *row = find_reason(tally, kind);

    if (!row && tally->reason_count >= TH_PACK_REASONS - 1) {
        kind = "other";
        row = find_reason(tally, kind);
    }
    if (!row) {
        row = &tally->reasons[tally->reason_count++];
        (void)snprintf(row->reason, sizeof row->reason, "%s", kind);
        row->count = 0;
    }
    row->count += count;
}

void th_tally_refuse(th_tally *tally, const char *reason)
{
    char        kind[sizeof tally->reasons->reason];
    const char *colon = strstr(reason, ": ");

    (void)snprintf(kind, sizeof kind, "%.*s", (int)(colon ? colon - reason : (int)strlen(reason)),
                   reason);
    tally->read++;
    tally->refused++;
    count_reason(tally, kind, 1);
}

void th_tally_merge(th_tally *tally, const th_tally *more)
{
    tally->read += more->read;
    tally->refused += more->refused;
    tally->enlarged += more->enlarged;
    for (int part = 0; part < TH_PARTS; part++) {
        tally->packed[part] += more->packed[part];
        tally->captions[part] += more->captions[part];
    }
    for (int i = 0; i < TH_TALLY_SIDES; i++)
        tally->sides[i] += more->sides[i];
    for (int i = 0; i <= TH_RECORD_TOKENS; i++)
        tally->lengths[i] += more->lengths[i];
    for (int i = 0; i < more->reason_count; i++)
        count_reason(tally, more->reasons[i].reason, more->reasons[i].count);
}

// --- as text ---

// {"224": 17, ...}: those that are not 0.
static json_t *print_counts(const int64_t *counts, int size)
{
    json_t *object = json_object();
    char    key[16];

    for (int i = 0; object && i < size; i++) {
        if (counts[i] == 0)
            continue;
        (void)snprintf(key, sizeof key, "%d", i);
        if (json_object_set_new(object, key, json_integer(counts[i])) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static bool parse_counts(const json_t *from, int64_t *counts, int size)
{
    const char *key;
    json_t     *value;

    json_object_foreach((json_t *)from, key, value)
    {
        char *end;
        long  i = strtol(key, &end, 10);
        if (*end || i < 0 || i >= size || !json_is_integer(value))
            return false;
        counts[i] = json_integer_value(value);
    }
    return json_is_object(from);
}

static json_t *print_reasons(const th_tally *tally)
{
    json_t *object = json_object();

    for (int i = 0; object && i < tally->reason_count; i++)
        if (json_object_set_new(object, tally->reasons[i].reason,
                                json_integer(tally->reasons[i].count)) != 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

static bool parse_reasons(const json_t *from, th_tally *out)
{
    const char *key;
    json_t     *value;

    json_object_foreach((json_t *)from, key, value)
    {
        if (!json_is_integer(value) || strlen(key) >= sizeof out->reasons->reason)
            return false;
        count_reason(out, key, json_integer_value(value));
    }
    return json_is_object(from);
}

json_t *th_tally_print(const th_tally *tally)
{
    // A member that could not be made is NULL, and json_pack passes that on.
    return json_pack(
        "{s:I, s:I, s:I, s:[I, I], s:[I, I], s:o, s:o, s:o}", "read", (json_int_t)tally->read,
        "refused", (json_int_t)tally->refused, "enlarged", (json_int_t)tally->enlarged, "packed",
        (json_int_t)tally->packed[TH_PART_TRAIN], (json_int_t)tally->packed[TH_PART_VAL],
        "captions", (json_int_t)tally->captions[TH_PART_TRAIN],
        (json_int_t)tally->captions[TH_PART_VAL], "sides",
        print_counts(tally->sides, TH_TALLY_SIDES), "lengths",
        print_counts(tally->lengths, TH_RECORD_TOKENS + 1), "reasons", print_reasons(tally));
}

bool th_tally_parse(const json_t *from, th_tally *out)
{
    json_int_t read, refused, enlarged, packed[TH_PARTS], captions[TH_PARTS];
    json_t    *sides, *lengths, *reasons;

    memset(out, 0, sizeof *out);
    if (json_unpack((json_t *)from, "{s:I, s:I, s:I, s:[I, I], s:[I, I], s:o, s:o, s:o}", "read",
                    &read, "refused", &refused, "enlarged", &enlarged, "packed", &packed[0],
                    &packed[1], "captions", &captions[0], &captions[1], "sides", &sides, "lengths",
                    &lengths, "reasons", &reasons) != 0)
        return false;
    out->read = read;
    out->refused = refused;
    out->enlarged = enlarged;
    for (int part = 0; part < TH_PARTS; part++) {
        out->packed[part] = packed[part];
        out->captions[part] = captions[part];
    }
    return parse_counts(sides, out->sides, TH_TALLY_SIDES) &&
           parse_counts(lengths, out->lengths, TH_RECORD_TOKENS + 1) && parse_reasons(reasons, out);
}

// --- the report ---

static int64_t sum(const int64_t *counts, int from, int size)
{
    int64_t all = 0;

    for (int i = from; i < size; i++)
        all += counts[i];
    return all;
}

// The smallest value that `share` of all are at most: 0 the least, 0.5 the median, 1 the most.
static int64_t at_share(const int64_t *counts, int size, double share)
{
    int64_t all = sum(counts, 0, size), wanted = (int64_t)(share * (double)all + 0.5), passed = 0;

    wanted = wanted < 1 ? 1 : wanted;
    for (int i = 0; i < size; i++) {
        passed += counts[i];
        if (passed >= wanted && all > 0)
            return i;
    }
    return 0;
}

static int most_first(const void *a, const void *b)
{
    const th_pack_reason *left = a, *right = b;

    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return strcmp(left->reason, right->reason);
}

void th_tally_report(const th_tally *tally, int64_t context, th_pack_report *out)
{
    const int sizes = TH_RECORD_TOKENS + 1;
    int64_t   tokens = 0, held = context - 2;

    out->total.read = tally->read;
    out->total.packed = tally->packed[TH_PART_TRAIN];
    out->total.packed_val = tally->packed[TH_PART_VAL];
    out->total.quarantined = tally->refused;
    out->captions = tally->captions[TH_PART_TRAIN] + tally->captions[TH_PART_VAL];
    for (int i = 0; i < sizes; i++)
        tokens += i * tally->lengths[i];
    out->mean_tokens = out->captions > 0 ? (double)tokens / (double)out->captions : 0;
    out->tokens_median = at_share(tally->lengths, sizes, 0.5);
    out->tokens_95 = at_share(tally->lengths, sizes, 0.95);
    out->tokens_most = at_share(tally->lengths, sizes, 1);
    out->context = context;
    out->over_context = held + 1 < sizes ? sum(tally->lengths, (int)held + 1, sizes) : 0;
    out->side_least = at_share(tally->sides, TH_TALLY_SIDES, 0);
    out->side_median = at_share(tally->sides, TH_TALLY_SIDES, 0.5);
    out->side_most = at_share(tally->sides, TH_TALLY_SIDES, 1);
    out->enlarged = tally->enlarged;
    out->reason_count = tally->reason_count;
    memcpy(out->reasons, tally->reasons, sizeof out->reasons);
    qsort(out->reasons, (size_t)out->reason_count, sizeof *out->reasons, most_first);
}
