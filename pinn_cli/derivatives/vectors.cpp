// Vectors of float32, as long as those of the processor.

#ifdef _OPENMP
#include <omp.h>
static inline long thread() { return omp_get_thread_num(); }
#else
static inline long thread() { return 0; }
#endif

// Blocks of five rows, whose sums stay in registers. BLOCK: vectors of a product. ACROSS: columns of slopes.
#if defined(__AVX512F__)
#define BYTES 64
constexpr int BLOCK = 4, ACROSS = 5;
#elif defined(__AVX__)
#define BYTES 32
constexpr int BLOCK = 2, ACROSS = 2;
#else
#define BYTES 16
constexpr int BLOCK = 2, ACROSS = 2;
#endif

constexpr int LANES = BYTES / 4;
template <int B> struct Of { typedef float Type __attribute__((vector_size(B), aligned(4))); };
typedef float Vector __attribute__((vector_size(BYTES)));
static inline Vector load(const float* x) { return *(const Of<BYTES>::Type*)x; }
static inline void store(float* x, Vector v) { *(Of<BYTES>::Type*)x = v; }

template <int B> static inline float sum_of(typename Of<B>::Type v) {
    if constexpr (B == 4) return v[0];
    else {
        typename Of<B / 2>::Type low, high;
        __builtin_memcpy(&low, &v, B / 2);
        __builtin_memcpy(&high, (const char*)&v + B / 2, B / 2);
        return sum_of<B / 2>(low + high);
    }
}
static inline float total(Vector v) { return sum_of<BYTES>(v); }
