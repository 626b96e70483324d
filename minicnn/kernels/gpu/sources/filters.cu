// The filters' gradient, for any geometry:
//
//     w[o, tap, c] = sum over images and pixels of p[n, i, j, o] x[n, source(i, j, tap), c]
//
// A product of matrices whose inner index runs over pixels. Rows are filters, columns channels of
// one tap; both lie side by side in memory, so eight pixels at a time go straight into shared
// memory. A block computes 64 x 64, a thread 8 x 8, as in convolution.cu.
//
// There are few results and many pixels: the pixels are split among blocks, each writes its sums to
// `partial`, and `add` adds them in order. Nothing is added atomically; results repeat bit for bit.
//
// Blocks along x: column tiles of one tap, taps, splits, groups, in this order; along y filters.
#include "common.cuh"
#include "tile.cuh"

#define THREADS 64

extern "C" __global__ __launch_bounds__(THREADS, BLOCKS) void correlate(
    const T* p, long long p_image, int p_row, int p_pixel, const T* x, long long x_image, int x_row,
    int x_pixel, int height, int width, int out_height, int out_width, int filters, int channels,
    int taps, int kernel_width, int stride_height, int stride_width, int pad_top, int pad_left,
    int dilation_height, int dilation_width, int column_tiles, long long pixels, int splits,
    int groups, T* partial) {
    __align__(16) __shared__ T signal[2][DEPTH][64];
    __align__(16) __shared__ T image[2][DEPTH][64];

    const int thread = threadIdx.x, part = blockIdx.x / column_tiles / taps;
    const int split = part % splits, group = part / splits;
    const int tap = blockIdx.x / column_tiles % taps;
    const int first_channel = blockIdx.x % column_tiles * 64, first_filter = blockIdx.y * 64;
    const int down = tap / kernel_width * dilation_height - pad_top;
    const int across = tap % kernel_width * dilation_width - pad_left;
    p += group * filters, x += group * channels;

    const long long slabs = (pixels + DEPTH - 1) / DEPTH, each = (slabs + splits - 1) / splits;
    const long long begin = split * each;
    const long long end = begin + each < slabs ? begin + each : slabs;

    // This thread fetches from one pixel of the slab, thread / 8, eight numbers of each operand.
    const int pixel = thread / 8, eight = thread % 8 * 8;
    T from_p[8], from_x[8];
    auto fetch = [&](long long slab) {
        const long long at = slab * DEPTH + pixel;
        const bool exists = at < pixels;
        const int j = (int)(at % out_width), i = (int)(at / out_width % out_height);
        const int n = (int)(at / out_width / out_height);
        const int h = stride_height * i + down, w = stride_width * j + across;
        const bool inside = exists && h >= 0 && h < height && w >= 0 && w < width;
        const int rows = exists ? filters - first_filter - eight : 0;
        const int columns = inside ? channels - first_channel - eight : 0;
        load8(p + n * p_image + (long long)i * p_row + j * p_pixel + first_filter + eight, rows,
              (T)0, from_p);
        load8(x + n * x_image + (long long)h * x_row + w * x_pixel + first_channel + eight, columns,
              (T)0, from_x);
    };
    auto put = [&](int buffer) {
#pragma unroll
        for (int k = 0; k < 8; k++) {
            signal[buffer][pixel][eight + k] = from_p[k];
            image[buffer][pixel][eight + k] = from_x[k];
        }
    };

    Tile tile(thread, 64);
    if (begin < end) {
        fetch(begin);
        put(0);
    }
    __syncthreads();
    for (long long slab = begin; slab < end; slab++) {
        const int buffer = (int)(slab - begin) & 1;
        if (slab + 1 < end) fetch(slab + 1);
#pragma unroll
        for (int k = 0; k < DEPTH; k++) tile.multiply(signal[buffer][k], image[buffer][k]);
        if (slab + 1 < end) put(1 - buffer);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 8; r++) {
        const int filter = first_filter + tile.row_of(r);
        if (filter >= filters) continue;
        T* own = partial + ((((long long)split * groups + group) * filters + filter) *
                                taps + tap) * channels;
#pragma unroll
        for (int c = 0; c < 8; c++) {
            const int channel = first_channel + tile.column + c;
            if (channel < channels) own[channel] = tile.sums[r][c];
        }
    }
}

// w[o, c, tap]: the sum of what splits left, in their order, with taps last.
extern "C" __global__ void add(const T* partial, T* w, int splits, int taps, int channels,
                               long long count) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= count) return;
    T sum = 0;
    for (int split = 0; split < splits; split++) sum += partial[split * count + item];
    const int channel = (int)(item % channels), tap = (int)(item / channels % taps);
    w[(item / channels / taps * channels + channel) * taps + tap] = sum;
}
