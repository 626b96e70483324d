// Statistics over a batch, and batch norm with its transpose.
//
//     batch_norm              y = (x - mean) inverse gain + shift,  inverse = (variance + eps)^-1/2
//     batch_norm_transposed   (p - dshift / m - normal dgain / m) gain inverse
//                             dgain = sum of p normal,  dshift = sum of p,  over m pixels
//
// A block has `each` pixels: `across` threads have eight channels each, as many lines of them as
// there are threads have every so manieth pixel. Sums over all pixels go in two steps: a block adds
// its own by a tree, then a block a channel adds those, in double precision. Which number is added
// when depends on the shape only, and nothing is added atomically.
//
// A thread follows mean and squares by Welford's formula, less the block's first pixel, so that a
// large mean costs no digits; parts are put together by Chan's,
//
//     squares = sum over parts of  squares_part + count_part (mean_part - mean)^2
//
// Sources: B. Welford, "Note on a method for calculating corrected sums of squares and products",
// 1962. T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing
// sample variances", 1979.
#include "common.cuh"

#define THREADS 256
#define JOINING 128  // threads that join parts, at most
#define SHARE_PARAMETERS int across, int channels, long long pixels, long long each
#define SHARE across, channels, pixels, each

#define EIGHT _Pragma("unroll") for (int i = 0; i < 8; i++)

// What a thread works on: eight channels, of which `count` exist, of some pixels of its block.
struct Share {
    int channel, count, line, lines;
    long long begin, end;

    __device__ __forceinline__ Share(SHARE_PARAMETERS) {
        channel = (blockIdx.x * across + (threadIdx.x & (across - 1))) * 8;
        count = smaller(8, channels - channel);  // may be less than 0
        line = threadIdx.x / across, lines = THREADS / across;
        begin = blockIdx.y * each, end = begin + each < pixels ? begin + each : pixels;
    }

    __device__ __forceinline__ void load(const T* x, long long pixel, int step, T* v) const {
        load8(x + pixel * step + channel, count, (T)0, v);
    }

    // Numbers of these channels, 0 where there are none.
    __device__ __forceinline__ void own(const T* values, T* v) const {
        load8(values + channel, count, (T)0, v);
    }
};

// What all lines hold, added up by a tree for every thread to have.
__device__ __forceinline__ void add_lines(T (*room)[THREADS], T* v, int across) {
    const int thread = threadIdx.x;
    EIGHT room[i][thread] = v[i];
    for (int half = THREADS / 2; half >= across; half /= 2) {
        __syncthreads();
        if (thread < half) EIGHT room[i][thread] += room[i][thread + half];
    }
    __syncthreads();
    EIGHT v[i] = room[i][thread & (across - 1)];
    __syncthreads();
}

// What the threads of a block, a power of two of them, hold, added up.
__device__ __forceinline__ double add_threads(double* room, double value) {
    room[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
    }
    __syncthreads();
    const double result = room[0];
    __syncthreads();
    return result;
}

// found (channels, parts, 2): mean, and squares about it.
extern "C" __global__ void moments(const T* x, int x_pixel, double* found, SHARE_PARAMETERS) {
    __shared__ T room[8][THREADS];
    const Share share(SHARE);
    T about[8], mean[8], squares[8], all[8];
    share.load(x, share.begin, x_pixel, about);
    EIGHT mean[i] = squares[i] = 0;
    int seen = 0;
    for (long long pixel = share.begin + share.line; pixel < share.end; pixel += share.lines) {
        T v[8];
        share.load(x, pixel, x_pixel, v);
        const T part = (T)1 / ++seen;
        EIGHT {
            v[i] -= about[i];
            const T away = v[i] - mean[i];
            mean[i] += away * part;
            squares[i] += away * (v[i] - mean[i]);
        }
    }
    EIGHT all[i] = mean[i] * seen;
    add_lines(room, all, across);
    const T number = (T)(share.end - share.begin);
    EIGHT {
        all[i] /= number;
        mean[i] -= all[i];
        squares[i] += mean[i] * mean[i] * seen;
    }
    add_lines(room, squares, across);
    if (share.line) return;
    EIGHT if (i < share.count) {
        double* own = found + 2 * ((long long)(share.channel + i) * gridDim.y + blockIdx.y);
        own[0] = (double)about[i] + all[i], own[1] = squares[i];
    }
}

// mean, variance and (variance + eps)^-1/2 of a channel from those of its parts.
extern "C" __global__ void join_moments(const double* found, int parts, long long pixels,
                                        long long each, double eps, T* mean, T* variance,
                                        T* inverse) {
    __shared__ double room[JOINING];
    const double* own = found + 2 * (long long)blockIdx.x * parts;
    double sum = 0, squares = 0;
    for (int part = threadIdx.x; part < parts; part += blockDim.x)
        sum += own[2 * part] * (part < parts - 1 ? each : pixels - part * each);
    const double middle = add_threads(room, sum) / pixels;
    for (int part = threadIdx.x; part < parts; part += blockDim.x) {
        const double away = own[2 * part] - middle;
        squares += own[2 * part + 1] +
                   away * away * (part < parts - 1 ? each : pixels - part * each);
    }
    squares = add_threads(room, squares) / pixels;
    if (threadIdx.x) return;
    mean[blockIdx.x] = (T)middle;
    variance[blockIdx.x] = (T)squares;
    inverse[blockIdx.x] = (T)(1 / sqrt(squares + eps));
}

// found (channels, parts, 2): sums of p, and where there is x of p (x - mean) inverse.
extern "C" __global__ void sums(const T* p, int p_pixel, const T* x, int x_pixel, const T* mean,
                                const T* inverse, double* found, SHARE_PARAMETERS) {
    __shared__ T room[8][THREADS];
    const Share share(SHARE);
    T middle[8], alone[8], along[8];
    EIGHT middle[i] = alone[i] = along[i] = 0;
    if (x) share.own(mean, middle);
    for (long long pixel = share.begin + share.line; pixel < share.end; pixel += share.lines) {
        T v[8], u[8];
        share.load(p, pixel, p_pixel, v);
        EIGHT alone[i] += v[i];
        if (!x) continue;
        share.load(x, pixel, x_pixel, u);
        EIGHT along[i] += v[i] * (u[i] - middle[i]);
    }
    add_lines(room, alone, across);
    if (x) add_lines(room, along, across);
    if (share.line) return;
    if (x) share.own(inverse, middle);
    EIGHT if (i < share.count) {
        double* own = found + 2 * ((long long)(share.channel + i) * gridDim.y + blockIdx.y);
        own[0] = alone[i], own[1] = along[i] * middle[i];
    }
}

extern "C" __global__ void join_sums(const double* found, int parts, T* sum, T* product) {
    __shared__ double room[JOINING];
    const double* own = found + 2 * (long long)blockIdx.x * parts;
    double alone = 0, along = 0;
    for (int part = threadIdx.x; part < parts; part += blockDim.x)
        alone += own[2 * part], along += own[2 * part + 1];
    alone = add_threads(room, alone), along = add_threads(room, along);
    if (threadIdx.x) return;
    sum[blockIdx.x] = (T)alone;
    if (product) product[blockIdx.x] = (T)along;
}

extern "C" __global__ void batch_norm(const T* x, int x_pixel, T* y, const T* mean,
                                      const T* inverse, const T* gain, const T* shift,
                                      SHARE_PARAMETERS) {
    const Share share(SHARE);
    T middle[8], factor[8], added[8], v[8];
    share.own(mean, middle), share.own(inverse, factor), share.own(shift, added);
    share.own(gain, v);
    EIGHT factor[i] *= v[i];
    for (long long pixel = share.begin + share.line; pixel < share.end; pixel += share.lines) {
        share.load(x, pixel, x_pixel, v);
        EIGHT v[i] = (v[i] - middle[i]) * factor[i] + added[i];
        store8(y + pixel * channels + share.channel, share.count, v);
    }
}

// `one` is 1 / m.
extern "C" __global__ void batch_norm_transposed(
    const T* p, int p_pixel, const T* x, int x_pixel, T* y, const T* mean, const T* inverse,
    const T* gain, const T* dgain, const T* dshift, T one, SHARE_PARAMETERS) {
    const Share share(SHARE);
    T middle[8], along[8], alone[8], factor[8], v[8], u[8];
    share.own(mean, middle), share.own(dshift, alone), share.own(dgain, along);
    share.own(inverse, u), share.own(gain, factor);
    EIGHT alone[i] *= one, along[i] *= one * u[i], factor[i] *= u[i];
    for (long long pixel = share.begin + share.line; pixel < share.end; pixel += share.lines) {
        share.load(p, pixel, p_pixel, v);
        share.load(x, pixel, x_pixel, u);
        EIGHT v[i] = (v[i] - alone[i] - (u[i] - middle[i]) * along[i]) * factor[i];
        store8(y + pixel * channels + share.channel, share.count, v);
    }
}
