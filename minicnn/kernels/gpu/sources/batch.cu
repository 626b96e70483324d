// Statistics over a batch, and batch norm with its transpose.
//
//     batch_norm              y = (x - mean) inverse gain + shift,  inverse = (variance + eps)^-1/2
//     batch_norm_transposed   (p - dshift / m - normal dgain / m) gain inverse
//                             dgain = sum of p normal,  dshift = sum of p,  over m pixels
//
// Sums over pixels go in two steps: a block has some pixels of 32 channels and writes what it found,
// in double precision; then each channel's are put together in order. Nothing is added atomically.
// Means and variances are put together by Chan's formula, each part's about a number of its own, so
// that a large mean costs no digits.
//
// Source: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing
// sample variances", 1979.
#include "common.cuh"

#define CHANNELS 32
#define LINES 8  // pixels that a block has in work at once

#define PIXELS_PARAMETERS int height, int width, int channels, long long pixels, long long each

__device__ __forceinline__ const T* at_pixel(const T* x, long long image, int row, int step,
                                             long long pixel, int height, int width) {
    const int w = (int)(pixel % width), h = (int)(pixel / width % height);
    return x + pixel / width / height * image + (long long)h * row + w * step;
}

// (count, mean, sum of squares about it) of two parts.
__device__ __forceinline__ void join(double* a, const double* b) {
    const double count = a[0] + b[0], apart = b[1] - a[1];
    if (b[0] == 0) return;
    a[2] += b[2] + apart * apart * (a[0] / count) * b[0];
    a[1] += apart * (b[0] / count);
    a[0] = count;
}

extern "C" __global__ void moments(const T* x, long long x_image, int x_row, int x_pixel,
                                   double* found, PIXELS_PARAMETERS) {
    __shared__ double room[LINES][CHANNELS][3];
    const int line = threadIdx.x / CHANNELS, own = threadIdx.x % CHANNELS;
    const int channel = blockIdx.x * CHANNELS + own;
    const long long begin = blockIdx.y * each, end = begin + each < pixels ? begin + each : pixels;
    T about = 0, sum = 0, squares = 0;
    int count = 0;
    if (channel < channels)
        for (long long pixel = begin + line; pixel < end; pixel += LINES, count++) {
            const T v = at_pixel(x, x_image, x_row, x_pixel, pixel, height, width)[channel];
            if (count == 0) about = v;
            sum += v - about;
            squares += (v - about) * (v - about);
        }
    double* mine = room[line][own];
    mine[0] = count;
    mine[1] = count ? about + (double)sum / count : 0;
    mine[2] = count ? squares - (double)sum * sum / count : 0;
    __syncthreads();
    if (line || channel >= channels) return;
    for (int other = 1; other < LINES; other++) join(mine, room[other][own]);
    for (int i = 0; i < 3; i++) found[((long long)blockIdx.y * channels + channel) * 3 + i] = mine[i];
}

extern "C" __global__ void join_moments(const double* found, int parts, int channels, T* mean,
                                        T* variance) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    double all[3] = {0, 0, 0};
    for (int part = 0; part < parts; part++)
        join(all, found + ((long long)part * channels + channel) * 3);
    mean[channel] = (T)all[1];
    variance[channel] = (T)(all[2] > 0 || all[2] != all[2] ? all[2] / all[0] : 0);
}

// Sums of p, and where there is x of p (x - mean) inverse.
extern "C" __global__ void sums(const T* p, long long p_image, int p_row, int p_pixel, const T* x,
                                long long x_image, int x_row, int x_pixel, const T* mean,
                                const T* inverse, double* found, PIXELS_PARAMETERS) {
    __shared__ double room[LINES][CHANNELS][2];
    const int line = threadIdx.x / CHANNELS, own = threadIdx.x % CHANNELS;
    const int channel = blockIdx.x * CHANNELS + own;
    const long long begin = blockIdx.y * each, end = begin + each < pixels ? begin + each : pixels;
    T sum = 0, product = 0;
    if (channel < channels)
        for (long long pixel = begin + line; pixel < end; pixel += LINES) {
            const T v = at_pixel(p, p_image, p_row, p_pixel, pixel, height, width)[channel];
            sum += v;
            if (!x) continue;
            const T u = at_pixel(x, x_image, x_row, x_pixel, pixel, height, width)[channel];
            product += v * ((u - mean[channel]) * inverse[channel]);
        }
    room[line][own][0] = sum, room[line][own][1] = product;
    __syncthreads();
    if (line || channel >= channels) return;
    double first = 0, second = 0;
    for (int other = 0; other < LINES; other++)
        first += room[other][own][0], second += room[other][own][1];
    double* mine = found + ((long long)blockIdx.y * channels + channel) * 2;
    mine[0] = first, mine[1] = second;
}

extern "C" __global__ void join_sums(const double* found, int parts, int channels, T* sum,
                                     T* product) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    double first = 0, second = 0;
    for (int part = 0; part < parts; part++) {
        first += found[((long long)part * channels + channel) * 2];
        second += found[((long long)part * channels + channel) * 2 + 1];
    }
    sum[channel] = (T)first;
    if (product) product[channel] = (T)second;
}

#define PLACE_PARAMETERS int height, int width, int channels, long long items

extern "C" __global__ void batch_norm(const T* x, long long x_image, int x_row, int x_pixel, T* y,
                                      const T* mean, const T* inverse, const T* gain,
                                      const T* shift, PLACE_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const int groups = bytes_of(channels), channel = (int)(item % groups) * 8;
    const long long pixel = item / groups;
    const int count = smaller(8, channels - channel);
    T v[8];
    load8(at_pixel(x, x_image, x_row, x_pixel, pixel, height, width) + channel, count, (T)0, v);
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < count) {
            const int c = channel + i;
            v[i] = (v[i] - mean[c]) * inverse[c] * gain[c] + shift[c];
        }
    store8(y + pixel * channels + channel, count, v);
}

extern "C" __global__ void batch_norm_transposed(
    const T* p, long long p_image, int p_row, int p_pixel, const T* x, long long x_image, int x_row,
    int x_pixel, T* y, const T* mean, const T* inverse, const T* gain, const T* dgain,
    const T* dshift, T share, PLACE_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const int groups = bytes_of(channels), channel = (int)(item % groups) * 8;
    const long long pixel = item / groups;
    const int count = smaller(8, channels - channel);
    T v[8], u[8];
    load8(at_pixel(p, p_image, p_row, p_pixel, pixel, height, width) + channel, count, (T)0, v);
    load8(at_pixel(x, x_image, x_row, x_pixel, pixel, height, width) + channel, count, (T)0, u);
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < count) {
            const int c = channel + i;
            const T normal = (u[i] - mean[c]) * inverse[c];
            v[i] = (v[i] - dshift[c] * share - normal * (dgain[c] * share)) * (gain[c] * inverse[c]);
        }
    store8(y + pixel * channels + channel, count, v);
}
