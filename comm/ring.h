/* comm/ring.h - blocks go round the ranks, from each to its neighbour, so that every rank meets
 * every block without holding more than one. */
#ifndef TH_COMM_RING_H
#define TH_COMM_RING_H

#include "comm/world.h"

/* Every rank gives its bytes[size] to the rank before it (rank 0 to the last one), and holds those
 * of the rank behind it: after i calls rank r has the block of rank (r + i) mod W, after W calls
 * its own. In place; size is any, and the same on all ranks. */
TH_MUST_CHECK th_code th_ring_pass(th_world *world, void *bytes, size_t size, th_err *err);

#endif
