// A few rows times a matrix: linear layers of small batches, which read every weight once.
//
//     partial[split, row, column] = sum over the split's k of x[row, k] w[k, column]
//
// A thread has four columns and all rows, so weights arrive sixteen bytes at a time and are used
// for each row; the sums run over k in order, as those of convolution.cu do, so a row's result is
// the same bits whichever of the two computes it. `finish` of convolution.cu adds the splits.
#include "common.cuh"

#define AHEAD 8  // weights in flight

extern "C" __global__ void rows_times_matrix(const T* x, int x_row, const T* w, int rows, int depth,
                                             int padded, int splits, long long rows_each,
                                             T* partial) {
    const int column = (blockIdx.x * blockDim.x + threadIdx.x) * 4, split = blockIdx.y;
    const int first_row = blockIdx.z * ROWS;
    if (column >= padded) return;
    const int slabs = (depth + 7) / 8, each = (slabs + splits - 1) / splits;
    const int begin = split * each * 8, end = smaller(depth, begin + each * 8);
    Four sums[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) sums[r] = zero4();
    const T* own = x + (long long)first_row * x_row;
    int k = begin;
    for (; k + AHEAD <= end; k += AHEAD) {
        Four weights[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) weights[i] = load4(w + (long long)(k + i) * padded + column);
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                const T a = first_row + r < rows ? own[(long long)r * x_row + k + i] : (T)0;
#pragma unroll
                for (int c = 0; c < 4; c++)
                    sums[r].v[c] = fma(a, weights[i].v[c], sums[r].v[c]);
            }
    }
    for (; k < end; k++) {
        const Four weights = load4(w + (long long)k * padded + column);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const T a = first_row + r < rows ? own[(long long)r * x_row + k] : (T)0;
#pragma unroll
            for (int c = 0; c < 4; c++) sums[r].v[c] = fma(a, weights.v[c], sums[r].v[c]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (first_row + r < rows)
            store4(partial + (split * rows_each + first_row + r) * padded + column, sums[r]);
}
