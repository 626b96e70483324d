// Depthwise convolution, each channel with a filter of its own, and its transpose to the image:
//
//     y[n, i, j, c] = sum over taps of x[n, source(i, j, tap), c] w[tap, c]
//
// A thread has eight channels of a pixel of the result. Transposed, it looks for the windows that
// cover its pixel, so nothing is added by two threads.
#include "common.cuh"
#include "ending.cuh"

extern "C" __global__ void depthwise(
    const T* x, long long x_image, int x_row, int x_pixel, int height, int width, const T* weights,
    int padded, long long items, int kernel_height, int kernel_width, int stride_height,
    int stride_width, int pad_top, int pad_left, int dilation_height, int dilation_width,
    ENDING_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const int groups = bytes_of(out_channels), channel = (int)(item % groups) * 8;
    const long long pixel = item / groups;
    const int j = (int)(pixel % out_width), i = (int)(pixel / out_width % out_height);
    const int n = (int)(pixel / out_width / out_height);
    const int count = smaller(8, out_channels - channel);
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8], w[8];
    for (int down = 0; down < kernel_height; down++) {
#if TRANSPOSED
        const int above = i + pad_top - dilation_height * down;
        if (above % stride_height) continue;
        const int h = above / stride_height;
#else
        const int h = stride_height * i - pad_top + dilation_height * down;
#endif
        if (h < 0 || h >= height) continue;
        for (int across = 0; across < kernel_width; across++) {
#if TRANSPOSED
            const int before = j + pad_left - dilation_width * across;
            if (before % stride_width) continue;
            const int at = before / stride_width;
#else
            const int at = stride_width * j - pad_left + dilation_width * across;
#endif
            if (at < 0 || at >= width) continue;
            load8(x + n * x_image + (long long)h * x_row + at * x_pixel + channel, count, (T)0, v);
            const T* own = weights + (long long)(down * kernel_width + across) * padded + channel;
            const Four a = load4(own), b = load4(own + 4);
            for (int c = 0; c < 4; c++) w[c] = a.v[c], w[4 + c] = b.v[c];
#pragma unroll
            for (int c = 0; c < 8; c++) sums[c] = fma(v[c], w[c], sums[c]);
        }
    }
    const Ending ending = ENDING_ARGUMENTS;
    ending.finish8(sums, n, i, j, channel);
}
