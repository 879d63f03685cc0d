/* One step of the source article's recurrent network: the loss of a batch and the gradients of all weights, in a call.

   h_t = activation(U h_{t-1} + b + W x_t), logits = V h_T + c, and the cross-entropy of softmax(logits) as a mean.
   Shapes: n examples, t steps, f features, h hidden units, k classes; every array is whole and row-major.

   A block of examples goes through all of time before the next one does. Its scratch keeps [h_{t-1}, 1, x_t] side by
   side for every step, so that one product with [U b W] makes a step, and another over many steps and all examples the
   gradients of the three. Blocks are dealt to parts by their numbers alone; each part has its own sums, which are
   added in the order of the parts: no bit depends on the number of threads. Compiled as `recurrence.c` is. */

#include "cell.h"

enum { CHUNK = 4, MOST_PARTS = 64 }; /* a chunk: steps of a block that the nearest cache holds until they are summed */

/* `whole.py` has the same fields in the same order. */
struct job {
    int64_t n, t, f, h, k, relu, threads;
    const int64_t *lengths, *labels;      /* (n); lengths or null; labels, or null with: */
    const float *shares;                  /* (n, k), the probabilities of the classes */
    const float *x;                       /* (n, t, f); what stands past the lengths is not read */
    const float *w, *u, *b, *v, *c;       /* (h, f), (h, h), (h), (k, h), (k) */
    float *d_w, *d_u, *d_b, *d_v, *d_c;   /* the same; null: only the loss is wanted */
    float *loss;                          /* () */
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned); /* OpenMP's entry, or null */
    float smoothing;                      /* the share of each label that goes to all classes alike */
};

/* Distances are in floats. A part's sums: the gradients of [U b W], (inner, wide), and of [V c], (h + 1, across), both
   transposed and in whole tiles. */
struct work {
    const struct job *job;
    long inner, deep, wide, across; /* h + 1 + f; rows of [h, 1, x], of states and of logits, with their padding */
    long blocks, parts, sums;       /* blocks in a part, parts, a part's sums */
    long scratch;                   /* a thread's */
    float *step, *back, *dense, *dense_back; /* panels of [U b W], U, [V c], V */
    float *gradients, *rooms;                /* of all parts; of all threads */
    double losses[MOST_PARTS];
    long next, workers, wrong; /* the first part that nobody has taken yet; threads that have begun; a label is none */
};

/* A block: rows, in whole tiles, and how many steps each of them has. Rows past the last example have none. */
struct block {
    long first, rows, t, ends[MOST_ROWS];
    float *z; /* (t + 1, rows, deep) */
};

static void activate(long units, int relu, float *h) {
    if (relu)
        for (long j = 0; j < units; j++)
            h[j] = 0 > h[j] ? 0 : h[j]; /* NaN stays NaN */
    else
        for (long j = 0; j < units; j++)
            h[j] = tangent(h[j]);
}

static struct block begin(const struct job *job, long first, float *z) {
    const long left = job->n - first, rows = left < MOST_ROWS ? left : MOST_ROWS;
    struct block block = {first, rounded(rows, ROWS), 0, {0}, z};
    for (long r = 0; r < rows; r++) {
        const long length = job->lengths ? job->lengths[first + r] : job->t;
        block.ends[r] = length < job->t ? length : job->t;
        block.t = block.t < block.ends[r] ? block.ends[r] : block.t;
    }
    return block;
}

/* Fill z; past its own end a state stays as it was. */
static void forward(const struct work *work, const struct block *block) {
    const struct job *job = work->job;
    const long f = job->f, h = job->h, deep = work->deep, rows = block->rows;
    float *z = block->z;
    for (long r = 0; r < rows; r++)
        memset(z + r * deep, 0, h * sizeof(float));
    for (long step = 0; step < block->t; step++) {
        float *next = z + rows * deep;
        for (long r = 0; r < rows; r++) {
            float *entered = z + r * deep + h;
            *entered++ = 1;
            if (step < block->ends[r])
                memcpy(entered, job->x + ((block->first + r) * job->t + step) * f, f * sizeof(float));
            else
                memset(entered, 0, f * sizeof(float));
        }
        product(rows, work->inner, h, z, deep, work->step, next, deep, 0);
        for (long r = 0; r < rows; r++)
            if (step < block->ends[r])
                activate(h, job->relu, next + r * deep);
            else
                memcpy(next + r * deep, z + r * deep, h * sizeof(float));
        z = next;
    }
    for (long r = 0; r < rows; r++)
        z[r * deep + h] = 1; /* what c is multiplied by */
}

/* One example's loss; its logits become the loss's gradient with respect to them, times scale. */
static double judge(struct work *work, long example, float *restrict logits, float scale) {
    const struct job *job = work->job;
    const long k = job->k, label = job->labels ? job->labels[example] : 0;
    const float *given = job->shares ? job->shares + example * k : 0;
    const float rest = job->smoothing / k, share = 1 - job->smoothing;
    float most = logits[0];
    double total = 0, weighted = 0, sum = 0;
    if (label < 0 || label >= k)
        __atomic_store_n(&work->wrong, 1, __ATOMIC_RELAXED);
    for (long j = 1; j < k; j++)
        most = logits[j] > most ? logits[j] : most;
    for (long j = 0; j < k; j++) {
        const float target = rest + share * (given ? given[j] : j == label);
        logits[j] -= most;
        total += target;
        weighted += target ? (double)target * logits[j] : 0; /* a class of no weight may be impossible */
    }
    for (long j = 0; j < k; j++)
        sum += logits[j] = power(logits[j]);
    const float part = total / sum;
    for (long j = 0; j < k; j++)
        logits[j] = (part * logits[j] - rest - share * (given ? given[j] : j == label)) * scale;
    return total * log(sum) - weighted;
}

/* sums (columns, wide) += the transpose of z (count, columns) times d (count, wide). */
static void gather(long count, long columns, const float *z, long deep, const float *d, long wide, float *sums) {
    for (long first = 0; first < wide; first += WIDTH)
        for (long r = 0; r < columns; r += ROWS)
            tile(count, z + r, 1, deep, d + first, wide, sums + r * wide + first, wide, 1);
}

/* From dh (rows, wide), the gradient of the last states, the gradients of [U b W], added to sums. d: of CHUNK steps. */
static void backward(const struct work *work, const struct block *block, float *dh, float *d, float *sums) {
    const struct job *job = work->job;
    const long h = job->h, deep = work->deep, wide = work->wide, rows = block->rows;
    for (long end = block->t, start; end > 0; end = start) {
        start = end > CHUNK ? end - CHUNK : 0;
        for (long step = end - 1; step >= start; step--) {
            const float *states = block->z + (step + 1) * rows * deep;
            float *own = d + (step - start) * rows * wide;
            for (long r = 0; r < rows; r++)
                if (step < block->ends[r])
                    simple_back(h, job->relu, states + r * deep, dh + r * wide, own + r * wide);
                else
                    memset(own + r * wide, 0, h * sizeof(float));
            if (step)
                product(rows, h, h, own, wide, work->back, dh, wide, 1);
        }
        gather((end - start) * rows, work->inner, block->z + start * rows * deep, deep, d, wide, sums);
    }
}

/* Returns: the sum of the block's losses; the gradients are added to sums, if any are wanted. */
static double through(struct work *work, long first, float *scratch, float *sums) {
    const struct job *job = work->job;
    const long h = job->h, k = job->k, wide = work->wide, across = work->across;
    float *logits = scratch, *dh = logits + MOST_ROWS * across, *d = dh + MOST_ROWS * wide;
    const struct block block = begin(job, first, d + CHUNK * MOST_ROWS * wide);
    const long rows = block.rows;
    forward(work, &block);
    const float *last = block.z + block.t * rows * work->deep;
    product(rows, h + 1, k, last, work->deep, work->dense, logits, across, 0);
    double loss = 0;
    for (long r = 0; r < rows; r++)
        if (first + r < job->n)
            loss += judge(work, first + r, logits + r * across, 1.0f / job->n);
        else
            memset(logits + r * across, 0, k * sizeof(float));
    if (job->d_w) {
        gather(rows, h + 1, last, work->deep, logits, across, sums + rounded(work->inner, ROWS) * wide);
        product(rows, k, h, logits, across, work->dense_back, dh, wide, 0);
        backward(work, &block, dh, d, sums);
    }
    return loss;
}

/* Takes parts until none is left: a thread that the machine holds up leaves its share to the others. */
static void labour(void *given) {
    struct work *work = given;
    float *scratch = work->rooms + __atomic_fetch_add(&work->workers, 1, __ATOMIC_RELAXED) * work->scratch;
    const unsigned modes = vanish();
    long part;
    while ((part = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED)) < work->parts) {
        const long first = part * work->blocks * MOST_ROWS, past = first + work->blocks * MOST_ROWS;
        float *sums = work->gradients + part * work->sums;
        memset(sums, 0, work->sums * sizeof(float));
        for (long at = first; at < past && at < work->job->n; at += MOST_ROWS)
            work->losses[part] += through(work, at, scratch, sums);
    }
    restore(modes);
}

/* Row j of (columns, rows) to column j of sums (rows, wide). */
static void transpose(const float *sums, long rows, long columns, long wide, float *to) {
    for (long j = 0; j < columns; j++)
        for (long i = 0; i < rows; i++)
            to[j * rows + i] = sums[i * wide + j];
}

/* Add up what the parts found, in their order, and hand it out. */
static void settle(struct work *work) {
    const struct job *job = work->job;
    const long f = job->f, h = job->h, k = job->k, wide = work->wide, across = work->across;
    float *sums = work->gradients, *dense = sums + rounded(work->inner, ROWS) * wide;
    double loss = 0;
    for (long part = 0; part < work->parts; part++)
        loss += work->losses[part];
    *job->loss = loss / job->n;
    if (!job->d_w)
        return;
    for (long part = 1; part < work->parts; part++)
        for (long i = 0; i < work->sums; i++)
            sums[i] += sums[part * work->sums + i];
    transpose(sums, h, h, wide, job->d_u);
    transpose(sums + h * wide, 1, h, wide, job->d_b);
    transpose(sums + (h + 1) * wide, f, h, wide, job->d_w);
    transpose(dense, h, k, across, job->d_v);
    transpose(dense + h * across, 1, k, across, job->d_c);
}

/* Rows of `left` (count, before), each with its number of `middle` and its row of `right` (count, after) behind it. */
static void join(long count, const float *left, long before, const float *middle, const float *right, long after,
                 float *to) {
    for (long j = 0; j < count; j++, to += before + 1 + after) {
        memcpy(to, left + j * before, before * sizeof(float));
        to[before] = middle[j];
        memcpy(to + before + 1, right + j * after, after * sizeof(float));
    }
}

static void prepare(const struct work *work, float *room) {
    const struct job *job = work->job;
    const long f = job->f, h = job->h, k = job->k, inner = work->inner;
    join(h, job->u, h, job->b, job->w, f, room);
    pack(room, inner, h, 1, inner, work->step);
    join(k, job->v, h, job->c, job->v, 0, room);
    pack(room, h + 1, k, 1, h + 1, work->dense);
    pack(job->u, h, h, h, 1, work->back);
    pack(job->v, k, h, h, 1, work->dense_back);
}

/* Returns: 0; 1 without memory; 2 if a label is no class. */
int whole(const struct job *job) {
    const long n = job->n, h = job->h, k = job->k, inner = h + 1 + job->f, wide = padded(h), across = padded(k);
    const long blocks = (n + MOST_ROWS * MOST_PARTS - 1) / (MOST_ROWS * MOST_PARTS);
    const long parts = (n + MOST_ROWS * blocks - 1) / (MOST_ROWS * blocks);
    const long threads = job->threads < parts ? job->threads : parts;
    const long sums = rounded(inner, ROWS) * wide + rounded(h + 1, ROWS) * across;
    const long deep = rounded(inner, LANES) < wide ? wide : rounded(inner, LANES);
    const long scratch = MOST_ROWS * (across + (CHUNK + 1) * wide + (job->t + 1) * deep);
    const long panels = (inner + h + k) * wide + (h + 1) * across, room = (h > k ? h : k) * inner;
    float *memory = allocate(panels + parts * sums + threads * scratch + room);
    if (!memory)
        return 1;
    struct work work = {.job = job, .inner = inner, .deep = deep, .wide = wide, .across = across};
    work.blocks = blocks, work.parts = parts, work.sums = sums, work.scratch = scratch;
    work.step = memory, work.back = work.step + inner * wide, work.dense_back = work.back + h * wide;
    work.dense = work.dense_back + k * wide, work.gradients = work.dense + (h + 1) * across;
    work.rooms = work.gradients + parts * sums;
    prepare(&work, work.rooms + threads * scratch);
    if (job->parallel && threads > 1)
        job->parallel(labour, &work, (unsigned)threads, 0);
    else
        labour(&work);
    settle(&work);
    free(memory);
    return work.wrong ? 2 : 0;
}
