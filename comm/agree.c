#include "comm/agree.h"

#include "base/hash.h"
#include "base/memory.h"
#include "comm/mpi_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A th_err as it travels. Its `file` is a pointer, which means nothing in another process.
typedef struct {
    int32_t code, line;
    char    what[sizeof((th_err *)0)->what];
    char    fix[sizeof((th_err *)0)->fix];
    char    trail[sizeof((th_err *)0)->trail];
    char    file[64];
} letter;

static void write_letter(letter *to, th_code code, const th_err *err)
{
    *to = (letter){ .code = (int32_t)code };
    if (!err)
        return;
    to->line = err->line;
    memcpy(to->what, err->what, sizeof to->what);
    memcpy(to->fix, err->fix, sizeof to->fix);
    memcpy(to->trail, err->trail, sizeof to->trail);
    (void)snprintf(to->file, sizeof to->file, "%s", err->file ? err->file : "");
}

// Ranks that did not fail end as the failing one does when its exit code says what to do next.
static th_code code_for_peers(th_code code)
{
    switch (code) {
    case TH_EUSAGE:
    case TH_EDATA:
    case TH_EIO:
    case TH_ESTOP:
        return code;
    default:
        return TH_EPEER;
    }
}

static th_code read_letter(const th_world *world, const letter *from, int rank, th_err *err)
{
    th_code code = th_fail(err, code_for_peers((th_code)from->code), from->fix, __FILE__, __LINE__,
                           "rank %d of %d on %s: %s", rank, world->size, th_world_host(world, rank),
                           from->what[0] ? from->what : th_code_name((th_code)from->code));
    if (from->trail[0])
        code = th_during(err, "%s", from->trail);
    if (from->file[0])
        code = th_during(err, "at %s:%d there", from->file, from->line);
    return err ? code : code_for_peers((th_code)from->code);
}

// The first failing rank's error, or TH_OK when all is well everywhere.
static th_code hear(th_world *world, th_code code, const th_err *mine, th_err *err)
{
    th_code rc = TH_OK;
    letter  from;
    int     first = code == TH_OK ? world->size : world->rank;

    // One small message when all is well; the error's text travels only when there is one.
    TH_MPI(MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, world->mpi->comm),
           "agree with all ranks");
    if (first == world->size)
        return TH_OK;
    write_letter(&from, code, mine);
    TH_TRY(th_world_broadcast(world, &from, sizeof from, first, err));
    rc = read_letter(world, &from, first, err);
out:
    return rc;
}

th_code th_agree(th_world *world, th_code code, th_err *err)
{
    th_err  heard = { 0 };
    th_code rc;

    if (world->size == 1)
        return code;
    rc = hear(world, code, err, &heard);
    if (code != TH_OK)
        return code; // our own error, whatever became of telling the others
    if (rc != TH_OK && err)
        *err = heard;
    return rc;
}

th_code th_agree_flags(th_world *world, uint32_t flags, uint32_t *out, th_err *err)
{
    th_code rc = TH_OK;

    if (world->size > 1)
        TH_MPI(MPI_Allreduce(MPI_IN_PLACE, &flags, 1, MPI_UINT32_T, MPI_BOR, world->mpi->comm),
               "agree on flags with all ranks");
    *out = flags;
out:
    return rc;
}

// The value that most ranks have; of those that as many have, the one of the lowest rank.
static uint64_t majority(const uint64_t *hashes, int ranks, int stride, int *out_votes)
{
    uint64_t best = hashes[0];

    *out_votes = 0;
    for (int i = 0; i < ranks; i++) {
        int votes = 0;
        for (int j = 0; j < ranks; j++)
            votes += hashes[(size_t)j * stride] == hashes[(size_t)i * stride];
        if (votes > *out_votes) {
            *out_votes = votes;
            best = hashes[(size_t)i * stride];
        }
    }
    return best;
}

// Appends to text, as much as fits.
static void append(char *text, size_t size, const char *format, ...) TH_PRINTF(3, 4);
static void append(char *text, size_t size, const char *format, ...)
{
    size_t  used = strlen(text);
    va_list values;

    va_start(values, format);
    (void)vsnprintf(text + used, size - used, format, values);
    va_end(values);
}

// hashes: that of rank r stands at hashes[r * stride].
static th_code check_fact(const th_world *world, const th_fact *fact, const uint64_t *hashes,
                          int stride, th_err *err)
{
    enum { NAMED = 2 }; // ranks named with their hosts: more do not fit in `what` next to the rest
    th_code  rc = TH_OK;
    char     who[NAMED * (TH_HOST_BYTES + 24) + 64] = "";
    int      votes = 0, reference = -1, others = 0;
    uint64_t right = majority(hashes, world->size, stride, &votes);

    if (votes == world->size)
        return TH_OK;
    for (int rank = 0; rank < world->size; rank++) {
        if (hashes[(size_t)rank * stride] == right)
            reference = reference < 0 ? rank : reference;
        else if (others++ < NAMED)
            append(who, sizeof who, "%srank %d on %s", others > 1 ? ", " : "", rank,
                   th_world_host(world, rank));
    }
    if (others > NAMED)
        append(who, sizeof who, " and %d more", others - NAMED);
    append(who, sizeof who, others > 1 ? " differ from " : " differs from ");
    if (votes > 1)
        append(who, sizeof who, "the %d that agree", votes);
    else
        append(who, sizeof who, "rank %d on %s", reference, th_world_host(world, reference));
    TH_FAIL(TH_EUSAGE, fact->fix, "%s is not the same on all %d ranks: %s", fact->name, world->size,
            who);
out:
    return rc;
}

static th_code gather_hashes(th_world *world, const uint64_t *mine, int count, uint64_t *all,
                             th_err *err)
{
    th_code rc = TH_OK;

    TH_MPI(MPI_Allgather(mine, count, MPI_UINT64_T, all, count, MPI_UINT64_T, world->mpi->comm),
           "compare all ranks");
out:
    return rc;
}

th_code th_agree_same(th_world *world, const th_fact *facts, int count, th_err *err)
{
    th_code       rc = TH_OK;
    void         *memory = NULL;
    const th_fact list = { .name = "the list of what to compare",
                           .fix = "install the same build of thaw on every node" };

    if (world->size == 1)
        return TH_OK;
    // Two builds may not even ask for the same facts: compare the list first, then what it holds.
    uint64_t names = th_hash(&count, sizeof count);
    for (int i = 0; i < count; i++)
        names = names * 31 + th_hash(facts[i].name, strlen(facts[i].name));
    TH_TRY(th_alloc((size_t)(world->size + 1) * ((size_t)count + 1), sizeof(uint64_t),
                    "hashes to compare", &memory, err));
    uint64_t *all = memory, *mine = all + (size_t)world->size * (size_t)count;
    TH_TRY(gather_hashes(world, &names, 1, all, err));
    TH_TRY(check_fact(world, &list, all, 1, err));
    for (int i = 0; i < count; i++)
        mine[i] = facts[i].hash;
    TH_TRY(gather_hashes(world, mine, count, all, err));
    for (int i = 0; i < count; i++)
        TH_TRY(check_fact(world, &facts[i], all + i, count, err));
out:
    free(memory);
    return rc;
}
