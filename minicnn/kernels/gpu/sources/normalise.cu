// Local response normalisation and its transpose, softmax and its logarithm.
//
//     lrn              y = x s^-beta,  s = bias + alpha / size sum of x^2 over near channels
//     lrn_transposed   p s^-beta - 2 alpha beta / size x sum over near of p x s^(-beta - 1)
//     softmax          e^x / sum e^x over channels, the largest x taken off first; or its logarithm
//
// In LRN a thread has eight channels of a pixel, and REACH more to either side: it reads four at
// once, and sums in registers. Windows that reach farther are read number by number.
#include "common.cuh"

#define REACH 4
#define PIXEL_PARAMETERS int height, int width, int channels, long long items

// s^-beta and s^(-beta - 1). AlexNet's beta needs two roots only, good to a few units in the last
// place, which take a card a fifth of the instructions of exact roots and divisions.
struct Powers {
    T once, steeper;

    __device__ __forceinline__ Powers(T s, T beta) {
        if (beta == (T)0.75) {
            const T half = rsqrt(s);
            const T fourth = half > 0 && half < INFINITY ? half * rsqrt(half) : half;
            once = half * fourth;
            steeper = once * half * half;
        } else {
            once = pow(s, -beta);
            steeper = once / s;
        }
    }
};

// Channels `first` and on of a pixel; 0 where there are none.
template <int COUNT>
__device__ __forceinline__ void load_near(const T* pixel, int first, int channels, T* v) {
#pragma unroll
    for (int k = 0; k < COUNT; k += 4) {
        const int c = first + k;
#if ALIGNED
        if (c >= 0 && c + 4 <= channels) {
            const Four four = load4(pixel + c);
            for (int i = 0; i < 4; i++) v[k + i] = four.v[i];
            continue;
        }
#endif
#pragma unroll
        for (int i = 0; i < 4; i++) v[k + i] = c + i >= 0 && c + i < channels ? pixel[c + i] : (T)0;
    }
}

// sums[i] = the sum of values[i + REACH - before] .. values[i + REACH + after].
template <int COUNT>
__device__ __forceinline__ void sum_near(const T* values, int before, int after, T* sums) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) sums[i] = 0;
#pragma unroll
    for (int k = -REACH; k <= REACH; k++) {
        if (k < -before || k > after) continue;
#pragma unroll
        for (int i = 0; i < COUNT; i++) sums[i] += values[i + REACH + k];
    }
}

// The sum of squares around channel c, read one by one.
__device__ __forceinline__ T far_squares(const T* pixel, int c, int channels, int before,
                                         int after) {
    T sum = 0;
    const int end = smaller(channels, c + after + 1);
    for (int k = c > before ? c - before : 0; k < end; k++) sum += pixel[k] * pixel[k];
    return sum;
}

extern "C" __global__ void lrn(const T* x, long long x_image, int x_row, int x_pixel, T* y,
                               int before, int after, T alpha_each, T beta, T bias,
                               PIXEL_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, height, width, channels);
    const T* pixel = at.of(x, x_image, x_row, x_pixel) - at.channel;
    T v[8 + 2 * REACH], squares[8 + 2 * REACH], sums[8];
    load_near<8 + 2 * REACH>(pixel, at.channel - REACH, channels, v);
    if (before <= REACH && after <= REACH) {
#pragma unroll
        for (int i = 0; i < 8 + 2 * REACH; i++) squares[i] = v[i] * v[i];
        sum_near<8>(squares, before, after, sums);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            sums[i] = far_squares(pixel, at.channel + i, channels, before, after);
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        sums[i] = v[i + REACH] * Powers(sums[i] * alpha_each + bias, beta).once;
    store8(y + at.pixel * channels + at.channel, at.count, sums);
}

// x may be of fewer images, and is repeated.
extern "C" __global__ void lrn_transposed(
    const T* p, long long p_image, int p_row, int p_pixel, const T* x, long long x_image, int x_row,
    int x_pixel, int x_images, T* y, int before, int after, T alpha_each, T beta, T bias,
    PIXEL_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place place(item, height, width, channels);
    const int first = place.channel - REACH;
    const T* signal = place.of(p, p_image, p_row, p_pixel) - place.channel;
    const T* pixel = x + repeated(place.n, x_images) * x_image + (long long)place.h * x_row +
                     place.w * x_pixel;
    T own[8], direct[8], around[8];
    load8(pixel + place.channel, place.count, (T)0, own);
    if (before <= REACH && after <= REACH) {
        T v[8 + 4 * REACH], s[8 + 2 * REACH], other[8 + 2 * REACH];
        load_near<8 + 4 * REACH>(pixel, first - REACH, channels, v);
        load_near<8 + 2 * REACH>(signal, first, channels, other);
#pragma unroll
        for (int i = 0; i < 8 + 2 * REACH; i++) other[i] *= v[i + REACH];
#pragma unroll
        for (int i = 0; i < 8 + 4 * REACH; i++) v[i] *= v[i];
        sum_near<8 + 2 * REACH>(v, before, after, s);
        load8(signal + place.channel, place.count, (T)0, direct);
#pragma unroll
        for (int i = 0; i < 8 + 2 * REACH; i++) {
            const int k = i - REACH, c = first + i;
            if (k < -after || k > 7 + before || c < 0 || c >= channels) continue;
            const Powers powers(s[i] * alpha_each + bias, beta);
            other[i] *= powers.steeper;
            if (k >= 0 && k < 8) direct[k] *= powers.once;
        }
        sum_near<8>(other, after, before, around);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) direct[i] = around[i] = 0;
        const int end = smaller(channels, place.channel + 8 + before);
        for (int c = place.channel > after ? place.channel - after : 0; c < end; c++) {
            const T s = far_squares(pixel, c, channels, before, after) * alpha_each + bias;
            const Powers powers(s, beta);
            const T other = signal[c] * pixel[c] * powers.steeper;
            const int k = c - place.channel;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                if (k >= i - after && k <= i + before) around[i] += other;
                if (k == i) direct[i] = signal[c] * powers.once;
            }
        }
    }
    const T factor = 2 * alpha_each * beta;
#pragma unroll
    for (int i = 0; i < 8; i++) direct[i] -= around[i] * (own[i] * factor);
    store8(y + place.pixel * channels + place.channel, place.count, direct);
}

#define THREADS 256

// What a group of threads holds, brought together by a tree: the sum, or the largest.
__device__ __forceinline__ T together(T* room, T value, int group, bool largest) {
    const int thread = threadIdx.x, own = thread & (group - 1);
    room[thread] = value;
    for (int half = group / 2; half > 0; half /= 2) {
        __syncthreads();
        if (own >= half) continue;
        const T mine = room[thread], other = room[thread + half];
        room[thread] = !largest ? mine + other : mine > other ? mine : other;
    }
    __syncthreads();
    const T result = room[thread - own];
    __syncthreads();
    return result;
}

// A group of threads (a power of two) has the channels of one pixel. The largest passes over NaN,
// which the sum does not.
extern "C" __global__ void softmax(const T* x, long long x_image, int x_row, int x_pixel, T* y,
                                   int height, int width, int channels, int group, int logarithm,
                                   long long pixels) {
    __shared__ T room[THREADS];
    const int own = threadIdx.x & (group - 1), groups = THREADS / group;
    const long long pixel = (long long)blockIdx.x * groups + threadIdx.x / group;
    const bool exists = pixel < pixels;  // all go on to the barriers
    const Place at(exists ? pixel : 0, height, width, 1);
    const T* from = at.of(x, x_image, x_row, x_pixel);
    T most = -INFINITY, sum = 0;
    for (int c = own; c < channels; c += group) most = from[c] > most ? from[c] : most;
    most = together(room, most, group, true);
    for (int c = own; c < channels; c += group) sum += exp(from[c] - most);
    sum = together(room, sum, group, false);
    const T off = logarithm ? log(sum) : 1 / sum;
    if (!exists) return;
    for (int c = own; c < channels; c += group) {
        const T shifted = from[c] - most;
        y[pixel * channels + c] = logarithm ? shifted - off : exp(shifted) * off;
    }
}
