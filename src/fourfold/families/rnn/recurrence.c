/* The loops over time of `recurrence.py`, forward and backward, for a CPU: what its operators do, without their overhead.

   Shapes: n examples, t steps, h hidden units, g gates times h; every array is whole and row-major. A few examples
   (a block) go through all of time before the next ones do, so that their states stay in the nearest cache, and the
   weights are copied once into panels as wide as two registers, in the order in which the products read them.

   Plain C with GCC's vectors, which Clang knows too. It is compiled without -ffast-math: that assumes that no number
   is infinite or NaN, by which a training that diverges is told, and GCC would have it flush the denormal numbers of
   the whole process to zero. Sums run over independent columns, so that vectors need no reordering. */

#include "cell.h"

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

static inline float sigmoid(float x) { return 1.0f / (1.0f + power(-x)); }

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
            product(rows, h, g, state, h, work->panels, sum, wide, 0);
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
        product(rows, g, h, d, g, work->panels, sum, wide, 0);
        for (long r = 0; r < rows; r++)
            for (long j = 0; j < h; j++)
                dh[r * h + j] += sum[r * wide + j];
    }
}

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
    const unsigned modes = vanish();
    long first;
    while ((first = __atomic_fetch_add(&work->next, work->block, __ATOMIC_RELAXED)) < job->n) {
        const long rows = job->n - first < work->block ? job->n - first : work->block;
        memset(scratch, 0, floats * sizeof(float));
        (job->backward ? backward : forward)(work, first, rows, scratch);
    }
    restore(modes);
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
