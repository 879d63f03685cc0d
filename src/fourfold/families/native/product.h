/* Products of matrices, in tiles that stay in the processor's registers while they are summed. GCC's vectors, which
   Clang knows too; every loop over `rows` and `vectors` is unrolled, so these must be constants where it is called. */

#ifndef PRODUCT_H
#define PRODUCT_H

/* A tile is HIGH or LOW rows by two vectors: HIGH by two are the most that leave registers for what is multiplied,
   LOW divides 16. */
#if defined(__AVX512F__)
enum { LANES = 16, HIGH = 12, LOW = 8, WIDTH = 2 * LANES };
#elif defined(__AVX__)
enum { LANES = 8, HIGH = 6, LOW = 4, WIDTH = 2 * LANES };
#else
enum { LANES = 4, HIGH = 6, LOW = 4, WIDTH = 2 * LANES };
#endif
typedef float vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

/* out (rows, vectors * LANES) = a (rows, inner) times b (inner, vectors * LANES); if `more`, that is added to out.
   Element (r, k) of a stands at a[r * down + k * along]; the rows of b and out are `wide` floats apart. */
INLINE void tile(int rows, int vectors, int more, long inner, const float *a, long down, long along, const float *b,
                 float *out, long wide) {
    vector sum[HIGH][2] = {0};
    for (long k = 0; k < inner; k++, a += along, b += wide) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sum[r][v] += a[r * down] * *(const vector *)(b + v * LANES);
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            vector *place = (vector *)(out + r * wide + v * LANES);
            if (more)
                sum[r][v] += *place;
            *place = sum[r][v];
        }
}

/* Tiles below one another until `rows` are covered: two vectors wide, or one if that is all there is of `columns`. */
INLINE void product(int high, int more, long rows, long columns, long inner, const float *a, long down, long along,
                    const float *b, float *out, long wide) {
    for (long r = 0; r < rows; r += high, a += high * down, out += high * wide)
        if (columns > LANES)
            tile(high, 2, more, inner, a, down, along, b, out, wide);
        else
            tile(high, 1, more, inner, a, down, along, b, out, wide);
}

#endif
