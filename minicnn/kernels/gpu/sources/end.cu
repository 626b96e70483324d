// The epilogue by itself: results that no product made, ended and stored; see ending.cuh.
//
// A thread has eight channels of a pixel.
#include "common.cuh"
#include "ending.cuh"

extern "C" __global__ void end(const T* x, long long x_image, int x_row, int x_pixel,
                               long long items, ENDING_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, out_height, out_width, out_channels);
    T v[8];
    load8(at.of(x, x_image, x_row, x_pixel), at.count, (T)0, v);
    const Ending ending = ENDING_ARGUMENTS;
    ending.finish8(v, at.n, at.h, at.w, at.channel);
}
