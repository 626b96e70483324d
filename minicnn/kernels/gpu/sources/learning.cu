// Optimisers, in place; see reference.sgd and reference.adam for the formulas.
#include "common.cuh"

extern "C" __global__ void sgd(T* w, const T* gradient, T* velocity, T rate, T momentum, T kept,
                               T decay, int nesterov, long long count) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    T step = gradient[i] + decay * w[i];
    if (velocity) {
        const T v = momentum * velocity[i] + kept * step;
        velocity[i] = v;
        step = nesterov ? step + momentum * v : v;
    }
    w[i] -= rate * step;
}

extern "C" __global__ void adam(T* w, const T* gradient, T* mean, T* square, T first,
                                T second, T epsilon, T decay, T shrink, T rate_now, T square_now,
                                long long count) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const T own = w[i] * shrink, g = gradient[i] + decay * own;
    const T m = first * mean[i] + (1 - first) * g, s = second * square[i] + (1 - second) * g * g;
    mean[i] = m, square[i] = s;
    w[i] = own - rate_now * m / (sqrt(s * square_now) + epsilon);
}
