/* The loops over time of `recurrence.py`, forward and backward, for a CPU: what its operators do, without their overhead.

   Shapes: n examples, t steps, h hidden units, g gates times h; every array is whole and row-major. A few examples
   (a block) go through all of time before the next ones do, so that their states stay in the nearest cache, and the
   weights are copied once into panels as wide as two registers, in the order in which the products read them.

   Plain C with GCC's vectors, which Clang knows too. It is compiled without -ffast-math: that assumes that no number
   is infinite or NaN, by which a training that diverges is told, and GCC would have it flush the denormal numbers of
   the whole process to zero. Sums run over independent columns, so that vectors need no reordering. */

#include <stdlib.h>
#include <string.h>

#include "power.h"

/* A tile of the product is ROWS examples by two registers of LANES columns: half the registers there are. */
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 8, WIDTH = 2 * LANES };
#elif defined(__AVX__)
enum { LANES = 8, ROWS = 4, WIDTH = 2 * LANES };
#else
enum { LANES = 4, ROWS = 4, WIDTH = 2 * LANES };
#endif
enum { MOST_ROWS = 16 }; /* of a block */
typedef float vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

enum kind { RELU, TANH, GRU, LSTM };
static const long GATES[] = {1, 1, 3, 4};

/* One call; `loops.py` has the same fields in the same order. Forward fills gates, states and memory (if not null);
   backward reads them and fills d_gates and d_memory. With every = 0 forward's states, backward's d_states are (n, h),
   of the last step alone. A simple cell's `states` are its `gates`. */
struct job {
    int64_t kind, backward, every, n, t, h, threads;
    const int64_t *lengths; /* (n) or null */
    const float *u;         /* (g, h) */
    const float *bias;      /* GRU: (h), what the candidate's product with the state gets added */
    float *gates;           /* (n, t, g): forward, in: W x + b; out: the gates' values */
    float *memory;          /* (n, t, h): GRU: the candidate's product with the state; LSTM: its cells */
    float *states;          /* (n, t, h) or (n, h) */
    const float *d_states;  /* the same */
    float *d_gates;         /* (n, t, g): with respect to W x + b */
    float *d_memory;        /* GRU: (n, t, h): with respect to `memory` */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
};

struct work {
    const struct job *job;
    float *panels;
    long block, next, failed; /* examples at a time; the first that nobody has taken yet; no memory */
};

static long padded(long columns) { return (columns + WIDTH - 1) / WIDTH * WIDTH; }

/* Element (k, j) of a matrix stands at from[k * down + j * across]. Panels: (columns / WIDTH, inner, WIDTH). */
static void pack(const float *from, long inner, long columns, long down, long across, float *to) {
    for (long first = 0; first < columns; first += WIDTH)
        for (long k = 0; k < inner; k++)
            for (long j = first; j < first + WIDTH; j++)
                *to++ = j < columns ? from[k * down + j * across] : 0;
}

static inline void tile(long inner, const float *a, const float *panel, float *out, long wide) {
    vector sum[ROWS][2] = {0};
    for (long k = 0; k < inner; k++) {
        const vector left = *(const vector *)(panel + k * WIDTH), right = *(const vector *)(panel + k * WIDTH + LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            sum[r][0] += a[r * inner + k] * left;
            sum[r][1] += a[r * inner + k] * right;
        }
    }
    for (int r = 0; r < ROWS; r++) {
        *(vector *)(out + r * wide) = sum[r][0];
        *(vector *)(out + r * wide + LANES) = sum[r][1];
    }
}

/* out (rows, padded columns) = a (rows, inner) times the panels; rows are rounded up to whole tiles. */
static void product(long rows, long inner, long columns, const float *a, const float *panels, float *out) {
    for (long first = 0; first < columns; first += WIDTH, panels += inner * WIDTH)
        for (long r = 0; r < rows; r += ROWS)
            tile(inner, a + r * inner, panels, out + r * padded(columns) + first, padded(columns));
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + power(-x)); }

/* Moshier's Cephes, tanhf: a polynomial near 0, where 1 - 2 / (e^2x + 1) would cancel. */
static inline float tangent(float x) {
    const float size = fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float near = p * z * x + x, far = copysignf(1.0f - 2.0f / (power(2.0f * size) + 1.0f), x);
    return size < 0.625f ? near : far;
}

/* Forward, one example, one step: g its gates, s their products with the state h, c its cells, m what a GRU keeps. */
static void simple_step(long units, int relu, const float *restrict g, const float *restrict s, float *restrict h) {
    if (relu)
        for (long j = 0; j < units; j++)
            h[j] = 0 > g[j] + s[j] ? 0 : g[j] + s[j]; /* NaN stays NaN */
    else
        for (long j = 0; j < units; j++)
            h[j] = tangent(g[j] + s[j]);
}

static void gru_step(long units, float *restrict g, const float *restrict s, const float *restrict bias,
                     float *restrict h, float *restrict m) {
    for (long j = 0; j < units; j++) {
        const float reset = sigmoid(g[j] + s[j]), keep = sigmoid(g[units + j] + s[units + j]);
        m[j] = s[2 * units + j] + bias[j];
        const float candidate = tangent(g[2 * units + j] + reset * m[j]);
        g[j] = reset, g[units + j] = keep, g[2 * units + j] = candidate;
        h[j] = candidate + keep * (h[j] - candidate);
    }
}

static void lstm_step(long units, float *restrict g, const float *restrict s, float *restrict h, float *restrict c) {
    for (long j = 0; j < units; j++) {
        const float in = sigmoid(g[j] + s[j]), forget = sigmoid(g[units + j] + s[units + j]);
        const float new = tangent(g[2 * units + j] + s[2 * units + j]), out = sigmoid(g[3 * units + j] + s[3 * units + j]);
        g[j] = in, g[units + j] = forget, g[2 * units + j] = new, g[3 * units + j] = out;
        c[j] = forget * c[j] + in * new;
        h[j] = out * tangent(c[j]);
    }
}

static void forward(const struct work *work, long first, long rows, float *scratch) {
    const struct job *job = work->job;
    const long t = job->t, h = job->h, g = GATES[job->kind] * h, wide = padded(g);
    float *sum = scratch, *state = sum + MOST_ROWS * wide, *memory = state + MOST_ROWS * h;
    for (long step = 0; step < t; step++) {
        if (step)
            product(rows, h, g, state, work->panels, sum);
        for (long r = 0; r < rows; r++) {
            const long example = first + r, place = example * t + step;
            float *own = state + r * h, *kept = memory + r * h, *gates = job->gates + place * g;
            const int running = !job->lengths || step < job->lengths[example];
            if (running && job->kind == GRU)
                gru_step(h, gates, sum + r * wide, job->bias, own, kept);
            else if (running && job->kind == LSTM)
                lstm_step(h, gates, sum + r * wide, own, kept);
            else if (running)
                simple_step(h, job->kind == RELU, gates, sum + r * wide, own);
            if (job->memory)
                memcpy(job->memory + place * h, kept, h * sizeof(float));
            if (job->every || step == t - 1)
                memcpy(job->states + (job->every ? place : example) * h, own, h * sizeof(float));
        }
    }
}

/* Backward, one example, one step: from dh, the gradient of its state (dc, of its cells), to d, that of its products
   with the state before it; dh becomes what reaches that state by no product. A GRU's dn is the candidate's own. */
static void simple_back(long units, int relu, const float *restrict h, float *restrict dh, float *restrict d) {
    if (relu)
        for (long j = 0; j < units; j++)
            d[j] = h[j] <= 0 ? 0 : dh[j];
    else
        for (long j = 0; j < units; j++)
            d[j] = dh[j] * (1 - h[j] * h[j]);
    memset(dh, 0, units * sizeof(float));
}

static void gru_back(long units, const float *restrict g, const float *restrict m, const float *restrict before,
                     float *restrict dh, float *restrict dn, float *restrict d) {
    for (long j = 0; j < units; j++) {
        const float reset = g[j], keep = g[units + j], candidate = g[2 * units + j];
        dn[j] = dh[j] * (1 - keep) * (1 - candidate * candidate);
        d[j] = dn[j] * m[j] * reset * (1 - reset);
        d[units + j] = dh[j] * (before[j] - candidate) * keep * (1 - keep);
        d[2 * units + j] = dn[j] * reset;
        dh[j] *= keep;
    }
}

static void lstm_back(long units, const float *restrict g, const float *restrict c, const float *restrict before,
                      float *restrict dh, float *restrict dc, float *restrict d) {
    for (long j = 0; j < units; j++) {
        const float in = g[j], forget = g[units + j], new = g[2 * units + j], out = g[3 * units + j];
        const float shown = tangent(c[j]), total = dc[j] + dh[j] * out * (1 - shown * shown);
        d[j] = total * new * in * (1 - in);
        d[units + j] = total * before[j] * forget * (1 - forget);
        d[2 * units + j] = total * in * (1 - new * new);
        d[3 * units + j] = dh[j] * shown * out * (1 - out);
        dc[j] = total * forget;
        dh[j] = 0;
    }
}

/* One example's step back, running or past its end, where its state passes through. zeros: what stands before t = 0. */
static void back(const struct job *job, long example, long step, float *dh, float *dc, float *d, const float *zeros) {
    const long h = job->h, g = GATES[job->kind] * h, place = example * job->t + step;
    const float *gates = job->gates + place * g, *state = job->states + place * h;
    const float *kept = job->memory ? job->memory + place * h : 0; /* none in a simple cell */
    float *dg = job->d_gates + place * g;
    const int running = !job->lengths || step < job->lengths[example];
    if (!running)
        memset(d, 0, g * sizeof(float));
    else if (job->kind == GRU)
        gru_back(h, gates, kept, step ? state - h : zeros, dh, dg + 2 * h, d);
    else if (job->kind == LSTM)
        lstm_back(h, gates, kept, step ? kept - h : zeros, dh, dc, d);
    else
        simple_back(h, job->kind == RELU, state, dh, d);
    if (job->kind == GRU)
        memcpy(job->d_memory + place * h, d + 2 * h, h * sizeof(float));
    memcpy(dg, d, (job->kind == GRU && running ? 2 * h : g) * sizeof(float));
}

static void backward(const struct work *work, long first, long rows, float *scratch) {
    const struct job *job = work->job;
    const long t = job->t, h = job->h, g = GATES[job->kind] * h, wide = padded(h);
    float *sum = scratch, *dh = sum + MOST_ROWS * wide, *dc = dh + MOST_ROWS * h, *d = dc + MOST_ROWS * h;
    const float *zeros = d + MOST_ROWS * g;
    for (long step = t - 1; step >= 0; step--) {
        for (long r = 0; r < rows; r++) {
            const long example = first + r, place = job->every ? example * t + step : example;
            if (job->every || step == t - 1)
                for (long j = 0; j < h; j++)
                    dh[r * h + j] += job->d_states[place * h + j];
            back(job, example, step, dh + r * h, dc + r * h, d + r * g, zeros);
        }
        product(rows, g, h, d, work->panels, sum);
        for (long r = 0; r < rows; r++)
            for (long j = 0; j < h; j++)
                dh[r * h + j] += sum[r * wide + j];
    }
}

/* While a thread works here, it takes numbers below the smallest normal one for zero: gradients that vanish through
   hundreds of steps pass there, and an x86 processor takes a hundred times as long for each. */
#ifdef __SSE__
#include <xmmintrin.h>
#else
#define _mm_getcsr() 0u
#define _mm_setcsr(modes) (void)(modes)
#endif

static float *allocate(long floats) { return aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64); }

/* Takes blocks of examples until none is left: a thread that the machine holds up leaves its share to the others. */
static void labour(void *given) {
    struct work *work = given;
    const struct job *job = work->job;
    const long g = GATES[job->kind] * job->h, floats = MOST_ROWS * (2 * job->h + g + padded(g)) + job->h;
    float *scratch = allocate(floats);
    if (!scratch) {
        __atomic_store_n(&work->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(modes | 0x8040); /* results to zero, operands as zero */
    long first;
    while ((first = __atomic_fetch_add(&work->next, work->block, __ATOMIC_RELAXED)) < job->n) {
        const long rows = job->n - first < work->block ? job->n - first : work->block;
        memset(scratch, 0, floats * sizeof(float));
        (job->backward ? backward : forward)(work, first, rows, scratch);
    }
    _mm_setcsr(modes);
    free(scratch);
}

/* Returns: 0, or 1 without memory. */
int recurrence(const struct job *job) {
    const long h = job->h, g = GATES[job->kind] * h, share = (job->n + job->threads - 1) / job->threads;
    const long inner = job->backward ? g : h, columns = job->backward ? h : g;
    struct work work = {job, allocate(inner * padded(columns)), share > ROWS ? MOST_ROWS : ROWS, 0, 0};
    if (!work.panels)
        return 1;
    pack(job->u, inner, columns, job->backward ? h : 1, job->backward ? 1 : h, work.panels);
    if (job->parallel && job->threads > 1 && job->n > work.block)
        job->parallel(labour, &work, (unsigned)job->threads, 0);
    else
        labour(&work);
    free(work.panels);
    return (int)work.failed;
}
