/* What several of the kernels in C need. */

#ifndef FOURFOLD_POWER
#define FOURFOLD_POWER

#include <math.h>
#include <stdint.h>

/* e^x to about 1e-7 between the largest and the smallest normal number, and their powers beyond; NaN stays NaN.
   Moshier's Cephes, expf; the whole part is rounded by a number that leaves no bits behind the point. */
static inline float power(float x) {
    const float shift = 12582912.0f; /* 1.5 * 2^23 */
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    const float shifted = x * 1.44269504088896341f + shift, whole = shifted - shift;
    const float r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    union { float number; uint32_t bits; } scale = {shifted};
    scale.bits = (scale.bits - 0x4b400000u + 127u) << 23; /* the bits of 2^23 * 1.5, and of 2^0 */
    return (p * r * r + r + 1.0f) * scale.number;
}

#endif
