// Parts of an image with changed boxes pasted in, as incremental runs read them; see
// reference.parts. A thread has eight channels of a pixel of a part.
#include "common.cuh"

extern "C" __global__ void parts(
    const T* clean, long long clean_image, int clean_row, int clean_pixel, int clean_height,
    int clean_width, const T* changed, long long changed_image, int changed_row, int changed_pixel,
    int changed_height, int changed_width, const long long* places, T filling, T* y, int height,
    int width, int channels, long long items) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, height, width, channels);
    const long long* own = places + 4 * at.n;
    const int row = (int)own[0] + at.h, column = (int)own[1] + at.w;
    const int inner_row = row - (int)own[2], inner_column = column - (int)own[3];
    T v[8];
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = filling;
    if (inner_row >= 0 && inner_row < changed_height && inner_column >= 0 &&
        inner_column < changed_width)
        load8(changed + at.n * changed_image + (long long)inner_row * changed_row +
                  inner_column * changed_pixel + at.channel, at.count, filling, v);
    else if (row >= 0 && row < clean_height && column >= 0 && column < clean_width)
        load8(clean + (long long)row * clean_row + column * clean_pixel + at.channel, at.count,
              filling, v);
    store8(y + at.pixel * channels + at.channel, at.count, v);
}
