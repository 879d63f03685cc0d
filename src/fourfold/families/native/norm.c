/* Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) with what is added to it and the activation after it, and
   their gradients: two passes over the maps each way, where torch's operators take three to five.

   Maps have their channels last: `rows` of `wide` numbers, whole. wide is a multiple of 16, the numbers of the largest
   registers: of few or odd channels `fold` places make one row. A block is `block` rows and has sums of its own, which
   are added in order, so that the number of threads changes no bit. Compiled without -ffast-math: see `recurrence.c`.

   Eight rows at a time are added in single precision, as differences from the first and squares about their own mean,
   so that a small variance beside a large mean survives; all that follows is added in double. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* One call; `norm.py` has the same fields in the same order. What is not there is null. */
struct job {
    int64_t rows, channels, fold, block, training, threads;
    double momentum, eps, slope;               /* slope: of what is not positive; 1: no activation, 0: relu */
    const float *x, *shortcut, *weight, *bias; /* shortcut: is added before the activation */
    float *running_mean, *running_var;
    float *kept;  /* (KEPT, wide): forward fills it, backward reads it */
    double *sums; /* (blocks, 2, wide): of values and squares; backward: of gradients and their products with x */
    float *y;     /* backward: null where x tells its sign */
    const float *dy;
    float *d_shortcut;   /* the gradient before the activation; null if dy is that, or nobody wants it */
    float *dx, *mixture; /* mixture: (2, wide), what backward multiplies x by and adds */
    float *d_weight, *d_bias;
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
};

/* A channel becomes (x - center) scale + offset. Its mean is center + low, since a single float would round a large
   one by more than small deviations are; inverse is one over its standard deviation. */
enum { CENTER, LOW, INVERSE, SCALE, OFFSET, KEPT };

/* Channels that are taken at a time are a register, or compilers take them one by one. */
#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
enum { ROWS = 8 };       /* that are added at a time */
enum { AHEAD = 2048 };   /* numbers: two pages */
enum { NEAR = 1 << 18 }; /* numbers that a core's own cache may be expected to hold until somebody reads them */
typedef float numbers __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t places __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef double doubles __attribute__((vector_size(LANES * 8), aligned(8), may_alias));
#define INLINE static inline __attribute__((always_inline))

INLINE numbers load(const float *from) { return *(const numbers *)from; }

/* From maps. Processors call for what comes next by themselves, but not past a page's end. */
INLINE numbers fetch(const float *from) {
    __builtin_prefetch(from + AHEAD);
    return load(from);
}

/* To maps; if they are large, past the caches, which would read each line before it is written. */
INLINE void store(int past, float *to, numbers values) {
#ifdef __SSE__
    if (past && (uintptr_t)to % sizeof(__m128) == 0)
        for (int k = 0; k < LANES; k += 4)
            _mm_stream_ps(to + k, *(const __m128 *)((const float *)&values + k));
    else
#endif
        *(numbers *)to = values;
}

INLINE doubles wider(numbers values) { return __builtin_convertvector(values, doubles); }

/* The values where what the activation is given is positive or NaN, elsewhere times the slope: 0 if that is 0. */
INLINE numbers activated(numbers given, numbers values, float slope) {
    const places below = given <= 0, leaks = (places){0} - (slope != 0);
    return (numbers)((below & leaks & (places)(slope * values)) | (~below & (places)values));
}

INLINE numbers normal(numbers from_center, const float *kept, long wide) {
    return from_center * load(kept + SCALE * wide) + load(kept + OFFSET * wide);
}

/* The four passes. Each takes LANES channels, the first of which is `channel`, of some rows from index `at` of the maps
   on; passes that add up take ROWS of them or 1, the others 1, in the order of memory. sums are those channels' own. */
typedef void pass(const struct job *job, long at, long wide, int rows, long channel, double *sums);

INLINE void add_squares(const struct job *job, long at, long wide, int rows, long channel, double *sums) {
    (void)channel;
    const float *x = job->x + at;
    const numbers first = fetch(x);
    numbers from_first[ROWS] = {0}, sum = {0}, spread = {0};
    for (int r = 1; r < rows; r++) {
        from_first[r] = fetch(x + r * wide) - first;
        sum += from_first[r];
    }
    const numbers mean = sum / (float)rows;
    for (int r = 0; r < rows; r++)
        spread += (from_first[r] - mean) * (from_first[r] - mean);
    const doubles total = wider(first) * (double)rows + wider(sum);
    *(doubles *)sums += total;
    *(doubles *)(sums + wide) += wider(spread) + total * total / (double)rows;
}

INLINE void normalise(const struct job *job, long at, long wide, int rows, long channel, double *sums) {
    (void)rows, (void)sums;
    const float *kept = job->kept + channel;
    numbers value = normal(fetch(job->x + at) - load(kept), kept, wide);
    if (job->shortcut)
        value += fetch(job->shortcut + at);
    store(job->rows * wide > NEAR, job->y + at, activated(value, value, (float)job->slope));
}

INLINE void add_products(const struct job *job, long at, long wide, int rows, long channel, double *sums) {
    const float *kept = job->kept + channel;
    numbers sum = {0}, product = {0};
    for (int r = 0; r < rows; r++, at += wide) {
        const numbers from_center = fetch(job->x + at) - load(kept);
        const numbers given = job->y ? fetch(job->y + at) : normal(from_center, kept, wide);
        const numbers gradient = activated(given, fetch(job->dy + at), (float)job->slope);
        if (job->d_shortcut) /* past the caches only whole lines are fast, and here rows take turns */
            store(LANES == 16 && job->rows * wide > NEAR, job->d_shortcut + at, gradient);
        sum += gradient;
        product += gradient * from_center;
    }
    *(doubles *)sums += wider(sum);
    *(doubles *)(sums + wide) += wider(product);
}

INLINE void mix(const struct job *job, long at, long wide, int rows, long channel, double *sums) {
    (void)rows, (void)sums;
    const float *kept = job->kept + channel, *mixture = job->mixture + channel;
    const numbers from_center = fetch(job->x + at) - load(kept);
    const numbers gradient =
        job->d_shortcut ? fetch(job->d_shortcut + at)
                        : activated(normal(from_center, kept, wide), fetch(job->dy + at), (float)job->slope);
    const numbers rest = from_center * load(mixture) + load(mixture + wide);
    store(job->rows * wide > NEAR, job->dx + at, gradient * load(kept + SCALE * wide) + rest);
}

/* A pass through a block, some rows at a time. The job is copied, or every number that is stored might change it. */
INLINE void block(pass *through, int rows, const struct job *given, long number) {
    const struct job own = *given;
    const long wide = own.channels * own.fold;
    long row = number * own.block;
    const long last = row + own.block < own.rows ? row + own.block : own.rows;
    double *sums = own.sums + number * 2 * wide;
    if (rows > 1)
        memset(sums, 0, 2 * wide * sizeof(double));
    for (; row + rows <= last; row += rows)
        for (long c = 0; c < wide; c += LANES)
            through(&own, row * wide + c, wide, rows, c, sums + c);
    for (; row < last; row++)
        for (long c = 0; c < wide; c += LANES)
            through(&own, row * wide + c, wide, 1, c, sums + c);
}

static void squares_of(const struct job *job, long number) { block(add_squares, ROWS, job, number); }
static void normalise_all(const struct job *job, long number) { block(normalise, 1, job, number); }
static void products_of(const struct job *job, long number) { block(add_products, ROWS, job, number); }
static void mix_all(const struct job *job, long number) { block(mix, 1, job, number); }

struct work {
    const struct job *job;
    void (*through)(const struct job *, long number);
    long blocks, next; /* next: the first that nobody has taken yet */
    int back;          /* from the last block to the first */
};

static void labour(void *given) {
    struct work *work = given;
    long taken;
    while ((taken = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED)) < work->blocks)
        work->through(work->job, work->back ? work->blocks - 1 - taken : taken);
#ifdef __SSE__
    _mm_sfence(); /* what went past the caches is there before another thread goes on */
#endif
}

static long blocks_of(const struct job *job) { return (job->rows + job->block - 1) / job->block; }

/* A second pass goes back, since what the first read last is still near. */
static void pass_over(const struct job *job, void (*through)(const struct job *, long), int back) {
    struct work work = {job, through, blocks_of(job), 0, back};
    if (job->parallel && job->threads > 1 && work.blocks > 1)
        job->parallel(labour, &work, (unsigned)job->threads, 0);
    else
        labour(&work);
}

/* The sums of all blocks and of all places that share a row: those of the channels, where the first block's were. */
static void add_up(const struct job *job) {
    const long channels = job->channels, wide = channels * job->fold;
    double *sums = job->sums;
    for (long number = 1; number < blocks_of(job); number++)
        for (long j = 0; j < 2 * wide; j++)
            sums[j] += sums[number * 2 * wide + j];
    for (long j = channels; j < wide; j++) {
        sums[j % channels] += sums[j];
        sums[wide + j % channels] += sums[wide + j];
    }
}

/* A number of a channel, at each of its places in a row. */
static void spread(const struct job *job, float *line, long channel, double value) {
    for (long place = 0; place < job->fold; place++)
        line[place * job->channels + channel] = (float)value;
}

/* In training the moments are those of the batch, and the running ones follow them; else they are the running ones. */
void norm_forward(const struct job *job) {
    const long wide = job->channels * job->fold;
    const double n = (double)(job->rows * job->fold);
    if (job->training) {
        pass_over(job, squares_of, 0);
        add_up(job);
    }
    for (long c = 0; c < job->channels; c++) {
        double mean = job->running_mean[c], variance = job->running_var[c];
        if (job->training) {
            mean = job->sums[c] / n, variance = job->sums[wide + c] / n - mean * mean;
            variance = variance < 0 ? 0 : variance; /* NaN stays NaN */
            const double keep = 1 - job->momentum, unbiased = variance * n / (n - 1);
            job->running_mean[c] = (float)(keep * job->running_mean[c] + job->momentum * mean);
            job->running_var[c] = (float)(keep * job->running_var[c] + job->momentum * unbiased);
        }
        const double inverse = 1 / sqrt(variance + job->eps), scale = inverse * job->weight[c];
        const double low = mean - (float)mean;
        const double values[KEPT] = {mean, low, inverse, scale, job->bias[c] - low * scale};
        for (int k = 0; k < KEPT; k++)
            spread(job, job->kept + k * wide, c, values[k]);
    }
    pass_over(job, normalise_all, 1);
}

/* With g the gradient before the activation, x^ the normalised maps and means over all places of a channel,
   dx = scale (g - mean(g) - x^ mean(g x^)); the two means are absent where the moments are the running ones. */
void norm_backward(const struct job *job) {
    const long wide = job->channels * job->fold;
    const double n = (double)(job->rows * job->fold);
    pass_over(job, products_of, 0);
    add_up(job);
    for (long c = 0; c < job->channels; c++) {
        const double low = job->kept[LOW * wide + c], inverse = job->kept[INVERSE * wide + c];
        const double share = job->training ? -(double)job->kept[SCALE * wide + c] / n : 0, sum = job->sums[c];
        const double product = inverse * (job->sums[wide + c] - low * sum), slope = share * inverse * product;
        job->d_weight[c] = (float)product;
        job->d_bias[c] = (float)sum;
        spread(job, job->mixture, c, slope);
        spread(job, job->mixture + wide, c, share * sum - slope * low);
    }
    pass_over(job, mix_all, 1);
}
