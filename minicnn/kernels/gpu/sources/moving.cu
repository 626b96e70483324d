// Adding at indices: what taking them, padding by reflection and resampling are transposed to.
//
//     x[lead, s, tail] = sum over k with indices[k] = s of p[lead, k, tail]
//
// In gather form: `order` holds the k sorted by their index, `starts` where those of each s begin,
// so that a thread adds what belongs to its number in the order of k. Nothing is added atomically;
// results repeat bit for bit.
#include "common.cuh"

extern "C" __global__ void put_add(const T* p, const long long* order, const long long* starts,
                                   T* x, long long taken, long long size, long long tail,
                                   long long items) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const long long s = item / tail % size, lead = item / tail / size;
    const T* own = p + lead * taken * tail + item % tail;
    T sum = 0;
    for (long long k = starts[s]; k < starts[s + 1]; k++) sum += own[order[k] * tail];
    x[item] = sum;
}
