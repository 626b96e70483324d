// Depthwise convolution, each channel with a filter of its own, and its transpose to the image:
//
//     y[n, i, j, c] = sum over taps of x[n, source(i, j, tap), c] w[tap, c]
//
// A thread has eight channels of a pixel of the result. Transposed, it looks for the windows that
// cover its pixel, so nothing is added by two threads.
#include "common.cuh"
#include "ending.cuh"

// Where on an axis a tap reads; outside, below 0 or from its size on, there is nothing.
__device__ __forceinline__ int source(int place, int tap, int stride, int pad, int dilation) {
#if TRANSPOSED
    const int begin = place + pad - dilation * tap;
    if (stride == 1) return begin;
    return begin % stride ? -1 : begin / stride;
#else
    return stride * place - pad + dilation * tap;
#endif
}

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
        const int h = source(at.h, down, stride_height, pad_top, dilation_height);
        if (h < 0 || h >= height) continue;
        for (int across = 0; across < kernel_width; across++) {
            const int w = source(at.w, across, stride_width, pad_left, dilation_width);
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
