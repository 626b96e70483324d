// Convolution of any geometry, and its transpose towards the image, as one product of matrices:
//
//     y[pixel, column] = sum over taps and channels of x[source(pixel, tap), channel] w[tap, ...]
//
// ("implicit GEMM": the matrix of unfolded windows is never written; its numbers are fetched from
// the image as they are needed.) Rows of the product are pixels of the result, columns its
// channels, and the inner index runs over taps and, within one, channels.
//
// Where a pixel reads for a tap, and what phases are, is told in walk.cuh; a block works on one
// phase.
//
// A block computes ROWS x COLUMNS of the result, a thread 8 x 8. Slabs of 8 inner indices pass
// through two buffers in shared memory: while one is multiplied, the next is fetched.
//
// Where there are few pixels the inner index is split among blocks: each writes its sums to
// `partial`, and `finish` adds them in order, so that results repeat bit for bit.
//
// Blocks along x: those of one part's rows side by side, part after part, where a part is a group,
// a phase and a split. Along y and z a card takes 65,535 blocks only.
//
// Source: S. Chetlur et al., "cuDNN: efficient primitives for deep learning", 2014, section 3.
#include "common.cuh"
#include "ending.cuh"
#include "tile.cuh"
#include "walk.cuh"

#define THREADS (ROWS * COLUMNS / 64)
#define PER_ROW (THREADS / ROWS)      // threads that fetch for one row
#define FETCHES (2 / PER_ROW)         // times four numbers of the image that each thread fetches
#define WEIGHT_FETCHES (2 * COLUMNS / THREADS)

extern "C" __global__ __launch_bounds__(THREADS, BLOCKS) void convolution(
    const T* x, long long x_image, int x_row, int x_pixel, long long x_group, int height, int width,
    const T* weights, int depth, int columns, int padded, int groups, int phases, int splits,
    T* partial, int row_blocks, long long y_group, PLACES_PARAMETERS, ENDING_PARAMETERS) {
    __align__(16) __shared__ T image_slab[2][DEPTH][ROWS];
    __align__(16) __shared__ T weight_slab[2][DEPTH][COLUMNS];

    const int thread = threadIdx.x;
    const int part = blockIdx.x / row_blocks, split = part % splits;
    const int phase = part / splits % phases, group = part / splits / phases;
    const Rows rows(phase, batch, out_height, out_width, stride_height, stride_width);
    const int first_row = blockIdx.x % row_blocks * ROWS, first_column = blockIdx.y * COLUMNS;
    if (first_row >= rows.count) return;  // phases differ in size; whole blocks leave
    const Axis down(rows.phase_height, kernel_height, stride_height, pad_top, dilation_height);
    const Axis across(rows.phase_width, kernel_width, stride_width, pad_left, dilation_width);
    const int taps = down.count * across.count;

    x += group * x_group;
    weights += (long long)group * kernel_height * kernel_width * depth * padded;

    // What this thread fetches: row thread % ROWS, four inner indices at a time.
    const int own_row = first_row + thread % ROWS, own_part = thread / ROWS;
    const bool row_exists = own_row < rows.count;
    const int n = row_exists ? own_row / (rows.height * rows.width) : 0;
    const int i = own_row / rows.width % rows.height, j = own_row % rows.width;
    const T* own_image = x + n * x_image;
    const int own_top = down.scale * i + down.start, own_left = across.scale * j + across.start;

    // The inner indices of a slab: eight channels of one tap where channels come in fours, else a
    // run of eight that may go on from one tap to the next.
#if VECTOR
    const int slabs_per_tap = (depth + DEPTH - 1) / DEPTH;
    const int slabs = taps * slabs_per_tap;
#else
    const int slabs = (taps * depth + DEPTH - 1) / DEPTH;
#endif
    const int per_split = (slabs + splits - 1) / splits;
    const int begin = split * per_split, end = smaller(slabs, begin + per_split);

    auto weights_of = [&](int row, int column) -> const T* {  // of a tap, its place among taps given
        const int tap = (down.first + row * down.step) * kernel_width + across.first +
                        column * across.step;
        return weights + (long long)tap * depth * padded;
    };

    Four fetched[FETCHES], fetched_weights[WEIGHT_FETCHES];
#if VECTOR
    // Where the next fetch reads: a tap, and in it a channel.
    int tap_row = 0, tap_column = 0, at_channel = 0;
    const T *from = 0, *from_weights = 0;
    auto turn_to_tap = [&]() {
        const int h = own_top + tap_row * down.change, w = own_left + tap_column * across.change;
        const bool inside = row_exists && h >= 0 && h < height && w >= 0 && w < width;
        from = inside ? own_image + (long long)h * x_row + w * x_pixel : 0;
        from_weights = weights_of(tap_row, tap_column);
    };
    if (begin < end) {
        tap_row = begin / slabs_per_tap / across.count;
        tap_column = begin / slabs_per_tap % across.count;
        at_channel = begin % slabs_per_tap * DEPTH;
        turn_to_tap();
    }
    auto fetch = [&](int slab) {
#pragma unroll
        for (int f = 0; f < FETCHES; f++) {
            const int channel = at_channel + 4 * (own_part + PER_ROW * f);
            fetched[f] = from && channel < depth ? load4(from + channel) : zero4();
        }
#pragma unroll
        for (int f = 0; f < WEIGHT_FETCHES; f++) {
            const int quad = thread + THREADS * f, channel = at_channel + quad / (COLUMNS / 4);
            const int column = first_column + quad % (COLUMNS / 4) * 4;
            fetched_weights[f] = channel < depth && column < padded
                                     ? load4(from_weights + (long long)channel * padded + column)
                                     : zero4();
        }
        at_channel += DEPTH;
        if (at_channel >= depth) {
            at_channel = 0;
            if (++tap_column == across.count) tap_column = 0, tap_row++;
            turn_to_tap();
        }
    };
#else
    auto fetch = [&](int slab) {
#pragma unroll
        for (int f = 0; f < FETCHES; f++) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const int inner = slab * DEPTH + 4 * (own_part + PER_ROW * f) + k;
                const int tap = inner / depth;
                const int h = own_top + tap / across.count * down.change;
                const int w = own_left + tap % across.count * across.change;
                const bool inside = row_exists && tap < taps && h >= 0 && h < height && w >= 0 &&
                                    w < width;
                fetched[f].v[k] =
                    inside ? own_image[(long long)h * x_row + w * x_pixel + inner % depth] : (T)0;
            }
        }
#pragma unroll
        for (int f = 0; f < WEIGHT_FETCHES; f++) {
            const int quad = thread + THREADS * f, inner = slab * DEPTH + quad / (COLUMNS / 4);
            const int column = first_column + quad % (COLUMNS / 4) * 4, tap = inner / depth;
            fetched_weights[f] =
                tap < taps && column < padded
                    ? load4(weights_of(tap / across.count, tap % across.count) +
                            (long long)(inner % depth) * padded + column)
                    : zero4();
        }
    };
#endif

    auto put = [&](int buffer) {
#pragma unroll
        for (int f = 0; f < FETCHES; f++)
#pragma unroll
            for (int k = 0; k < 4; k++)
                image_slab[buffer][4 * (own_part + PER_ROW * f) + k][thread % ROWS] =
                    fetched[f].v[k];
#pragma unroll
        for (int f = 0; f < WEIGHT_FETCHES; f++) {
            const int quad = thread + THREADS * f;
            store4(&weight_slab[buffer][quad / (COLUMNS / 4)][quad % (COLUMNS / 4) * 4],
                   fetched_weights[f]);
        }
    };

    Tile tile(thread, ROWS);
    if (begin < end) {
        fetch(begin);
        put(0);
    }
    __syncthreads();
    for (int slab = begin; slab < end; slab++) {
        const int buffer = (slab - begin) & 1;
        if (slab + 1 < end) fetch(slab + 1);
#pragma unroll
        for (int k = 0; k < DEPTH; k++)
            tile.multiply(image_slab[buffer][k], weight_slab[buffer][k]);
        if (slab + 1 < end) put(1 - buffer);
        __syncthreads();
    }

    const int column = first_column + tile.column;
    if (column >= padded) return;
    Ending ending = ENDING_ARGUMENTS;
    ending.turn_to(group, columns, y_group);
#pragma unroll
    for (int r = 0; r < 8; r++) {
        const int row = first_row + tile.row_of(r);
        if (row >= rows.count) continue;
        if (splits > 1) {
            T* own = partial + (((long long)part * row_blocks * ROWS + row) * padded + column);
            Four a, b;
#pragma unroll
            for (int c = 0; c < 4; c++) a.v[c] = tile.sums[r][c], b.v[c] = tile.sums[r][4 + c];
            store4(own, a), store4(own + 4, b);
            continue;
        }
        const int image = row / (rows.height * rows.width);
        int h = row / rows.width % rows.height, w = row % rows.width;
#if TRANSPOSED
        h = h * stride_height + rows.phase_height, w = w * stride_width + rows.phase_width;
#endif
        ending.finish8(tile.sums[r], image, h, w, column);
    }
}

// Adds up what splits left, in their order, and ends as the product does.
extern "C" __global__ void finish(
    const T* partial, int groups, int phases, int splits, int columns, int padded,
    long long rows_each, int item_blocks, long long y_group, PLACES_PARAMETERS, ENDING_PARAMETERS) {
    const int part = blockIdx.x / item_blocks, group = part / phases, phase = part % phases;
    const long long item =
        (long long)(blockIdx.x % item_blocks) * blockDim.x + threadIdx.x;
    const int wide = padded / 8;
    const Rows rows(phase, batch, out_height, out_width, stride_height, stride_width);
    const int row = (int)(item / wide), column = (int)(item % wide) * 8;
    if (item >= (long long)rows.count * wide) return;
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (int split = 0; split < splits; split++) {
        const long long own_part = (long long)part * splits + split;
        const T* own = partial + (own_part * rows_each + row) * padded + column;
        const Four a = load4(own), b = load4(own + 4);
#pragma unroll
        for (int c = 0; c < 4; c++) sums[c] += a.v[c], sums[4 + c] += b.v[c];
    }
    const int image = row / (rows.height * rows.width);
    int h = row / rows.width % rows.height, w = row % rows.width;
#if TRANSPOSED
    h = h * stride_height + rows.phase_height, w = w * stride_width + rows.phase_width;
#endif
    Ending ending = ENDING_ARGUMENTS;
    ending.turn_to(group, columns, y_group);
    ending.finish8(sums, image, h, w, column);
}
