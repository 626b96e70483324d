// Optimisers, in place; see reference.sgd and reference.adam for the formulas.
//
// A thread has four numbers, read at once where there are four. What an optimiser takes from one of
// its settings is computed on the host, in double precision: 1 - 0.999f would cost five digits.
#include "common.cuh"

// Four numbers from `i` on, of which `count - i` exist.
__device__ __forceinline__ Four some(const T* p, long long i, long long count) {
#if ALIGNED
    if (i + 4 <= count) return load4(p + i);
#endif
    Four four = zero4();
    for (int k = 0; k < 4; k++)
        if (i + k < count) four.v[k] = p[i + k];
    return four;
}

__device__ __forceinline__ void put(T* p, long long i, long long count, Four four) {
#if ALIGNED
    if (i + 4 <= count) {
        store4(p + i, four);
        return;
    }
#endif
    for (int k = 0; k < 4; k++)
        if (i + k < count) p[i + k] = four.v[k];
}

extern "C" __global__ void sgd(T* w, const T* gradient, T* velocity, T rate, T momentum, T kept,
                               T decay, int nesterov, long long count) {
    const long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= count) return;
    Four own = some(w, i, count), step = some(gradient, i, count);
    for (int k = 0; k < 4; k++) step.v[k] += decay * own.v[k];
    if (velocity) {
        Four v = some(velocity, i, count);
        for (int k = 0; k < 4; k++) {
            v.v[k] = momentum * v.v[k] + kept * step.v[k];
            step.v[k] = nesterov ? step.v[k] + momentum * v.v[k] : v.v[k];
        }
        put(velocity, i, count, v);
    }
    for (int k = 0; k < 4; k++) own.v[k] -= rate * step.v[k];
    put(w, i, count, own);
}

// mean = first mean + first_new g,  square = second square + second_new g^2.
extern "C" __global__ void adam(T* w, const T* gradient, T* mean, T* square, T first, T first_new,
                                T second, T second_new, T epsilon, T decay, T shrink, T rate_now,
                                T square_now, long long count) {
    const long long i = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= count) return;
    Four own = some(w, i, count), g = some(gradient, i, count);
    Four m = some(mean, i, count), s = some(square, i, count);
    for (int k = 0; k < 4; k++) {
        own.v[k] *= shrink;
        g.v[k] += decay * own.v[k];
        m.v[k] = first * m.v[k] + first_new * g.v[k];
        s.v[k] = second * s.v[k] + second_new * (g.v[k] * g.v[k]);
        own.v[k] -= rate_now * m.v[k] / (sqrt(s.v[k] * square_now) + epsilon);
    }
    put(mean, i, count, m), put(square, i, count, s), put(w, i, count, own);
}
