/* The cross-entropy of probabilities that are given as logits, and its gradient, in one pass over the values.

   Of a logit x and what it should be, t in [0, 1], the loss is max(x, 0) - x t + log(1 + e^-|x|) and its gradient
   sigmoid(x) - t. Compiled without -ffast-math, as `recurrence.c` is and for the same reasons: each lane sums for
   itself, and so does each block, so that the result does not depend on the number of threads. */

#include "power.h"

enum { LANES = 16, BLOCK = 4096 };

/* `cross_entropy.py` has the same fields in the same order. */
struct job {
    int64_t count, threads;
    const float *x, *t; /* (count) */
    double *sums;       /* (blocks), of the losses */
    float *gradient;    /* (count) or null */
    float scale;        /* of the gradient */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
    int64_t next;       /* the first block that nobody has taken yet; 0 */
};

/* log(1 + e) for e in [0, 1], to 2e-7 of itself: a polynomial through Chebyshev's points, since a division would take
   longer. */
static inline float log_one_plus(float e) {
    float p = -3.2563785e-3f;
    p = p * e + 1.9907161e-2f;
    p = p * e - 5.7064201e-2f;
    p = p * e + 1.0614265e-1f;
    p = p * e - 1.5311863e-1f;
    p = p * e + 1.9678117e-1f;
    p = p * e - 2.4954559e-1f;
    p = p * e + 3.3330004e-1f;
    p = p * e - 4.9999904e-1f;
    p = p * e + 1.0f;
    return p * e;
}

static inline float loss(float x, float t, float e) { return (0 > x ? 0 : x) - x * t + log_one_plus(e); }

static inline float slope(float x, float t, float e) {
    const float part = e / (1.0f + e);
    return (x < 0 ? part : 1.0f - part) - t;
}

/* The sum of a block's losses. sloped, a constant where it is called: whether the gradient is wanted. */
static inline __attribute__((always_inline)) double block(int sloped, long count, const float *restrict x,
                                                          const float *restrict t, float *restrict gradient,
                                                          float scale) {
    float lanes[LANES] = {0};
    double sum = 0;
    long first = 0;
    for (; first + LANES <= count; first += LANES)
        for (long j = 0; j < LANES; j++) {
            const float value = x[first + j], e = power(-fabsf(value));
            lanes[j] += loss(value, t[first + j], e);
            if (sloped)
                gradient[first + j] = slope(value, t[first + j], e) * scale;
        }
    for (; first < count; first++) {
        const float e = power(-fabsf(x[first]));
        sum += loss(x[first], t[first], e);
        if (sloped)
            gradient[first] = slope(x[first], t[first], e) * scale;
    }
    for (long j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

static void labour(void *given) {
    struct job *job = given;
    long number;
    while ((number = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) * BLOCK < job->count) {
        const long first = number * BLOCK, left = job->count - first, count = left < BLOCK ? left : BLOCK;
        const float *x = job->x + first, *t = job->t + first;
        job->sums[number] = job->gradient ? block(1, count, x, t, job->gradient + first, job->scale)
                                          : block(0, count, x, t, 0, job->scale);
    }
}

void cross_entropy(struct job *job) {
    if (job->parallel && job->threads > 1 && job->count > 4 * BLOCK)
        job->parallel(labour, job, (unsigned)job->threads, 0);
    else
        labour(job);
}
