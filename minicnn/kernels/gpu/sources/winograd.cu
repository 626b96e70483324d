// Winograd's minimal filtering F(m x m, 3 x 3), m = MADE: a tile of m x m results from m + 2 squared
// products instead of 9 m squared.
//
//     Y = A^T [ (G g G^T) (B^T d B) ] A            products number by number, summed over channels
//
// The sums over channels are products of matrices, one for each of the (m + 2)^2 places of a tile:
//     sums[place, tile, column] = sum over c of image[place, tile, c] filters[place, c, column].
// The transpose towards the image is the same with filters turned round and the pads 2 - pad.
//
// Source: A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
#include "common.cuh"
#include "ending.cuh"

#define READ (MADE + 2)
#define PLACES (READ * READ)

// d <- B^T d for READ numbers `step` apart.
__device__ __forceinline__ void into_image(T* d, int step) {
#if MADE == 4
    const T a = d[0], b = d[step], c = d[2 * step], e = d[3 * step], f = d[4 * step];
    const T g = d[5 * step];
    d[0] = 4 * a - 5 * c + f;
    d[step] = (f - 4 * c) + (e - 4 * b);
    d[2 * step] = (f - 4 * c) - (e - 4 * b);
    d[3 * step] = (f - c) + 2 * (e - b);
    d[4 * step] = (f - c) - 2 * (e - b);
    d[5 * step] = 4 * b - 5 * e + g;
#else
    const T a = d[0], b = d[step], c = d[2 * step], e = d[3 * step];
    d[0] = a - c;
    d[step] = b + c;
    d[2 * step] = c - b;
    d[3 * step] = b - e;
#endif
}

// The first MADE numbers <- A^T m for READ numbers `step` apart.
__device__ __forceinline__ void out_of_sums(T* m, int step) {
#if MADE == 4
    const T a = m[0], b = m[step] + m[2 * step], c = m[step] - m[2 * step];
    const T d = m[3 * step] + m[4 * step], e = m[3 * step] - m[4 * step], f = m[5 * step];
    m[0] = a + b + d;
    m[step] = c + 2 * e;
    m[2 * step] = b + 4 * d;
    m[3 * step] = c + 8 * e + f;
#else
    const T a = m[0], b = m[step], c = m[2 * step], d = m[3 * step];
    m[0] = a + b + c;
    m[step] = b - c - d;
#endif
}

// u <- G g for three numbers.
__device__ __forceinline__ void into_filter(const double* g, double* u) {
#if MADE == 4
    u[0] = g[0] / 4;
    u[1] = -(g[0] + g[1] + g[2]) / 6;
    u[2] = -(g[0] - g[1] + g[2]) / 6;
    u[3] = g[0] / 24 + g[1] / 12 + g[2] / 6;
    u[4] = g[0] / 24 - g[1] / 12 + g[2] / 6;
    u[5] = g[2];
#else
    u[0] = g[0];
    u[1] = (g[0] + g[1] + g[2]) / 2;
    u[2] = (g[0] - g[1] + g[2]) / 2;
    u[3] = g[2];
#endif
}

// filters[place, depth, column filled up] from w (O, C, 3, 3), in double precision.
extern "C" __global__ void transform_filters(const T* w, T* filters, int transposed, int depth,
                                             int columns, int padded) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= (long long)depth * padded) return;
    const int column = (int)(item % padded), inner = (int)(item / padded);
    double g[3][3], half[READ][3], u[READ];
    for (int i = 0; i < 9; i++) {
        double value = 0;
        if (column < columns) {
            const long long at = transposed ? (long long)inner * columns + column
                                            : (long long)column * depth + inner;
            value = w[at * 9 + (transposed ? 8 - i : i)];
        }
        g[i % 3][i / 3] = value;  // its columns as rows
    }
    for (int j = 0; j < 3; j++) {
        into_filter(g[j], u);
        for (int i = 0; i < READ; i++) half[i][j] = u[i];
    }
    for (int i = 0; i < READ; i++) {
        into_filter(half[i], u);
        for (int j = 0; j < READ; j++)
            filters[(i * READ + j) * (long long)depth * padded + item] = (T)u[j];
    }
}

// image[place, tile, channel]: each tile's READ x READ pixels transformed; zeros outside.
extern "C" __global__ void transform_image(
    const T* x, long long x_image, int x_row, int x_pixel, int height, int width, int channels,
    int pad_top, int pad_left, int tiles_down, int tiles_across, long long tiles, T* image) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= tiles * channels) return;
    const int channel = (int)(item % channels);
    const long long tile = item / channels;
    const int across = (int)(tile % tiles_across), down = (int)(tile / tiles_across % tiles_down);
    const int n = (int)(tile / tiles_across / tiles_down);
    const int top = down * MADE - pad_top, left = across * MADE - pad_left;
    T d[PLACES];
#pragma unroll
    for (int i = 0; i < READ; i++)
#pragma unroll
        for (int j = 0; j < READ; j++) {
            const int h = top + i, w = left + j;
            const bool inside = h >= 0 && h < height && w >= 0 && w < width;
            d[i * READ + j] =
                inside ? x[n * x_image + (long long)h * x_row + w * x_pixel + channel] : (T)0;
        }
#pragma unroll
    for (int j = 0; j < READ; j++) into_image(d + j, READ);
#pragma unroll
    for (int i = 0; i < READ; i++) into_image(d + i * READ, 1);
#pragma unroll
    for (int place = 0; place < PLACES; place++) image[place * tiles * channels + item] = d[place];
}

// The results of 8 tiles and 32 columns a block: transformed back, ended, and stored. Signs of
// neighbouring channels meet in shared memory, and leave it as bytes.
extern "C" __global__ __launch_bounds__(256) void transform_sums(
    const T* sums, int columns, int tiles_down, int tiles_across, long long tiles,
    ENDING_PARAMETERS) {
    __shared__ byte positive[MADE * MADE][8][32];
    const int thread = threadIdx.x, own_tile = thread / 32;
    const int column = blockIdx.y * 32 + thread % 32;
    const long long tile = (long long)blockIdx.x * 8 + own_tile;
    const int top = (int)(tile / tiles_across % tiles_down) * MADE;
    const int left = (int)(tile % tiles_across) * MADE;
    const int n = (int)(tile / tiles_across / tiles_down);
    const Ending ending = ENDING_ARGUMENTS;
    const bool exists = tile < tiles && column < out_channels;

    T m[PLACES];
    if (exists) {
        const int now = ending.mode_of(n);
#pragma unroll
        for (int place = 0; place < PLACES; place++)
            m[place] = sums[(place * tiles + tile) * columns + column];
#pragma unroll
        for (int j = 0; j < READ; j++) out_of_sums(m + j, READ);
#pragma unroll
        for (int i = 0; i < MADE; i++) out_of_sums(m + i * READ, 1);
#pragma unroll
        for (int i = 0; i < MADE; i++)
#pragma unroll
            for (int j = 0; j < MADE; j++) {
                const int h = top + i, w = left + j;
                if (h >= out_height || w >= out_width) continue;
                const int allowed = ending.mask_byte(now, n, h, w, column);
                const T done =
                    ending.finished(m[i * READ + j], n, h, w, column, (allowed >> (column & 7)) & 1);
                positive[i * MADE + j][own_tile][thread % 32] = done > 0;
                y[n * y_image + (long long)h * y_row + w * y_pixel + column] =
                    ending.rectified(now, done);
            }
    }
    if (!signs) return;
    __syncthreads();
    for (int item = thread; item < MADE * MADE * 8 * 4; item += 256) {
        const int group = item % 4, of_tile = item / 4 % 8, place = item / 32;
        const long long at = (long long)blockIdx.x * 8 + of_tile;
        const int channel = blockIdx.y * 32 + group * 8;
        const int h = (int)(at / tiles_across % tiles_down) * MADE + place / MADE;
        const int w = (int)(at % tiles_across) * MADE + place % MADE;
        if (at >= tiles || channel >= out_channels || h >= out_height || w >= out_width) continue;
        int bits = 0;
        for (int i = 0; i < 8 && channel + i < out_channels; i++)
            bits |= positive[place][of_tile][group * 8 + i] << i;
        signs[ending.bits_at((int)(at / tiles_across / tiles_down), h, w, channel)] = bits;
    }
}
