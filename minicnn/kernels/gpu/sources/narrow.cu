// Convolution, or its transpose, of any geometry to at most eight channels: gradients of colour
// images, last layers that draw them. The product of convolution.cu would compute 64.
//
//     y[pixel, column] = sum over taps and channels of x[source(pixel, tap), channel] w[tap, ...]
//
// Eight threads share a pixel, four channels each of a slab of 32, so that they read the image side
// by side; each has all columns of PIXELS pixels, which use the same weights. Weights lie as
// they are read: [tap][slab][channel of a thread, half of the columns][thread][4 columns]. In the
// end the eight threads' sums are added in their order. Where a pixel reads is told in walk.cuh;
// blocks along x: those of one phase side by side, phase after phase.
#include "common.cuh"
#include "ending.cuh"
#include "walk.cuh"

#define THREADS 256
#define SHARE 8                          // threads that share a pixel
#define PIXELS 4                         // that each of them has
#define SLAB (4 * SHARE)                 // channels
#define STEP (THREADS / SHARE)           // from one of a thread's pixels to the next
#define ROWS_EACH (STEP * PIXELS)        // pixels of a block
#define WEIGHTS (SLAB * 8)               // of a tap and a slab
#define OUTSIDE (-(1 << 30))             // a place that no tap brings into the image

extern "C" __global__ __launch_bounds__(THREADS, BLOCKS) void narrow(
    const T* x, long long x_image, int x_row, int x_pixel, int height, int width, const T* weights,
    int depth, int slabs, int phases, int row_blocks, PLACES_PARAMETERS, ENDING_PARAMETERS) {
    __shared__ T room[THREADS][9];  // nine, so that a column's sums lie in different banks
    const int thread = threadIdx.x, own = thread % SHARE, team = thread / SHARE;
    const int phase = blockIdx.x / row_blocks;
    const Rows rows(phase, batch, out_height, out_width, stride_height, stride_width);
    const int first_row = blockIdx.x % row_blocks * ROWS_EACH + team;
    if (blockIdx.x % row_blocks * ROWS_EACH >= rows.count) return;  // whole blocks leave
    const Axis down(rows.phase_height, kernel_height, stride_height, pad_top, dilation_height);
    const Axis across(rows.phase_width, kernel_width, stride_width, pad_left, dilation_width);

    const T* images[PIXELS];
    int tops[PIXELS], lefts[PIXELS];
#pragma unroll
    for (int p = 0; p < PIXELS; p++) {
        const int row = first_row + STEP * p;
        const bool exists = row < rows.count;
        const int line = exists ? row / rows.width : 0, n = line / rows.height;
        images[p] = x + n * x_image + 4 * own;
        tops[p] = exists ? down.scale * (line - n * rows.height) + down.start : OUTSIDE;
        lefts[p] = across.scale * (row - line * rows.width) + across.start;
    }

    T sums[PIXELS][8];
#pragma unroll
    for (int p = 0; p < PIXELS; p++)
#pragma unroll
        for (int c = 0; c < 8; c++) sums[p][c] = 0;
    for (int i = 0; i < down.count; i++)
        for (int j = 0; j < across.count; j++) {
            const int tap = (down.first + i * down.step) * kernel_width + across.first +
                            j * across.step;
            const T* from_weights = weights + (long long)tap * slabs * WEIGHTS + 4 * own;
            const T* from[PIXELS];
            bool inside[PIXELS];
#pragma unroll
            for (int p = 0; p < PIXELS; p++) {
                const int h = tops[p] + i * down.change, w = lefts[p] + j * across.change;
                inside[p] = (unsigned)h < (unsigned)height && (unsigned)w < (unsigned)width;
                from[p] = images[p] + (inside[p] ? (long long)h * x_row + w * x_pixel : 0);
            }
            for (int channel = 4 * own; channel < SLAB * slabs; channel += SLAB) {
                Four values[PIXELS], some, others;
#pragma unroll
                for (int p = 0; p < PIXELS; p++) {
#if VECTOR
                    values[p] = inside[p] && channel < depth ? load4(from[p]) : zero4();
#else
#pragma unroll
                    for (int k = 0; k < 4; k++)
                        values[p].v[k] = inside[p] && channel + k < depth ? from[p][k] : (T)0;
#endif
                    from[p] += SLAB;
                }
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    some = load4(from_weights + 8 * SHARE * k);
                    others = load4(from_weights + 8 * SHARE * k + 4 * SHARE);
#pragma unroll
                    for (int p = 0; p < PIXELS; p++)
#pragma unroll
                        for (int c = 0; c < 8; c++)
                            sums[p][c] = fma(values[p].v[k], c < 4 ? some.v[c & 3] : others.v[c & 3],
                                             sums[p][c]);
                }
                from_weights += WEIGHTS;
            }
        }

    T totals[PIXELS];  // of column `own`
#pragma unroll
    for (int p = 0; p < PIXELS; p++) {
#pragma unroll
        for (int c = 0; c < 8; c++) room[thread][c] = sums[p][c];
        __syncthreads();
        totals[p] = 0;
        for (int k = 0; k < SHARE; k++) totals[p] += room[team * SHARE + k][own];
        __syncthreads();
    }
#pragma unroll
    for (int p = 0; p < PIXELS; p++) room[team * SHARE + p][own] = totals[p];
    __syncthreads();
    const int row = first_row + STEP * own;  // the first PIXELS threads end a pixel each
    if (own >= PIXELS || row >= rows.count) return;
    T v[8];
    for (int c = 0; c < 8; c++) v[c] = room[thread][c];
    const int line = row / rows.width, n = line / rows.height;
    int h = line - n * rows.height, w = row - line * rows.width;
#if TRANSPOSED
    h = h * stride_height + rows.phase_height, w = w * stride_width + rows.phase_width;
#endif
    const Ending ending = ENDING_ARGUMENTS;
    ending.finish8(v, n, h, w, 0);
}
