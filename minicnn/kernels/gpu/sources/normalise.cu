// Local response normalisation and its transpose, softmax and its logarithm.
//
//     lrn              y = x s^-beta,  s = bias + alpha / size sum of x^2 over near channels
//     lrn_transposed   p s^-beta - 2 alpha beta / size x sum over near of p x s^(-beta - 1)
//     softmax          e^x / sum e^x over channels, the largest x taken off first; or its logarithm
#include "common.cuh"

#define PIXEL_PARAMETERS int height, int width, int channels, long long items

// s^-beta; AlexNet's beta needs roots only.
__device__ __forceinline__ T power(T s, T beta) {
    if (beta == (T)0.75) {
        const T root = sqrt(s);
        return 1 / (root * sqrt(root));
    }
    return pow(s, -beta);
}

// s of channel c, of which `from` is the pixel.
__device__ __forceinline__ T near_squares(const T* from, int c, int channels, int before, int after,
                                          T alpha_each, T bias) {
    T sum = 0;
    for (int k = c - before; k <= c + after; k++)
        if (k >= 0 && k < channels) sum += from[k] * from[k];
    return sum * alpha_each + bias;
}

extern "C" __global__ void lrn(const T* x, long long x_image, int x_row, int x_pixel, T* y,
                               int before, int after, T alpha_each, T beta, T bias,
                               PIXEL_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, height, width, channels);
    const T* from = at.of(x, x_image, x_row, x_pixel) - at.channel;
    T v[8], sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    load8(from + at.channel, at.count, (T)0, v);
    for (int k = -before; k <= 7 + after; k++) {  // each near channel once, for all it is near to
        const int c = at.channel + k;
        if (c < 0 || c >= channels) continue;
        const T square = from[c] * from[c];
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (k >= i - before && k <= i + after) sums[i] += square;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] *= power(sums[i] * alpha_each + bias, beta);
    store8(y + at.pixel * channels + at.channel, at.count, v);
}

// x may be of fewer images, and is repeated.
extern "C" __global__ void lrn_transposed(
    const T* p, long long p_image, int p_row, int p_pixel, const T* x, long long x_image, int x_row,
    int x_pixel, int x_images, T* y, int before, int after, T alpha_each, T beta, T bias,
    PIXEL_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place place(item, height, width, channels);
    const T* from = place.of(p, p_image, p_row, p_pixel) - place.channel;
    const T* at = x + place.n % x_images * x_image + (long long)place.h * x_row + place.w * x_pixel;
    T v[8], around[8] = {0, 0, 0, 0, 0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = 0;
    for (int k = -after; k <= 7 + before; k++) {
        const int c = place.channel + k;
        if (c < 0 || c >= channels) continue;
        const T s = near_squares(at, c, channels, before, after, alpha_each, bias);
        const T shrunk = power(s, beta), other = from[c] * at[c] * shrunk / s;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (k >= i - after && k <= i + before) around[i] += other;
            if (k == i) v[i] = from[c] * shrunk;
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < place.count) v[i] -= around[i] * at[place.channel + i] * (2 * alpha_each * beta);
    store8(y + place.pixel * channels + place.channel, place.count, v);
}

#define THREADS 128

// What a block's threads hold, brought together by a tree: the sum, or the largest.
__device__ __forceinline__ T together(T* room, T value, bool largest) {
    const int thread = threadIdx.x;
    room[thread] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half) {
            const T other = room[thread + half];
            if (!largest) room[thread] += other;
            else if (other > room[thread] || other != other) room[thread] = other;
        }
        __syncthreads();
    }
    const T result = room[0];
    __syncthreads();
    return result;
}

// A block has the channels of one pixel.
extern "C" __global__ void softmax(const T* x, long long x_image, int x_row, int x_pixel, T* y,
                                   int height, int width, int channels, int logarithm) {
    __shared__ T room[THREADS];
    const long long pixel = blockIdx.x;
    const int w = (int)(pixel % width), h = (int)(pixel / width % height);
    const int n = (int)(pixel / width / height);
    const T* from = x + n * x_image + (long long)h * x_row + w * x_pixel;
    T most = -INFINITY, sum = 0;
    for (int c = threadIdx.x; c < channels; c += THREADS)
        if (from[c] > most || from[c] != from[c]) most = from[c];
    most = together(room, most, true);
    for (int c = threadIdx.x; c < channels; c += THREADS) sum += exp(from[c] - most);
    sum = together(room, sum, false);
    const T off = logarithm ? log(sum) : 1 / sum;
    for (int c = threadIdx.x; c < channels; c += THREADS) {
        const T shifted = from[c] - most;
        y[pixel * channels + c] = logarithm ? shifted - off : exp(shifted) * off;
    }
}
