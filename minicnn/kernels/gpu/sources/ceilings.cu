// What a card reaches at best: multiply-adds on registers, and copies of memory.
#include "common.cuh"

#define CHAINS 16  // that do not wait for each other

extern "C" __global__ void multiply_add(T* y, T a, int times) {
    T sums[CHAINS];
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sums[i] = (T)(threadIdx.x + i);
    for (int t = 0; t < times; t++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++) sums[i] = fma(sums[i], a, a);
    T total = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++) total += sums[i];
    y[(long long)blockIdx.x * blockDim.x + threadIdx.x] = total;
}

extern "C" __global__ void copy(const T* x, T* y, long long quads) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < quads) store4(y + 4 * i, load4(x + 4 * i));
}
