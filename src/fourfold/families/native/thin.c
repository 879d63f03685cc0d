/* A convolution between maps of few channels and maps of many, and its gradients, with a leaky relu in the same pass.

   The first layer of a network widens pictures; the last one of a generator is the same turned round. Three loops serve
   both: `widen` (the convolution; the gradient of a transposed one's input), `narrow` (the transposed one; the gradient
   of the input) and `weigh` (the gradient of the weights of either). What they cost is the wide maps' way through the
   memory, so each reads or writes them once: a few places (a band) at a time, which stay in the nearest cache while
   they are multiplied. The pixels that a place sees, its taps, are a row of a matrix; all is products of matrices.

   Maps have their channels last, whole; many is a multiple of 16. A picture belongs to one thread, and sums are taken
   in an order that the shapes alone fix: the number of threads changes no bit. Compiled without -ffast-math: see
   `recurrence.c`. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "labour.h"
#include "product.h"

/* One call; `thin.py` has the same fields in the same order. What is not there is null. */
struct job {
    int64_t n, height, width, few; /* the thin maps */
    int64_t down, across, many;    /* the wide ones */
    int64_t kernel, stride, padding, threads;
    int64_t by_many, by_few, by_row, by_column; /* floats from a weight to the next one that way */
    double slope;                               /* of the leaky relu behind the wide maps; 1: there is none */
    float *thin, *wide, *weight, *bias;         /* bias: is added to what comes out; `weigh` fills it and the weight */
    const float *active; /* what came out of the leaky relu, whose gradient `wide` is; null without one */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
};

enum {
    NEAR = 4096, /* floats of the wide maps in a band: half of a cache of 32 KiB */
    CHUNKS = 32, /* of the pictures, each with sums of its own: as many threads can work */
};

struct work {
    const struct job *job;
    long run, taps, pitch;    /* taps in a row of the kernel; of a place; floats from a place's to the next one's */
    long line, padded;        /* floats in a row of a padded picture; in all of it */
    long places, band;        /* in a picture; at a time */
    long chunks, sums;        /* of the pictures; floats of a chunk's sums: (taps, many), then the bias */
    float *between;           /* the weights as a matrix; or all sums */
    struct labour labour;
};

/* A thread's scratch: a padded picture; for the places of a band their taps, and their many channels. */
struct scratch {
    float *picture, *taps, *wide;
};

static long ceiling(long whole, long part) { return (whole + part - 1) / part * part; }
static long least(long a, long b) { return a < b ? a : b; }

static struct scratch divided(const struct work *work, float *all) {
    float *taps = all + work->padded, *wide = taps + ceiling(work->band * work->pitch + LANES, LANES);
    return (struct scratch){all, taps, wide};
}

/* A picture between zeros. */
static void pad(const struct work *work, long n, float *picture) {
    const struct job *job = work->job;
    const long row = job->width * job->few;
    memset(picture, 0, work->padded * sizeof(float));
    for (long y = 0; y < job->height; y++)
        memcpy(picture + (y + job->padding) * work->line + job->padding * job->few,
               job->thin + (n * job->height + y) * row, row * sizeof(float));
}

/* The taps of a band. Vectors write past the end of a row of the kernel, where the next one is written after it. */
static void unfold(const struct work *work, const float *picture, long first, long count, float *taps) {
    const struct job *job = work->job;
    const long run = work->run, line = work->line, step = job->stride * job->few;
    long x = first % job->across;
    const float *row = picture + first / job->across * job->stride * line;
    for (long place = 0; place < count; place++, taps += work->pitch) {
        const float *from = row + x * step;
        for (long y = 0; y < job->kernel; y++)
            for (long i = 0; i < run; i += LANES)
                *(vector *)(taps + y * run + i) = *(const vector *)(from + y * line + i);
        if (++x == job->across)
            x = 0, row += job->stride * line;
    }
}

/* The way back: adds the taps of a band to the picture. */
static void fold(const struct work *work, const float *taps, long first, long count, float *picture) {
    const struct job *job = work->job;
    const long step = job->stride * job->few, end = first + count;
    for (long place = first, length; place < end; place += length, taps += length * work->pitch) {
        float *to = picture + place / job->across * job->stride * work->line + place % job->across * step;
        length = least(end - place, job->across - place % job->across);
        for (long tap = 0; tap < work->taps; tap++) {
            float *row = to + tap / work->run * work->line + tap % work->run;
            for (long i = 0; i < length; i++)
                row[i * step] += taps[i * work->pitch + tap];
        }
    }
}

/* A band of wide maps, or of the gradient before their leaky relu. If asked for, its sum is added to `bias`. */
static void take(const struct work *work, long place, long count, float *restrict to, float *restrict bias) {
    const struct job *job = work->job;
    const long many = job->many;
    const float slope = (float)job->slope, *restrict from = job->wide + place * many;
    if (job->active) {
        const float *restrict active = job->active + place * many;
        for (long i = 0; i < count * many; i++)
            to[i] = active[i] > 0 ? from[i] : from[i] * slope;
    } else
        memcpy(to, from, count * many * sizeof(float));
    for (long k = 0; bias && k < many; k += LANES) {
        vector sum = {0};
        for (long i = 0; i < count; i++)
            sum += *(const vector *)(to + i * many + k);
        *(vector *)(bias + k) += sum;
    }
}

/* A band of wide maps, after their bias and leaky relu. */
static void give(const struct work *work, long place, long count, const float *restrict from) {
    const struct job *job = work->job;
    const long many = job->many;
    const float slope = (float)job->slope, *restrict bias = job->bias;
    float *restrict to = job->wide + place * many;
    for (; count > 0; count--, from += many, to += many)
        for (long k = 0; k < many; k++) {
            const float x = bias ? from[k] + bias[k] : from[k];
            to[k] = x > 0 ? x : x * slope;
        }
}

static void widen_one(const struct work *work, long n, float *all) {
    const long many = work->job->many;
    const struct scratch here = divided(work, all);
    pad(work, n, here.picture);
    for (long first = 0; first < work->places; first += work->band) {
        const long count = least(work->places - first, work->band);
        unfold(work, here.picture, first, count, here.taps);
        for (long k = 0; k < many; k += WIDTH)
            product(HIGH, 0, count, many - k, work->taps, here.taps, work->pitch, 1, work->between + k, here.wide + k,
                    many);
        give(work, n * work->places + first, count, here.wide);
    }
}

static void narrow_one(const struct work *work, long n, float *all) {
    const struct job *job = work->job;
    const struct scratch here = divided(work, all);
    memset(here.picture, 0, work->padded * sizeof(float));
    for (long first = 0; first < work->places; first += work->band) {
        const long count = least(work->places - first, work->band);
        take(work, n * work->places + first, count, here.wide, 0);
        for (long tap = 0; tap < work->taps; tap += WIDTH)
            product(HIGH, 0, count, work->pitch - tap, job->many, here.wide, job->many, 1, work->between + tap,
                    here.taps + tap, work->pitch);
        fold(work, here.taps, first, count, here.picture);
    }
    for (long y = 0; y < job->height; y++) {
        const float *from = here.picture + (y + job->padding) * work->line + job->padding * job->few;
        float *to = job->thin + (n * job->height + y) * job->width * job->few;
        for (long x = 0; x < job->width; x++)
            for (long c = 0; c < job->few; c++)
                *to++ = *from++ + (job->bias ? job->bias[c] : 0);
    }
}

static void weigh_some(const struct work *work, long chunk, float *all) {
    const struct job *job = work->job;
    const long many = job->many, end = job->n * (chunk + 1) / work->chunks;
    const struct scratch here = divided(work, all);
    float *sums = work->between + chunk * work->sums, *bias = job->bias ? sums + work->sums - many : 0;
    memset(sums, 0, work->sums * sizeof(float));
    for (long n = job->n * chunk / work->chunks; n < end; n++) {
        pad(work, n, here.picture);
        for (long first = 0; first < work->places; first += work->band) {
            const long count = least(work->places - first, work->band);
            unfold(work, here.picture, first, count, here.taps);
            take(work, n * work->places + first, count, here.wide, bias);
            for (long k = 0; k < many; k += WIDTH)
                product(LOW, 1, work->taps, many - k, count, here.taps, 1, work->pitch, here.wide + k, sums + k, many);
        }
    }
}

static struct work planned(const struct job *job) {
    struct work work = {.job = job, .run = job->kernel * job->few, .places = job->down * job->across};
    work.taps = job->kernel * work.run, work.pitch = ceiling(work.taps, LANES);
    work.line = (job->width + 2 * job->padding) * job->few;
    work.padded = ceiling((job->height + 2 * job->padding) * work.line + LANES, LANES); /* vectors read past its end */
    work.band = ceiling(1 + NEAR / job->many, HIGH);
    work.chunks = least(job->n, CHUNKS), work.sums = (ceiling(work.taps, LOW) + 1) * job->many;
    const long floats = work.padded + ceiling(work.band * work.pitch + LANES, LANES) + work.band * job->many;
    work.labour = (struct labour){.parallel = job->parallel, .threads = job->threads};
    work.labour.zeros = work.labour.floats = floats;
    return work;
}

static float *weight(const struct job *job, long tap, long k) {
    const long run = job->kernel * job->few, y = tap / run, x = tap % run / job->few, c = tap % job->few;
    return job->weight + k * job->by_many + c * job->by_few + y * job->by_row + x * job->by_column;
}

/* Through all pictures with the weights as a matrix, whose rows are taps or channels. Returns: as `narrow`. */
static int through(const struct job *job, int turned, unit_of *unit) {
    struct work work = planned(job);
    const long size = job->many * work.pitch, by_tap = turned ? 1 : job->many, by_channel = turned ? work.pitch : 1;
    work.between = allocate(size);
    if (!work.between)
        return 1;
    memset(work.between, 0, size * sizeof(float));
    for (long tap = 0; tap < work.taps; tap++)
        for (long k = 0; k < job->many; k++)
            work.between[tap * by_tap + k * by_channel] = *weight(job, tap, k);
    each(&work.labour, &work, job->n, unit);
    free(work.between);
    return work.labour.failed;
}

/* wide = leaky relu(convolution of thin + bias). Returns: as `narrow`. */
int widen(const struct job *job) { return through(job, 0, widen_one); }

/* thin = transposed convolution of wide + bias. Returns: 0, or 1 without memory. */
int narrow(const struct job *job) { return through(job, 1, narrow_one); }

/* The gradients of the weight and the bias, from the sums of all chunks in their order. Returns: as `narrow`. */
int weigh(const struct job *job) {
    struct work work = planned(job);
    work.between = allocate(work.chunks * work.sums);
    if (!work.between)
        return 1;
    each(&work.labour, &work, work.chunks, weigh_some);
    for (long chunk = 1; chunk < work.chunks; chunk++)
        for (long i = 0; i < work.sums; i++)
            work.between[i] += work.between[chunk * work.sums + i];
    for (long tap = 0; tap < work.taps; tap++)
        for (long k = 0; k < job->many; k++)
            *weight(job, tap, k) = work.between[tap * job->many + k];
    if (job->bias)
        memcpy(job->bias, work.between + work.sums - job->many, job->many * sizeof(float));
    free(work.between);
    return work.labour.failed;
}
