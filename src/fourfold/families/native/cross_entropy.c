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

/* log(1 + e) for e in [0, 1], as 2 artanh(e / (2 + e)). */
static inline float log_one_plus(float e) {
    const float s = e / (2.0f + e), z = s * s;
    float p = 2.0f / 13.0f;
    p = p * z + 2.0f / 11.0f;
    p = p * z + 2.0f / 9.0f;
    p = p * z + 2.0f / 7.0f;
    p = p * z + 2.0f / 5.0f;
    p = p * z + 2.0f / 3.0f;
    p = p * z + 2.0f;
    return p * s;
}

static inline float loss(float x, float t, float e) { return (0 > x ? 0 : x) - x * t + log_one_plus(e); }

static double block(long count, const float *restrict x, const float *restrict t, float *restrict gradient, float scale) {
    float lanes[LANES] = {0};
    double sum = 0;
    long first = 0;
    for (; first + LANES <= count; first += LANES)
        for (long j = 0; j < LANES; j++) {
            const float value = x[first + j], e = power(-fabsf(value)), part = e / (1.0f + e);
            lanes[j] += loss(value, t[first + j], e);
            if (gradient)
                gradient[first + j] = ((value < 0 ? part : 1.0f - part) - t[first + j]) * scale;
        }
    for (; first < count; first++) {
        const float e = power(-fabsf(x[first])), part = e / (1.0f + e);
        sum += loss(x[first], t[first], e);
        if (gradient)
            gradient[first] = ((x[first] < 0 ? part : 1.0f - part) - t[first]) * scale;
    }
    for (long j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

static void labour(void *given) {
    struct job *job = given;
    long number;
    while ((number = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) * BLOCK < job->count) {
        const long first = number * BLOCK, left = job->count - first;
        float *gradient = job->gradient ? job->gradient + first : 0;
        job->sums[number] = block(left < BLOCK ? left : BLOCK, job->x + first, job->t + first, gradient, job->scale);
    }
}

void cross_entropy(struct job *job) {
    if (job->parallel && job->threads > 1 && job->count > 4 * BLOCK)
        job->parallel(labour, job, (unsigned)job->threads, 0);
    else
        labour(job);
}
