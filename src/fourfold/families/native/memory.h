#ifndef MEMORY_H
#define MEMORY_H

#include <stdlib.h>

/* Room that starts with a line of the cache, to be freed; null if there is none. */
static inline float *allocate(long floats) { return aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64); }

#endif
