// Dense layers with an activation between, for all streams of a jet: forward, and back to the gradient. float32.
//
//     Z_l = W_l A_l (+ b_l for the value)      A_(l+1) = f(Z_l) by the chain rule      out = W_L A_L + b_L
//
// Points go through all layers in tiles that stay in the cache. In a tile, features are rows and the columns are points
// of stream 0, points of stream 1, ...: one product serves all streams, and vectors of points need no padding for the
// width of a layer. Rows are PAD floats longer than their columns: a step of a power of 2 would let them share few lines
// of the cache. `vectors.cpp` and what `fused_source.py` writes come before this file: STREAMS, `activate`, `pull_back`.
//
// SIZES are the features D, H_1, ..., H_L, F, and theta is W_1, b_1, W_2, ... with W_l (SIZES[l], SIZES[l - 1]).

constexpr long LAST = sizeof(SIZES) / sizeof(long) - 2;  // the output layer

constexpr long largest() {
    long most = 0;
    for (long size : SIZES) most = size > most ? size : most;
    return most;
}

// Where the parameters of a layer begin.
constexpr long begin(long layer) {
    long sum = 0;
    for (long l = 0; l < layer; l++) sum += (SIZES[l] + 1) * SIZES[l + 1];
    return sum;
}

constexpr long WIDEST = largest(), PARAMETERS = begin(LAST + 1);

static long padded(long n) { return (n + PAD - 1) / PAD * PAD; }

// Points of a tile: about COLUMNS columns, the same in all tiles, and whole vectors.
static long tile_of(long points) {
    long tiles = 1 + (points * STREAMS - 1) / COLUMNS;
    return padded((points + tiles - 1) / tiles);
}

// Floats that a tile keeps for the way back.
static long kept_by(long each) {
    long hidden = 0;
    for (long l = 1; l <= LAST; l++) hidden += SIZES[l];
    return hidden * (STREAMS * each + PAD);
}

// A function of its own keeps its sums in registers; within others the compiler of GNU spills them, at half the speed.
// Sums begin with their first term, because it sets arrays to zero in memory.
#define ALONE __attribute__((noinline))

// z[i, :] = sum_k w[i * out + k * in] a[k, :] for M rows and N vectors of columns.
template <int M, int N>
ALONE static void product_block(const float* w, long out, long in, long K, const float* a, float* z, long row) {
    Vector sum[M][N];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) sum[i][j] = w[i * out] * load(a + j * LANES);
    for (long k = 1; k < K; k++) {
        w += in, a += row;
        Vector column[N];
        for (int j = 0; j < N; j++) column[j] = load(a + j * LANES);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) sum[i][j] += w[i * out] * column[j];
    }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) store(z + i * row + j * LANES, sum[i][j]);
}

template <int N>
static inline void product_columns(
    const float* w, long out, long in, long H, long K, const float* a, float* z, long row) {
    long i = 0;
    for (; i + 5 <= H; i += 5) product_block<5, N>(w + i * out, out, in, K, a, z + i * row, row);
    w += i * out, z += i * row;
    switch (H - i) {
        case 4: return product_block<4, N>(w, out, in, K, a, z, row);
        case 3: return product_block<3, N>(w, out, in, K, a, z, row);
        case 2: return product_block<2, N>(w, out, in, K, a, z, row);
        case 1: return product_block<1, N>(w, out, in, K, a, z, row);
    }
}

// z (H, columns) = w (H, K) a (K, columns); steps of w: `out` from row to row, `in` along the sum.
static void product(const float* w, long out, long in, long H, long K, const float* a, float* z, long columns) {
    long c = 0, step = BLOCK * LANES, row = columns + PAD;
    for (; c + step <= columns; c += step) product_columns<BLOCK>(w, out, in, H, K, a + c, z + c, row);
    for (; c < columns; c += LANES) product_columns<1>(w, out, in, H, K, a + c, z + c, row);
}

// d[i, k] += sum over the columns of g[i] a[k], for M rows of g and N of a.
template <int M, int N>
ALONE static void slope_block(const float* g, const float* a, long columns, float* d, long K) {
    long row = columns + PAD;
    Vector sum[M][N];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) sum[i][j] = load(g + i * row) * load(a + j * row);
    for (long c = LANES; c < columns; c += LANES) {
        Vector of[N];
        for (int j = 0; j < N; j++) of[j] = load(a + j * row + c);
        for (int i = 0; i < M; i++) {
            Vector with = load(g + i * row + c);
            for (int j = 0; j < N; j++) sum[i][j] += with * of[j];
        }
    }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) d[i * K + j] += total(sum[i][j]);
}

template <int M>
static inline void slope_rows(const float* g, const float* a, long K, long columns, float* d) {
    long k = 0;
    for (; k + ACROSS <= K; k += ACROSS) slope_block<M, ACROSS>(g, a + k * (columns + PAD), columns, d + k, K);
    for (; k < K; k++) slope_block<M, 1>(g, a + k * (columns + PAD), columns, d + k, K);
}

// d (H, K) += g (H, columns) a (K, columns)^T.
static void slopes(const float* g, const float* a, long H, long K, long columns, float* d) {
    long i = 0;
    for (; i + 5 <= H; i += 5) slope_rows<5>(g + i * (columns + PAD), a, K, columns, d + i * K);
    g += i * (columns + PAD), d += i * K;
    switch (H - i) {
        case 4: return slope_rows<4>(g, a, K, columns, d);
        case 3: return slope_rows<3>(g, a, K, columns, d);
        case 2: return slope_rows<2>(g, a, K, columns, d);
        case 1: return slope_rows<1>(g, a, K, columns, d);
    }
}

// One feature at the points of a tile. `kept` has the streams of z, and then tanh(z_0 + b) in place of the first.
ALONE static void activate_row(float* kept, float bias, long each, float* a) {
    for (long p = 0; p < each; p += LANES) {
        Vector at[STREAMS], then[STREAMS];
        for (int s = 0; s < STREAMS; s++) at[s] = load(kept + p + s * each);
        at[0] = tanh_of(at[0] + bias);
        store(kept + p, at[0]);
        activate(at, then);
        for (int s = 0; s < STREAMS; s++) store(a + p + s * each, then[s]);
    }
}

// The same outputs from what is kept, since to read as many numbers again would take longer.
ALONE static void activate_again(const float* kept, long each, float* a) {
    for (long p = 0; p < each; p += LANES) {
        Vector at[STREAMS], then[STREAMS];
        for (int s = 0; s < STREAMS; s++) at[s] = load(kept + p + s * each);
        activate(at, then);
        for (int s = 0; s < STREAMS; s++) store(a + p + s * each, then[s]);
    }
}

// The way back: g becomes the gradient of z, from that of the outputs.
ALONE static void pull_back_row(const float* kept, long each, float* g) {
    for (long p = 0; p < each; p += LANES) {
        Vector at[STREAMS], slope[STREAMS], then[STREAMS];
        for (int s = 0; s < STREAMS; s++) at[s] = load(kept + p + s * each);
        for (int s = 0; s < STREAMS; s++) slope[s] = load(g + p + s * each);
        pull_back(at, slope, then);
        for (int s = 0; s < STREAMS; s++) store(g + p + s * each, then[s]);
    }
}

// Some streams (S, F, N) between an array of all points and a tile whose columns beyond n are zero.
static void into_tile(const float* from, long F, long N, long first, long n, long each, float* tile) {
    for (long f = 0; f < F; f++)
        for (long s = 0; s < STREAMS; s++) {
            const float* row = from + (s * F + f) * N + first;
            float* to = tile + f * (STREAMS * each + PAD) + s * each;
            for (long p = 0; p < n; p++) to[p] = row[p];
            for (long p = n; p < each; p++) to[p] = 0;
        }
}

static void out_of_tile(const float* tile, long F, long N, long first, long n, long each, float* to) {
    for (long f = 0; f < F; f++)
        for (long s = 0; s < STREAMS; s++) {
            const float* row = tile + f * (STREAMS * each + PAD) + s * each;
            float* out = to + (s * F + f) * N + first;
            for (long p = 0; p < n; p++) out[p] = row[p];
        }
}

static void forward_tile(const float* theta, const float* inputs, float* out, float* saved, long points, long first,
                         long n) {
    alignas(64) static thread_local float a[WIDEST * MOST], y[SIZES[LAST + 1] * MOST];
    long each = padded(n), columns = STREAMS * each, row = columns + PAD, F = SIZES[LAST + 1];
    into_tile(inputs, SIZES[0], points, first, n, each, a);
    for (long l = 0; l < LAST; l++) {
        long K = SIZES[l], H = SIZES[l + 1];
        const float *W = theta + begin(l), *b = W + H * K;
        product(W, K, 1, H, K, a, saved, columns);
        for (long i = 0; i < H; i++) activate_row(saved + i * row, b[i], each, a + i * row);
        saved += H * row;
    }
    const float *W = theta + begin(LAST), *b = W + F * SIZES[LAST];
    product(W, SIZES[LAST], 1, F, SIZES[LAST], a, y, columns);
    for (long f = 0; f < F; f++)
        for (long p = 0; p < each; p++) y[f * row + p] += b[f];
    out_of_tile(y, F, points, first, n, each, out);
}

// The gradient of the parameters is added to `gradient`; that of the inputs is left out if null.
static void backward_tile(const float* theta, const float* g, const float* inputs, const float* saved, float* gradient,
                          float* of_inputs, long points, long first, long n) {
    alignas(64) static thread_local float a[WIDEST * MOST], one[WIDEST * MOST], two[WIDEST * MOST];
    float *here = one, *below = two;
    long each = padded(n), columns = STREAMS * each, row = columns + PAD;
    const float* kept = saved + kept_by(each);
    into_tile(g, SIZES[LAST + 1], points, first, n, each, here);
    for (long l = LAST; l >= 0; l--) {
        long K = SIZES[l], H = SIZES[l + 1];
        const float* W = theta + begin(l);
        float* slope = gradient + begin(l);
        if (l) {
            kept -= K * row;
            for (long i = 0; i < K; i++) activate_again(kept + i * row, each, a + i * row);
        } else {
            into_tile(inputs, K, points, first, n, each, a);
        }
        slopes(here, a, H, K, columns, slope);
        for (long i = 0; i < H; i++) {
            Vector sum = {};
            for (long p = 0; p < each; p += LANES) sum += load(here + i * row + p);
            slope[H * K + i] += total(sum);
        }
        if (l || of_inputs) product(W, 1, K, K, H, here, below, columns);
        if (!l) break;
        for (long i = 0; i < K; i++) pull_back_row(kept + i * row, each, below + i * row);
        float* other = here;
        here = below, below = other;
    }
    if (of_inputs) out_of_tile(below, SIZES[0], points, first, n, each, of_inputs);
}

extern "C" {

void forward(const float* theta, const float* inputs, float* out, float* saved, long points, long threads) {
    long tile = tile_of(points);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long first = 0; first < points; first += tile)
        forward_tile(theta, inputs, out, saved + first / tile * kept_by(tile), points, first,
                     points - first < tile ? points - first : tile);
}

// `gradient` is (threads, PARAMETERS): one of each thread, since a sum has to have the same order at each call.
void backward(const float* theta, const float* g, const float* inputs, const float* saved, float* gradient,
              float* of_inputs, long points, long threads) {
    long tile = tile_of(points);
    for (long i = 0; i < threads * PARAMETERS; i++) gradient[i] = 0;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long first = 0; first < points; first += tile)
        backward_tile(theta, g, inputs, saved + first / tile * kept_by(tile), gradient + thread() * PARAMETERS, of_inputs,
                      points, first, points - first < tile ? points - first : tile);
}
}
