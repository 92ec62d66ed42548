#include "dataloader/source/base64.h"

#include <stdint.h>

// 6 bits of a letter; -1 for what is none.
static int value_of(unsigned char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    if (letter == '+' || letter == '-')
        return 62;
    return letter == '/' || letter == '_' ? 63 : -1;
}

bool th_base64_decode(const char *text, size_t size, unsigned char *out, size_t *out_size)
{
    uint32_t bits = 0;
    size_t   letters = size, count = 0;

    if (size % 4 == 0)
        for (int i = 0; i < 2 && letters > 0 && text[letters - 1] == '='; i++)
            letters--;
    if (letters % 4 == 1)
        return false;
    for (size_t i = 0; i < letters; i++) {
        int value = value_of((unsigned char)text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) // the k-th letter of four completes byte k
            out[count++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    *out_size = count;
    return true;
}
