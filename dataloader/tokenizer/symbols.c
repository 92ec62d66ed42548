#include "dataloader/tokenizer/symbols.h"

#include "base/hash.h"
#include "base/memory.h"
#include "dataloader/tokenizer/grow.h"
#include <stdlib.h>
#include <string.h>

#define PRINTABLE 188u // bytes that are printable in Latin-1: they come first in CLIP's order

uint32_t th_symbol_of_byte(unsigned char byte)
{
    if (byte >= 0xAE)
        return byte - 0xAEu + 106;
    if (byte == 0xAD)
        return 255;
    if (byte >= 0xA1)
        return byte - 0xA1u + 94;
    if (byte >= 0x7F)
        return byte - 0x7Fu + PRINTABLE + 33;
    return byte >= 0x21 ? byte - 0x21u : byte + PRINTABLE;
}

unsigned char th_byte_of_symbol(uint32_t symbol)
{
    if (symbol < 94)
        return (unsigned char)(symbol + 0x21);
    if (symbol < 106)
        return (unsigned char)(symbol - 94 + 0xA1);
    if (symbol < PRINTABLE)
        return (unsigned char)(symbol - 106 + 0xAE);
    if (symbol < PRINTABLE + 33)
        return (unsigned char)(symbol - PRINTABLE);
    return (unsigned char)(symbol == 255 ? 0xAD : symbol - PRINTABLE - 33 + 0x7F);
}

uint32_t th_character_of_byte(unsigned char byte)
{
    uint32_t symbol = th_symbol_of_byte(byte);

    return symbol < PRINTABLE ? byte : 0x100 + symbol - PRINTABLE;
}

int th_byte_of_character(uint32_t code)
{
    if (code >= 0x100 && code < 0x100 + 256 - PRINTABLE)
        return th_byte_of_symbol(code - 0x100 + PRINTABLE);
    return code < 0x100 && th_symbol_of_byte((unsigned char)code) < PRINTABLE ? (int)code : -1;
}

static size_t slot_of(const th_symbols *s, const char *bytes, size_t size, bool ends)
{
    size_t slot = (size_t)(th_hash(bytes, size) + ends) & s->slot_mask;

    for (;; slot = (slot + 1) & s->slot_mask) {
        const struct th_symbol *row;

        if (s->slots[slot] == TH_NO_SYMBOL)
            return slot;
        row = &s->rows[s->slots[slot]];
        if (row->size == size && row->ends == ends && memcmp(s->bytes + row->at, bytes, size) == 0)
            return slot;
    }
}

uint32_t th_symbols_find(const th_symbols *s, const char *bytes, size_t size, bool ends)
{
    return s->slots[slot_of(s, bytes, size, ends)];
}

static th_code make_slots(th_symbols *s, th_err *err)
{
    th_code rc = TH_OK;
    void   *slots;
    size_t  count = 1024;

    while (count < 2 * s->room)
        count *= 2;
    TH_TRY(th_alloc(count, sizeof *s->slots, "the tokenizer's symbols", &slots, err));
    free(s->slots);
    s->slots = slots;
    s->slot_mask = count - 1;
    memset(s->slots, 0xFF, count * sizeof *s->slots);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct th_symbol *row = &s->rows[i];

        s->slots[slot_of(s, s->bytes + row->at, row->size, row->ends)] = i;
    }
out:
    return rc;
}

static th_code make_room(th_symbols *s, uint32_t rows, size_t bytes, th_err *err)
{
    th_code rc = TH_OK;
    size_t  had = s->room;
    void   *grown = th_grow(s->rows, &s->room, s->count + (size_t)rows, sizeof *s->rows);

    TH_CHECK(grown, TH_EIO, "free some memory", "no memory for %u tokens", s->count + rows);
    s->rows = grown;
    if (s->room != had)
        TH_TRY(make_slots(s, err));
    grown = th_grow(s->bytes, &s->bytes_room, s->bytes_used + bytes, 1);
    TH_CHECK(grown, TH_EIO, "free some memory", "no memory for %u tokens", s->count + rows);
    s->bytes = grown;
out:
    return rc;
}

// Makes the last `size` of the bytes used a new symbol.
static uint32_t append(th_symbols *s, size_t slot, size_t size, bool ends)
{
    s->rows[s->count] = (struct th_symbol){ s->bytes_used, (uint32_t)size, ends };
    s->bytes_used += size;
    s->slots[slot] = s->count;
    return s->count++;
}

th_code th_symbols_open(th_symbols *s, uint32_t more, th_err *err)
{
    th_code rc = TH_OK;

    *s = (th_symbols){ 0 };
    TH_TRY(make_room(s, TH_BYTE_SYMBOLS + more, TH_BYTE_SYMBOLS + 8 * (size_t)more, err));
    for (uint32_t i = 0; i < TH_BYTE_SYMBOLS; i++) {
        char *put = s->bytes + s->bytes_used;

        *put = (char)th_byte_of_symbol(i & 0xFF);
        append(s, slot_of(s, put, 1, i > 0xFF), 1, i > 0xFF);
    }
out:
    return rc;
}

void th_symbols_close(th_symbols *s)
{
    free(s->rows);
    free(s->bytes);
    free(s->slots);
    *s = (th_symbols){ 0 };
}

th_code th_symbols_merge(th_symbols *s, uint32_t left, uint32_t right, uint32_t *out, th_err *err)
{
    th_code                 rc = TH_OK;
    size_t                  size = (size_t)s->rows[left].size + s->rows[right].size, slot;
    const struct th_symbol *a, *b;
    char                   *put;

    TH_CHECK(s->count < TH_SYMBOLS_MOST && size < UINT32_MAX, TH_EUSAGE, "ask for fewer merges",
             "a vocabulary of more than %u tokens", TH_SYMBOLS_MOST);
    TH_TRY(make_room(s, 1, size, err));
    a = &s->rows[left];
    b = &s->rows[right];
    put = s->bytes + s->bytes_used;
    memcpy(put, s->bytes + a->at, a->size);
    memcpy(put + a->size, s->bytes + b->at, b->size);
    slot = slot_of(s, put, size, b->ends);
    *out = s->slots[slot] != TH_NO_SYMBOL ? s->slots[slot] : append(s, slot, size, b->ends);
out:
    return rc;
}

int th_symbols_compare(const th_symbols *s, uint32_t a, uint32_t b)
{
    const struct th_symbol *x = &s->rows[a], *y = &s->rows[b];
    size_t                  shared = x->size < y->size ? x->size : y->size;
    int                     order = memcmp(s->bytes + x->at, s->bytes + y->at, shared);

    if (order != 0)
        return order;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return (int)x->ends - (int)y->ends;
}
