// The epilogue by itself: results that no product made, ended and stored; see ending.cuh.
//
// A thread has eight channels of a pixel.
#include "common.cuh"
#include "ending.cuh"

extern "C" __global__ void end(const T* x, long long x_image, int x_row, int x_pixel,
                               long long items, ENDING_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const int groups = bytes_of(out_channels), channel = (int)(item % groups) * 8;
    const long long pixel = item / groups;
    const int w = (int)(pixel % out_width), h = (int)(pixel / out_width % out_height);
    const int n = (int)(pixel / out_width / out_height);
    T v[8];
    load8(x + n * x_image + (long long)h * x_row + w * x_pixel + channel,
          smaller(8, out_channels - channel), (T)0, v);
    const Ending ending = ENDING_ARGUMENTS;
    ending.finish8(v, n, h, w, channel);
}
