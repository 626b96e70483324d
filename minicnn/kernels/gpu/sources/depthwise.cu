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
    const Place at(item, out_height, out_width, out_channels);
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8], tap[8];
    for (int down = 0; down < kernel_height; down++) {
#if TRANSPOSED
        const int above = at.h + pad_top - dilation_height * down;
        if (above % stride_height) continue;
        const int h = above / stride_height;
#else
        const int h = stride_height * at.h - pad_top + dilation_height * down;
#endif
        if (h < 0 || h >= height) continue;
        for (int across = 0; across < kernel_width; across++) {
#if TRANSPOSED
            const int before = at.w + pad_left - dilation_width * across;
            if (before % stride_width) continue;
            const int w = before / stride_width;
#else
            const int w = stride_width * at.w - pad_left + dilation_width * across;
#endif
            if (w < 0 || w >= width) continue;
            load8(x + at.n * x_image + (long long)h * x_row + w * x_pixel + at.channel, at.count,
                  (T)0, v);
            const T* own = weights + (long long)(down * kernel_width + across) * padded +
                           at.channel;
            const Four a = load4(own), b = load4(own + 4);
            for (int c = 0; c < 4; c++) tap[c] = a.v[c], tap[4 + c] = b.v[c];
#pragma unroll
            for (int c = 0; c < 8; c++) sums[c] = fma(v[c], tap[c], sums[c]);
        }
    }
    const Ending ending = ENDING_ARGUMENTS;
    ending.finish8(sums, at.n, at.h, at.w, at.channel);
}
