/* dataloader/tokenizer/symbols.h - the strings that tokens stand for.
 *
 * A symbol is a byte string, and whether it ends a word (CLIP's "</w>"). Equal strings are one
 * symbol, however they were merged. The first 512 are the single bytes in CLIP's order, without and
 * with
 * </w>. In a merges file a byte is written as a printable character: itself where it is one in
 * Latin-1, else U+0100 and following (the alphabet of GPT-2).
 *
 * One thread at a time while it grows; then any thread may read. */
#ifndef TH_DATALOADER_TOKENIZER_SYMBOLS_H
#define TH_DATALOADER_TOKENIZER_SYMBOLS_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TH_BYTE_SYMBOLS 512u
#define TH_SYMBOLS_MOST (1u << 20)
#define TH_NO_SYMBOL    UINT32_MAX

typedef struct {
    struct th_symbol {
        size_t   at; // in bytes
        uint32_t size;
        bool     ends; // a word
    } * rows;          // [count]
    char     *bytes;   // of all symbols, back to back
    uint32_t *slots;   // open addressing: a symbol or TH_NO_SYMBOL
    size_t    bytes_used, bytes_room, room, slot_mask;
    uint32_t  count;
} th_symbols;

/* The 512 byte symbols. `more` is how many are likely to be added. Errors: TH_EIO. */
TH_MUST_CHECK th_code th_symbols_open(th_symbols *symbols, uint32_t more, th_err *err);
void                  th_symbols_close(th_symbols *symbols); // accepts zeroed and half-built ones

/* The symbol of a string, or TH_NO_SYMBOL. */
uint32_t th_symbols_find(const th_symbols *symbols, const char *bytes, size_t size, bool ends);

/* *out = the symbol of left's string followed by right's, made if there is none. Left does not end
 * a word. Errors: TH_EUSAGE when there are TH_SYMBOLS_MOST, TH_EIO. */
TH_MUST_CHECK th_code th_symbols_merge(th_symbols *symbols, uint32_t left, uint32_t right,
                                       uint32_t *out, th_err *err);

/* Order of two symbols by their bytes; of equal bytes the one that ends a word comes second. */
int th_symbols_compare(const th_symbols *symbols, uint32_t a, uint32_t b);

uint32_t      th_symbol_of_byte(unsigned char byte); // its place in CLIP's order, 0..255
unsigned char th_byte_of_symbol(uint32_t symbol);    // of the first 256

/* The byte that a character of a merges file stands for, or -1; and the character of a byte. */
int      th_byte_of_character(uint32_t code);
uint32_t th_character_of_byte(unsigned char byte);

#endif
