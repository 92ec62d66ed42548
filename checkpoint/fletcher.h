/* checkpoint/fletcher.h - the Fletcher-32 checksum as HDF5's filter stores it behind each chunk.
 *
 * Over 16-bit big-endian words w_0 .. w_(n-1), in ones' complement (modulo 65535, where a sum that
 * is not zero is never written as 0):  s1 = sum w_i,  s2 = sum (n - i) w_i,  result s2 << 16 | s1.
 * Written here because the library's own, word by word, costs more time than writing the chunk.
 * Source: Fletcher 1982, IEEE Trans. Comm. 30(1); HDF5 File Format Specification 3.0, IV.A.2.l. */
#ifndef TH_CHECKPOINT_FLETCHER_H
#define TH_CHECKPOINT_FLETCHER_H

#include <stddef.h>
#include <stdint.h>

/* `bytes` on a 2-byte boundary; an even number of bytes, below 2^40. Any thread. */
uint32_t th_fletcher32(const void *bytes, size_t size);

#endif
