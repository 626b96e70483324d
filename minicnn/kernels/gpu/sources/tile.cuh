// The tile of a product of matrices that a thread computes, 8 x 8 numbers, from slabs of eight inner
// indices in shared memory. Within a warp the threads lie 8 x 4, so that reads meet no bank twice.
//
// Source: V. Volkov and J. Demmel, "Benchmarking GPUs to tune dense linear algebra", SC 2008.
#include "common.cuh"

#define DEPTH 8

struct Tile {
    int row, column;  // rows row .. row + 3 and row + 32 .. row + 35, eight columns side by side
    T sums[8][8];

    // `rows` of the block's tile are 64 or 128, 64 of them a warp.
    __device__ __forceinline__ Tile(int thread, int rows) {
        const int warp = thread / 32, lane = thread % 32;
        row = warp % (rows / 64) * 64 + lane / 4 * 4;
        column = warp / (rows / 64) * 32 + lane % 4 * 8;
#pragma unroll
        for (int r = 0; r < 8; r++)
#pragma unroll
            for (int c = 0; c < 8; c++) sums[r][c] = 0;
    }

    // Adds one inner index: a line of each slab.
    __device__ __forceinline__ void multiply(const T* left, const T* right) {
        const Four a0 = load4(left + row), a1 = load4(left + row + 32);
        const Four b0 = load4(right + column), b1 = load4(right + column + 4);
#pragma unroll
        for (int r = 0; r < 8; r++) {
            const T a = r < 4 ? a0.v[r & 3] : a1.v[r & 3];
#pragma unroll
            for (int c = 0; c < 8; c++)
                sums[r][c] = fma(a, c < 4 ? b0.v[c & 3] : b1.v[c & 3], sums[r][c]);
        }
    }

    // Which row of the block's tile the thread's row r is.
    __device__ __forceinline__ int row_of(int r) const { return row + (r < 4 ? r : 28 + r); }
};
