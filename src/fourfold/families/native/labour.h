/* Numbered units of work, which OpenMP's threads take one after another until none is left: a thread that the machine
   holds up leaves its share to the others. Who includes it says what `struct work` is. */

#ifndef LABOUR_H
#define LABOUR_H

#include <string.h>

#include "memory.h"

struct work;
typedef void unit_of(const struct work *, long unit, float *scratch);

struct labour {
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
    long threads, zeros, floats; /* floats of a thread's scratch, of which so many are zero at first */
    const struct work *work;
    unit_of *unit;
    long units, next; /* the first that nobody has taken yet */
    int failed;       /* no memory */
};

static inline void labour(void *given) {
    struct labour *labour = given;
    float *scratch = allocate(labour->floats);
    if (!scratch) {
        __atomic_store_n(&labour->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    memset(scratch, 0, labour->zeros * sizeof(float));
    long unit;
    while ((unit = __atomic_fetch_add(&labour->next, 1, __ATOMIC_RELAXED)) < labour->units)
        labour->unit(labour->work, unit, scratch);
    free(scratch);
}

/* Has all units done. Without memory `failed` is set. */
static inline void each(struct labour *given, const struct work *work, long units, unit_of *unit) {
    const long threads = given->threads < units ? given->threads : units;
    given->work = work, given->unit = unit, given->units = units, given->next = 0;
    if (given->parallel && threads > 1)
        given->parallel(labour, given, (unsigned)threads, 0);
    else
        labour(given);
}

#endif
