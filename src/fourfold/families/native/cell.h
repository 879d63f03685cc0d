/* What the kernels of recurrent networks share: products with packed weights, tanh, scratch, numbers that vanish.

   Matrices are row-major; products read a matrix that is packed into panels as wide as two registers, in the order in
   which they need it. Sums run over independent columns, so that vectors need no reordering. */

#ifndef FOURFOLD_CELL
#define FOURFOLD_CELL

#include <string.h>

#include "memory.h"
#include "power.h"

/* A tile of a product is ROWS examples by two registers of LANES columns: half the registers there are. */
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 8, WIDTH = 2 * LANES };
#elif defined(__AVX__)
enum { LANES = 8, ROWS = 4, WIDTH = 2 * LANES };
#else
enum { LANES = 4, ROWS = 4, WIDTH = 2 * LANES };
#endif
enum { MOST_ROWS = 16 }; /* of a block: examples that go through all of time together */
typedef float vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline long rounded(long count, long to) { return (count + to - 1) / to * to; }
static inline long padded(long columns) { return rounded(columns, WIDTH); }

/* Element (k, j) of a matrix stands at from[k * down + j * across]. Panels: (columns / WIDTH, inner, WIDTH). */
static void pack(const float *from, long inner, long columns, long down, long across, float *to) {
    for (long first = 0; first < columns; first += WIDTH)
        for (long k = 0; k < inner; k++)
            for (long j = first; j < first + WIDTH; j++)
                *to++ = j < columns ? from[k * down + j * across] : 0;
}

/* out (ROWS, WIDTH) = or += a times b. Element (r, k) of a stands at a[r * down + k * across], row k of b at
   b + k * below, row r of out at out + r * wide. What is added is summed up before: a long sum is one of short ones. */
static inline void tile(long inner, const float *a, long down, long across, const float *b, long below, float *out,
                        long wide, int add) {
    vector sum[ROWS][2] = {0};
    for (long k = 0; k < inner; k++) {
        const vector left = *(const vector *)(b + k * below), right = *(const vector *)(b + k * below + LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            sum[r][0] += a[r * down + k * across] * left;
            sum[r][1] += a[r * down + k * across] * right;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
        vector *left = (vector *)(out + r * wide), *right = (vector *)(out + r * wide + LANES);
        if (add)
            sum[r][0] += *left, sum[r][1] += *right;
        *left = sum[r][0], *right = sum[r][1];
    }
}

/* out (rows, padded columns) = or += a (rows, inner) times the panels; rows are rounded up to whole tiles. The rows of
   a stand `down` apart, those of out `wide`. */
static inline void product(long rows, long inner, long columns, const float *a, long down, const float *panels,
                           float *out, long wide, int add) {
    for (long first = 0; first < columns; first += WIDTH, panels += inner * WIDTH)
        for (long r = 0; r < rows; r += ROWS)
            tile(inner, a + r * down, down, 1, panels, WIDTH, out + r * wide + first, wide, add);
}

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

/* A simple cell's step back, one example: from dh, the gradient of its state h, to d, that of its products with the
   state before it; dh becomes what reaches that state by no product: nothing. */
static inline void simple_back(long units, int relu, const float *restrict h, float *restrict dh, float *restrict d) {
    if (relu)
        for (long j = 0; j < units; j++)
            d[j] = h[j] <= 0 ? 0 : dh[j];
    else
        for (long j = 0; j < units; j++)
            d[j] = dh[j] * (1 - h[j] * h[j]);
    memset(dh, 0, units * sizeof(float));
}

/* Between vanish() and restore() of what it returned, a thread takes numbers below the smallest normal one for zero:
   gradients that vanish through hundreds of steps pass there, and an x86 processor takes a hundred times as long for
   each. */
#ifdef __SSE__
#include <xmmintrin.h>
static inline unsigned vanish(void) {
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(modes | 0x8040); /* results to zero, operands as zero */
    return modes;
}
static inline void restore(unsigned modes) { _mm_setcsr(modes); }
#else
static inline unsigned vanish(void) { return 0; }
static inline void restore(unsigned modes) { (void)modes; }
#endif

#endif
