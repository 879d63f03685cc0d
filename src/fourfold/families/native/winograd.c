/* A convolution 3 by 3 of stride 1, padded by 1, and its gradients, in 16 multiplications where there are 36.

   Winograd's F(2x2, 3x3), after Lavin and Gray (arXiv 1509.09308): two by two places of what comes out are
   y = A' [(G g G') * (B' d B)] A, for a tile d of four by four places of what goes in, and a kernel g. With channels,
   the product in brackets is one of matrices for each of 16 places: tiles by channels in, channels in by channels out.
   The gradient of the input is the same convolution with the kernels turned and the channels exchanged; that of the
   weights is G' [sum over tiles of (B' d B) * (A dy A')] G.

   Maps have their channels last: (n, height, width, channels), whole, the channels a multiple of 16. A few tiles (a
   block) are transformed, multiplied and transformed back at a time, so that what lies between stays in a thread's own
   caches. Every sum is taken in an order that the shapes alone fix: the number of threads changes no bit. What is
   infinite or NaN spoils all of the tiles that see it. Compiled without -ffast-math: see `recurrence.c`. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "labour.h"
#include "product.h"

/* `winograd.py` has the same fields in the same order. */
struct job {
    int64_t n, height, width, inputs, outputs, threads, gradient;
    int64_t by_output, by_input, by_row, by_column; /* floats from a weight to the next one that way */
    float *x, *y, *weight; /* y of x and weight; gradient: that of the weight of x and of y's gradient */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
};

enum {
    PLACES = 16,                /* of a transformed tile */
    GROUP = 16,                 /* channels come in groups of so many */
    NEAR = 1 << 18,             /* floats that a block keeps: half of a cache of 2 MiB */
    MOST_TILES = 96,            /* of a block; more gain nothing */
    SIDE = 64,                  /* channels in and out for which the weights' products are summed at once */
    SUM = PLACES * SIDE * SIDE, /* floats of such a sum */
    STEP = 64,                  /* tiles that are added to it at a time, by themselves first, which rounds less */
    UNITS = 32,                 /* sums, unless the channels need more: as many threads can work */
    LEAST_TILES = 256,          /* for which another sum pays */
};

struct work {
    const struct job *job;
    long down, across, tiles; /* in a picture, one way and the other; in all */
    long block;               /* tiles at a time */
    long sides_in, sides_out; /* the channels over SIDE, rounded up */
    long chunks;              /* of the tiles, each with sums of its own */
    float *between;           /* the transformed weights, (outputs / WIDTH, 16, inputs, WIDTH); or all sums */
    struct labour labour;     /* whose zeros stay what they are */
};

/* Some channels of some tiles. */
struct part {
    long tile, tiles, channel, channels;
};

static long ceiling(long whole, long part) { return (whole + part - 1) / part; }
static long least(long a, long b) { return a < b ? a : b; }

/* One dimension of the transforms: B'd, A'm, Ay, Gg and G'u. */
INLINE void of_input(const vector *d, vector *t) {
    t[0] = d[0] - d[2], t[1] = d[1] + d[2], t[2] = d[2] - d[1], t[3] = d[1] - d[3];
}

INLINE void to_output(const vector *m, vector *t) { t[0] = m[0] + m[1] + m[2], t[1] = m[1] - m[2] - m[3]; }

INLINE void of_output(const vector *y, vector *t) {
    t[0] = y[0], t[1] = y[0] + y[1], t[2] = y[0] - y[1], t[3] = -y[1];
}

INLINE void of_kernel(const vector *g, vector *t) {
    t[0] = g[0], t[1] = 0.5f * (g[0] + g[1] + g[2]), t[2] = 0.5f * (g[0] - g[1] + g[2]), t[3] = g[2];
}

INLINE void to_kernel(const vector *u, vector *t) {
    t[0] = u[0] + 0.5f * (u[1] + u[2]), t[1] = 0.5f * (u[1] - u[2]), t[2] = 0.5f * (u[1] + u[2]) + u[3];
}

/* Both dimensions, columns first: from `side` by `side` vectors to `sides` by `sides`. */
INLINE void both(void (*one)(const vector *, vector *), int side, int sides, const vector *in, vector *out) {
    vector half[4][4];
#pragma GCC unroll 4
    for (int x = 0; x < side; x++) {
        vector column[4], turned[4];
#pragma GCC unroll 4
        for (int y = 0; y < side; y++)
            column[y] = in[y * side + x];
        one(column, turned);
#pragma GCC unroll 4
        for (int y = 0; y < sides; y++)
            half[y][x] = turned[y];
    }
#pragma GCC unroll 4
    for (int y = 0; y < sides; y++)
        one(half[y], out + y * sides);
}

/* Where a tile's places stand: its 2 by 2 of y, or the 4 by 4 of x around them. For what is outside: `outside`. */
INLINE void look(const struct work *work, int of_y, long tile, float *outside, float **at) {
    const struct job *job = work->job;
    const long height = job->height, width = job->width, row = tile / work->across;
    const long top = row % work->down * 2 - !of_y, left = tile % work->across * 2 - !of_y;
    const long first = (row / work->down * height + top) * width + left, side = of_y ? 2 : 4;
#pragma GCC unroll 4
    for (long y = 0; y < side; y++)
#pragma GCC unroll 4
        for (long x = 0; x < side; x++) {
            const int inside = top + y >= 0 && top + y < height && left + x >= 0 && left + x < width;
            const long place = first + y * width + x;
            at[y * side + x] = !inside ? outside : of_y ? job->y + place * job->outputs : job->x + place * job->inputs;
        }
}

/* Transforms a part of x, or of y's gradient, to tiles that are `wide` floats apart, their 16 places `plane`. */
INLINE void spread(const struct work *work, int of_y, struct part part, float *zeros, float *to, long wide,
                   long plane) {
    const int side = of_y ? 2 : 4;
    for (float *at[PLACES]; part.tiles > 0; part.tiles--, to += wide) {
        look(work, of_y, part.tile++, zeros, at);
        for (long c = 0; c < part.channels; c += LANES) {
            vector in[PLACES], out[PLACES];
#pragma GCC unroll 16
            for (int i = 0; i < side * side; i++)
                in[i] = *(const vector *)(at[i] + part.channel + c);
            both(of_y ? of_output : of_input, side, 4, in, out);
#pragma GCC unroll 16
            for (int i = 0; i < PLACES; i++)
                *(vector *)(to + i * plane + c) = out[i];
        }
    }
}

/* These three are no part of a larger function: its other values would take the registers. */
NOINLINE void spread_x(const struct work *work, struct part part, float *zeros, float *to, long wide, long plane) {
    spread(work, 0, part, zeros, to, wide, plane);
}

NOINLINE void spread_y(const struct work *work, struct part part, float *zeros, float *to, long wide, long plane) {
    spread(work, 1, part, zeros, to, wide, plane);
}

/* A part of y, of products in tiles WIDTH floats apart, their 16 places `plane`; past an odd side it is for nowhere. */
NOINLINE void collect(const struct work *work, struct part part, float *nowhere, const float *from, long plane) {
    for (float *at[4]; part.tiles > 0; part.tiles--, from += WIDTH) {
        look(work, 1, part.tile++, nowhere, at);
        for (long k = 0; k < part.channels; k += LANES) {
            vector in[PLACES], out[4];
#pragma GCC unroll 16
            for (int i = 0; i < PLACES; i++)
                in[i] = *(const vector *)(from + i * plane + k);
            both(to_output, 4, 2, in, out);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                *(vector *)(at[i] + part.channel + k) = out[i];
        }
    }
}

/* A vector of the channels out of one channel in, into its panel. */
static void panel(const struct work *work, long c, long k) {
    const struct job *job = work->job;
    const float *from = job->weight + k * job->by_output + c * job->by_input;
    float *to = work->between + (k / WIDTH * PLACES * job->inputs + c) * WIDTH + k % WIDTH;
    vector g[9], u[PLACES];
    for (int i = 0; i < 9; i++)
        for (int lane = 0; lane < LANES; lane++)
            g[i][lane] = from[lane * job->by_output + i / 3 * job->by_row + i % 3 * job->by_column];
    both(of_kernel, 3, 4, g, u);
    for (int i = 0; i < PLACES; i++)
        *(vector *)(to + i * job->inputs * WIDTH) = u[i];
}

/* Of as many channels in and out as make a group. */
static void panels(const struct work *work, long unit, float *scratch) {
    const long groups = work->job->inputs / GROUP, first = unit % groups * GROUP, column = unit / groups * GROUP;
    (void)scratch;
    for (long c = first; c < first + GROUP; c++)
        for (long k = column; k < column + GROUP; k += LANES)
            panel(work, c, k);
}

/* A block of tiles, from maps to maps. */
static void block(const struct work *work, long unit, float *scratch) {
    const struct job *job = work->job;
    const long inputs = job->inputs, first = unit * work->block, count = least(work->tiles - first, work->block);
    /* A vector more between planes: else all 16 would meet in the same few lines of the cache. */
    const long plane_v = work->block * inputs + LANES, plane_m = work->block * WIDTH + LANES;
    float *zeros = scratch, *nowhere = zeros + inputs, *v = nowhere + job->outputs, *m = v + PLACES * plane_v;
    const float *u = work->between;
    spread_x(work, (struct part){first, count, 0, inputs}, zeros, v, inputs, plane_v);
    for (long k = 0; k < job->outputs; k += WIDTH) {
        const long columns = least(job->outputs - k, WIDTH);
        for (long i = 0; i < PLACES; i++, u += inputs * WIDTH)
            product(HIGH, 0, count, columns, inputs, v + i * plane_v, inputs, 1, u, m + i * plane_m, WIDTH);
        collect(work, (struct part){first, count, k, columns}, nowhere, m, plane_m);
    }
}

/* The weights' products, summed over a chunk of the tiles, for up to SIDE channels in and out: (16, SIDE, SIDE). */
static void sum(const struct work *work, long unit, float *scratch) {
    const struct job *job = work->job;
    const long pairs = work->sides_in * work->sides_out, pair = unit % pairs, chunk = unit / pairs;
    const long c = pair / work->sides_out * SIDE, inputs = least(job->inputs - c, SIDE);
    const long k = pair % work->sides_out * SIDE, outputs = least(job->outputs - k, SIDE);
    const long end = work->tiles * (chunk + 1) / work->chunks, plane = STEP * SIDE + LANES; /* as in `block` */
    float *v = scratch + work->labour.zeros, *w = v + PLACES * plane, *sums = work->between + unit * SUM;
    memset(sums, 0, SUM * sizeof(float));
    for (long first = work->tiles * chunk / work->chunks; first < end; first += STEP) {
        const long count = least(end - first, STEP);
        spread_x(work, (struct part){first, count, c, inputs}, scratch, v, SIDE, plane);
        spread_y(work, (struct part){first, count, k, outputs}, scratch, w, SIDE, plane);
        for (long i = 0; i < PLACES; i++)
            for (long j = 0; j < outputs; j += WIDTH)
                product(LOW, 1, inputs, outputs - j, count, v + i * plane, 1, SIDE, w + i * plane + j,
                        sums + i * SIDE * SIDE + j, SIDE);
    }
}

/* The weights' gradient for one channel in, from the sums of all chunks in their order. */
static void total(const struct work *work, long c, float *scratch) {
    const struct job *job = work->job;
    const long pairs = work->sides_in * work->sides_out;
    (void)scratch;
    for (long k = 0; k < job->outputs; k += LANES) {
        const float *from = work->between + (c / SIDE * work->sides_out + k / SIDE) * SUM + c % SIDE * SIDE + k % SIDE;
        float *to = job->weight + k * job->by_output + c * job->by_input;
        vector u[PLACES] = {0}, g[9];
        for (long chunk = 0; chunk < work->chunks; chunk++)
            for (int i = 0; i < PLACES; i++)
                u[i] += *(const vector *)(from + chunk * pairs * SUM + i * SIDE * SIDE);
        both(to_kernel, 4, 3, u, g);
        for (int lane = 0; lane < LANES; lane++)
            for (int i = 0; i < 9; i++)
                to[lane * job->by_output + i / 3 * job->by_row + i % 3 * job->by_column] = g[i][lane];
    }
}

static int maps(struct work *work) {
    const struct job *job = work->job;
    const long share = ceiling(work->tiles, 4 * job->threads), near = 1 + NEAR / PLACES / (job->inputs + WIDTH);
    work->block = ceiling(least(share, least(near, MOST_TILES)), HIGH) * HIGH;
    work->between = allocate(ceiling(job->outputs, WIDTH) * WIDTH * job->inputs * PLACES);
    work->labour.zeros = job->inputs;
    work->labour.floats = job->inputs + job->outputs + PLACES * (work->block * (job->inputs + WIDTH) + 2 * LANES);
    if (!work->between)
        return 1;
    each(&work->labour, work, job->inputs / GROUP * (job->outputs / GROUP), panels);
    each(&work->labour, work, ceiling(work->tiles, work->block), block);
    return 0;
}

static int weights(struct work *work) {
    const struct job *job = work->job;
    work->sides_in = ceiling(job->inputs, SIDE), work->sides_out = ceiling(job->outputs, SIDE);
    const long pairs = work->sides_in * work->sides_out;
    work->chunks = 1 + least((UNITS - 1) / pairs, work->tiles / LEAST_TILES);
    work->between = allocate(work->chunks * pairs * SUM);
    work->labour.zeros = job->inputs + job->outputs;
    work->labour.floats = work->labour.zeros + 2 * PLACES * (STEP * SIDE + LANES);
    if (!work->between)
        return 1;
    each(&work->labour, work, work->chunks * pairs, sum);
    each(&work->labour, work, job->inputs, total);
    return 0;
}

/* Returns: 0, or 1 without memory. */
int winograd(const struct job *job) {
    struct work work = {.job = job, .down = ceiling(job->height, 2), .across = ceiling(job->width, 2)};
    work.labour = (struct labour){.parallel = job->parallel, .threads = job->threads};
    work.tiles = job->n * work.down * work.across;
    const int failed = job->gradient ? weights(&work) : maps(&work);
    free(work.between);
    return failed || work.labour.failed;
}
