/* The greatest of every 2 by 2 places, and zero where that is less: max pooling and relu in one pass, and their gradient.

   Maps have their channels last: (n, height, width, channels), whole. A place remembers in a byte which of the four it
   took, 0 to 3, or 4 for zero. Of equal ones the first is taken, and NaN goes before all numbers, as in torch. What is
   over of an odd side is not read, and its gradient is zero. Compiled without -ffast-math: see `recurrence.c`. */

#include <stdint.h>
#include <string.h>

/* `pooling.py` has the same fields in the same order. */
struct job {
    int64_t n, height, width, channels, backward, threads;
    float *x, *y; /* the maps and what is pooled of them; backward: their gradients */
    uint8_t *taken;
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
    int64_t next; /* the first row of what is pooled that nobody has taken yet; 0 */
};

/* Channels that are taken at a time: GCC breaks vectors wider than the processor's into single numbers. */
#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
enum { ROWS = 16 }; /* that are taken at a time */
typedef float numbers __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t places __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

static inline numbers either(places first, numbers a, numbers b) {
    return (numbers)((first & (places)a) | (~first & (places)b));
}

/* Some channels of one place; vectors are written by hand, since compilers take 64 channels at once or none. */
static inline void forward(const float *above, const float *below, long channels, float *y, uint8_t *taken) {
    const numbers in[] = {*(const numbers *)above, *(const numbers *)(above + channels), *(const numbers *)below,
                          *(const numbers *)(below + channels)};
    numbers best = in[0];
    places place = {0};
    for (int32_t k = 1; k < 4; k++) {
        const places over = (in[k] > best) | (in[k] != in[k]);
        best = either(over, in[k], best);
        place = (over & k) | (~over & place);
    }
    const places none = best <= 0;
    *(numbers *)y = either(none, (numbers){0}, best);
    *(bytes *)taken = __builtin_convertvector((none & 4) | (~none & place), bytes);
}

static inline void backward(float *above, float *below, long channels, const float *y, const uint8_t *taken) {
    const places place = __builtin_convertvector(*(const bytes *)taken, places), given = (places)*(const numbers *)y;
    *(places *)above = (place == 0) & given;
    *(places *)(above + channels) = (place == 1) & given;
    *(places *)below = (place == 2) & given;
    *(places *)(below + channels) = (place == 3) & given;
}

/* What is left of the channels. */
static void forward_one(const float *above, const float *below, long channels, float *y, uint8_t *taken) {
    const float in[] = {above[0], above[channels], below[0], below[channels]};
    int place = 0;
    for (int k = 1; k < 4; k++)
        if (in[k] > in[place] || in[k] != in[k])
            place = k;
    *y = in[place] <= 0 ? 0 : in[place];
    *taken = in[place] <= 0 ? 4 : (uint8_t)place;
}

static void backward_one(float *above, float *below, long channels, const float *y, const uint8_t *taken) {
    above[0] = *taken == 0 ? *y : 0;
    above[channels] = *taken == 1 ? *y : 0;
    below[0] = *taken == 2 ? *y : 0;
    below[channels] = *taken == 3 ? *y : 0;
}

static void all_channels(int way, long channels, float *above, float *below, float *y, uint8_t *taken) {
    long c = 0;
    if (way)
        for (; c + LANES <= channels; c += LANES)
            backward(above + c, below + c, channels, y + c, taken + c);
    else
        for (; c + LANES <= channels; c += LANES)
            forward(above + c, below + c, channels, y + c, taken + c);
    for (; c < channels; c++)
        if (way)
            backward_one(above + c, below + c, channels, y + c, taken + c);
        else
            forward_one(above + c, below + c, channels, y + c, taken + c);
}

/* One row of what is pooled: two of the maps. */
static void row(const struct job *job, long number) {
    const long half = job->height / 2, across = job->width / 2, channels = job->channels;
    const long line = job->width * channels, first = (number / half * job->height + number % half * 2) * line;
    float *above = job->x + first, *below = above + line, *y = job->y + number * across * channels;
    uint8_t *taken = job->taken + number * across * channels;
    for (long j = 0; j < across; j++, above += 2 * channels, below += 2 * channels, y += channels, taken += channels)
        all_channels(job->backward != 0, channels, above, below, y, taken);
    if (job->backward && job->width % 2) {
        memset(above, 0, channels * sizeof(float));
        memset(below, 0, channels * sizeof(float));
    }
    if (job->backward && job->height % 2 && number % half == half - 1)
        memset(job->x + first + 2 * line, 0, line * sizeof(float));
}

static void labour(void *given) {
    struct job *job = given;
    const long rows = job->n * (job->height / 2);
    long first;
    while ((first = __atomic_fetch_add(&job->next, ROWS, __ATOMIC_RELAXED)) < rows)
        for (long number = first; number < rows && number < first + ROWS; number++)
            row(job, number);
}

void pooling(struct job *job) {
    if (job->parallel && job->threads > 1 && job->n * (job->height / 2) > 4 * ROWS)
        job->parallel(labour, job, (unsigned)job->threads, 0);
    else
        labour(job);
}
