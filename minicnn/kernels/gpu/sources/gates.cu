// ReLU with its mask, masking by bits, and packing of small integers into bit planes.
//
// A thread has eight channels of a pixel: their bits are one byte.
#include "common.cuh"

// y = max(x, 0), signs = x > 0; NaN stays NaN, as NumPy's maximum has it.
extern "C" __global__ void relu(
    const T* x, long long x_image, int x_row, int x_pixel, T* y, byte* signs, int height, int width,
    int channels, long long items) {
    long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, height, width, channels);
    T v[8];
    int bits = 0;
    load8(at.of(x, x_image, x_row, x_pixel), at.count, (T)0, v);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        bits |= (v[i] > 0) << i;
        v[i] = v[i] > 0 || v[i] != v[i] ? v[i] : (T)0;
    }
    signs[item] = bits;
    store8(y + at.pixel * channels + at.channel, at.count, v);
}

// y = x where the mask's bit is set, else 0; a mask of fewer images is repeated.
extern "C" __global__ void masked(
    const T* x, long long x_image, int x_row, int x_pixel, const byte* mask, int mask_images, T* y,
    int height, int width, int channels, long long items) {
    long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, height, width, channels);
    const long long each = (long long)height * width * bytes_of(channels);
    const int bits = mask[item + (repeated(at.n, mask_images) - at.n) * each];
    T v[8];
    load8(at.of(x, x_image, x_row, x_pixel), at.count, (T)0, v);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = (bits >> i) & 1 ? v[i] : (T)0;
    store8(y + at.pixel * channels + at.channel, at.count, v);
}

// Bit planes of values in C order of channels-last arrays: plane k holds bit k of each.
extern "C" __global__ void pack(
    const unsigned int* values, byte* planes, int bits, int channels, long long items) {
    long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    int groups = bytes_of(channels), channel = (int)(item % groups) * 8;
    const unsigned int* own = values + item / groups * channels + channel;
    for (int k = 0; k < bits; k++) {
        int found = 0;
        for (int i = 0; i < 8 && channel + i < channels; i++) found |= ((own[i] >> k) & 1) << i;
        planes[k * items + item] = found;
    }
}

// The values again.
extern "C" __global__ void unpack(
    const byte* planes, unsigned int* values, int bits, int channels, long long items) {
    long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    int groups = bytes_of(channels), channel = (int)(item % groups) * 8;
    unsigned int* own = values + item / groups * channels + channel;
    for (int i = 0; i < 8 && channel + i < channels; i++) {
        unsigned int found = 0;
        for (int k = 0; k < bits; k++) found |= ((planes[k * items + item] >> i) & 1) << k;
        own[i] = found;
    }
}
