// Dense layers with an activation between, for all streams of a jet: forward, and back to the gradient. float32.
//
//     Z_l = W_l A_l (+ b_l for the value)      A_(l+1) = f(Z_l) by the chain rule      out = W_L A_L + b_L
//
// With two encoders of the inputs, E_0 = f(W_U A_0 + b_U) and E_1 = f(W_V A_0 + b_V), hidden layers from UNGATED on are
//
//     A_(l+1) = E + f(Z_l) (E' - E) by the rule of products,       E = E_CLOSED and E' the other one.
//
// Points go through all layers in tiles that stay in the cache. In a tile, features are rows and the columns are points
// of stream 0, points of stream 1, ...: one product serves all streams, and vectors of points need no padding for the
// width of a layer. Rows are PAD floats longer than their columns: a step of a power of 2 would let them share few lines
// of the cache. `vectors.cpp` and what `fused_source.py` writes come before this file: STREAMS, `activate`, `pull_back`,
// `gate`, `pull_back_gate`.
//
// SIZES are the features D, H_1, ..., H_L, F, and theta is W_1, b_1, W_2, ... with W_l (SIZES[l], SIZES[l - 1]). The
// encoders follow, where there are ENCODERS: layers LAST + 1 and LAST + 2, as wide as the hidden layers.

constexpr long LAST = sizeof(SIZES) / sizeof(long) - 2;  // the output layer

constexpr long largest() {
    long most = 0;
    for (long size : SIZES) most = size > most ? size : most;
    return most;
}

constexpr long inputs_of(long layer) { return layer > LAST ? SIZES[0] : SIZES[layer]; }
constexpr long outputs_of(long layer) { return layer > LAST ? SIZES[1] : SIZES[layer + 1]; }
constexpr bool is_gated(long layer) { return ENCODERS && layer >= UNGATED; }

// Where the parameters of a layer begin.
constexpr long begin(long layer) {
    long sum = 0;
    for (long l = 0; l < layer; l++) sum += (inputs_of(l) + 1) * outputs_of(l);
    return sum;
}

constexpr long WIDEST = largest(), PARAMETERS = begin(LAST + 1 + ENCODERS), WIDTH = ENCODERS ? SIZES[1] : 1;

// Of the encoders in a tile: E, E' - E, and the gradients of both.
alignas(64) static thread_local float closed[WIDTH * MOST], change[WIDTH * MOST];
alignas(64) static thread_local float of_closed[WIDTH * MOST], of_change[WIDTH * MOST];

static long padded(long n) { return (n + PAD - 1) / PAD * PAD; }

// Points of a tile: about COLUMNS columns, the same in all tiles, and whole vectors.
static long tile_of(long points) {
    long tiles = 1 + (points * STREAMS - 1) / COLUMNS;
    return padded((points + tiles - 1) / tiles);
}

constexpr long all_hidden() {
    long hidden = ENCODERS * SIZES[1];
    for (long l = 1; l <= LAST; l++) hidden += SIZES[l];
    return hidden;
}

// Floats that a tile keeps for the way back.
static long kept_by(long each) { return all_hidden() * (STREAMS * each + PAD); }

// The same for a tile that has no way back: the next one overwrites it, and it stays in the cache.
static float* not_kept() {
    alignas(64) static thread_local float tile[all_hidden() * MOST];
    return tile;
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

// The streams of one feature at the first points of `row`.
static inline void take(const float* row, long each, Vector* to) {
    for (int s = 0; s < STREAMS; s++) to[s] = load(row + s * each);
}

static inline void put(const Vector* from, long each, float* row) {
    for (int s = 0; s < STREAMS; s++) store(row + s * each, from[s]);
}

// What a layer makes of z, whose first stream is tanh already. `start`: of these points in `closed` and `change`.
template <bool GATED> static inline void output(const Vector* z, long start, long each, Vector* then) {
    if constexpr (GATED) {
        Vector Z[STREAMS], low[STREAMS], by[STREAMS];
        activate(z, Z);
        take(closed + start, each, low);
        take(change + start, each, by);
        gate(Z, low, by, then);
    } else {
        activate(z, then);
    }
}

// One feature at the points of a tile. `kept` has the streams of z, and then tanh(z_0 + b) in place of the first.
template <bool GATED>
ALONE static void activate_row(float* kept, float bias, long start, long each, float* a) {
    for (long p = 0; p < each; p += LANES) {
        Vector z[STREAMS], then[STREAMS];
        take(kept + p, each, z);
        z[0] = tanh_of(z[0] + bias);
        store(kept + p, z[0]);
        output<GATED>(z, start + p, each, then);
        put(then, each, a + p);
    }
}

// The same outputs from what is kept, since to read as many numbers again would take longer.
template <bool GATED>
ALONE static void activate_again(const float* kept, long start, long each, float* a) {
    for (long p = 0; p < each; p += LANES) {
        Vector z[STREAMS], then[STREAMS];
        take(kept + p, each, z);
        output<GATED>(z, start + p, each, then);
        put(then, each, a + p);
    }
}

// The way back: g becomes the gradient of z, from that of the outputs.
template <bool GATED>
ALONE static void pull_back_row(const float* kept, long start, long each, float* g) {
    for (long p = 0; p < each; p += LANES) {
        Vector z[STREAMS], slope[STREAMS], then[STREAMS];
        take(kept + p, each, z);
        take(g + p, each, slope);
        if constexpr (GATED) {
            Vector Z[STREAMS], by[STREAMS], of[STREAMS], sum[STREAMS];
            take(of_closed + start + p, each, sum);
            for (int s = 0; s < STREAMS; s++) sum[s] += slope[s];
            put(sum, each, of_closed + start + p);
            activate(z, Z);
            take(change + start + p, each, by);
            take(of_change + start + p, each, sum);
            pull_back_gate(slope, Z, by, of, sum);
            put(sum, each, of_change + start + p);
            pull_back(z, of, then);
        } else {
            pull_back(z, slope, then);
        }
        put(then, each, g + p);
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

// A hidden layer or an encoder, of inputs a: `kept` gets z, and `out`, which may be a, the outputs.
static void forward_layer(const float* theta, long l, const float* a, float* kept, long each, float* out) {
    long K = inputs_of(l), H = outputs_of(l), columns = STREAMS * each, row = columns + PAD;
    const float *W = theta + begin(l), *b = W + H * K;
    product(W, K, 1, H, K, a, kept, columns);
    for (long i = 0; i < H * row; i += row) {
        if (l <= LAST && is_gated(l)) activate_row<true>(kept + i, *b++, i, each, out + i);
        else activate_row<false>(kept + i, *b++, i, each, out + i);
    }
}

// E' becomes E' - E.
static void subtract_closed(long columns) {
    for (long i = 0; i < WIDTH; i++)
        for (long at = i * (columns + PAD), c = 0; c < columns; c++) change[at + c] -= closed[at + c];
}

static void forward_tile(const float* theta, const float* inputs, float* out, float* saved, long points, long first,
                         long n) {
    alignas(64) static thread_local float a[WIDEST * MOST], y[SIZES[LAST + 1] * MOST];
    long each = padded(n), columns = STREAMS * each, row = columns + PAD, F = SIZES[LAST + 1];
    into_tile(inputs, SIZES[0], points, first, n, each, a);
    if constexpr (ENCODERS) {
        for (long e = 0; e < ENCODERS; e++) {
            forward_layer(theta, LAST + 1 + e, a, saved, each, e == CLOSED ? closed : change);
            saved += WIDTH * row;
        }
        subtract_closed(columns);
    }
    for (long l = 0; l < LAST; l++) {
        forward_layer(theta, l, a, saved, each, a);
        saved += SIZES[l + 1] * row;
    }
    const float *W = theta + begin(LAST), *b = W + F * SIZES[LAST];
    product(W, SIZES[LAST], 1, F, SIZES[LAST], a, y, columns);
    for (long f = 0; f < F; f++)
        for (long p = 0; p < each; p++) y[f * row + p] += b[f];
    out_of_tile(y, F, points, first, n, each, out);
}

// Add the gradient of the parameters of a layer, from g, that of z, and the inputs a.
static void slopes_of(long l, const float* g, const float* a, long each, float* gradient) {
    long K = inputs_of(l), H = outputs_of(l), columns = STREAMS * each, row = columns + PAD;
    float *of_W = gradient + begin(l), *of_b = of_W + H * K;
    slopes(g, a, H, K, columns, of_W);
    for (long i = 0; i < H; i++) {
        Vector sum = {};
        for (long p = 0; p < each; p += LANES) sum += load(g + i * row + p);
        of_b[i] += total(sum);
    }
}

// `closed` and `change` once more from what is kept, and no gradient yet.
static void encode_again(const float* kept, long each) {
    long columns = STREAMS * each, row = columns + PAD, size = WIDTH * row;
    for (long i = 0; i < size; i += row) {
        activate_again<false>(kept + CLOSED * size + i, 0, each, closed + i);
        activate_again<false>(kept + (1 - CLOSED) * size + i, 0, each, change + i);
    }
    subtract_closed(columns);
    for (long i = 0; i < size; i++) of_closed[i] = of_change[i] = 0;
}

// From the gradients of `closed` and `change` to those of the parameters of the encoders; that of their inputs a is
// added to `below`, unless it is null. `spare` is overwritten.
static void back_through_encoders(const float* theta, const float* kept, const float* a, long each, float* gradient,
                                  float* below, float* spare) {
    long D = SIZES[0], columns = STREAMS * each, row = columns + PAD, size = WIDTH * row;
    for (long i = 0; i < size; i++) of_closed[i] -= of_change[i];
    for (long e = 0; e < ENCODERS; e++) {
        float* g = e == CLOSED ? of_closed : of_change;
        for (long i = 0; i < size; i += row) pull_back_row<false>(kept + e * size + i, 0, each, g + i);
        slopes_of(LAST + 1 + e, g, a, each, gradient);
        if (!below) continue;
        product(theta + begin(LAST + 1 + e), 1, D, D, WIDTH, g, spare, columns);
        for (long k = 0; k < D; k++)
            for (long c = 0; c < columns; c++) below[k * row + c] += spare[k * row + c];
    }
}

// The gradient of the parameters is added to `gradient`; that of the inputs is left out if null.
static void backward_tile(const float* theta, const float* g, const float* inputs, const float* saved, float* gradient,
                          float* of_inputs, long points, long first, long n) {
    alignas(64) static thread_local float a[WIDEST * MOST], one[WIDEST * MOST], two[WIDEST * MOST];
    float *here = one, *below = two;
    long each = padded(n), columns = STREAMS * each, row = columns + PAD;
    const float* kept = saved + kept_by(each);
    into_tile(g, SIZES[LAST + 1], points, first, n, each, here);
    if constexpr (ENCODERS) encode_again(saved, each);
    for (long l = LAST; l >= 0; l--) {
        long K = SIZES[l], H = SIZES[l + 1];
        if (l) {
            kept -= K * row;
            for (long i = 0; i < K * row; i += row) {
                if (is_gated(l - 1)) activate_again<true>(kept + i, i, each, a + i);
                else activate_again<false>(kept + i, i, each, a + i);
            }
        } else {
            into_tile(inputs, K, points, first, n, each, a);
        }
        slopes_of(l, here, a, each, gradient);
        if (l || of_inputs) product(theta + begin(l), 1, K, K, H, here, below, columns);
        if (!l) break;
        for (long i = 0; i < K * row; i += row) {
            if (is_gated(l - 1)) pull_back_row<true>(kept + i, i, each, below + i);
            else pull_back_row<false>(kept + i, i, each, below + i);
        }
        float* other = here;
        here = below, below = other;
    }
    if constexpr (ENCODERS)
        back_through_encoders(theta, saved, a, each, gradient, of_inputs ? below : nullptr, here);
    if (of_inputs) out_of_tile(below, SIZES[0], points, first, n, each, of_inputs);
}

extern "C" {

// `saved` is null where no way back follows.
void forward(const float* theta, const float* inputs, float* out, float* saved, long points, long threads) {
    long tile = tile_of(points);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (long first = 0; first < points; first += tile)
        forward_tile(theta, inputs, out, saved ? saved + first / tile * kept_by(tile) : not_kept(), points, first,
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
