// What all kernels share: the number type T, four numbers at once, and bits of channels.
//
// Images are addressed by steps in numbers: element (n, c, h, w) stands at
//     n * image + h * row + w * pixel + c.
// Bits stand as in Packed: ceil(channels / 8) bytes a pixel, lowest bit first, images row by row.
typedef unsigned char byte;

#ifndef INFINITY  // a macro of math.h, which NVRTC does not have
#define INFINITY (1.0f / 0.0f)
#endif

struct __align__(16) Four {
    T v[4];
};

__device__ __forceinline__ Four zero4() {
    Four four;
    for (int i = 0; i < 4; i++) four.v[i] = 0;
    return four;
}

// A test on the CPU may define this to look at the address.
#ifndef READS_FOUR_AT
#define READS_FOUR_AT(p)
#endif

__device__ __forceinline__ Four load4(const T* p) {
    READS_FOUR_AT(p);
    return *reinterpret_cast<const Four*>(p);
}

__device__ __forceinline__ void store4(T* p, Four four) {
    READS_FOUR_AT(p);
    *reinterpret_cast<Four*>(p) = four;
}

__device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }

// n modulo how many there are, which it seldom reaches: divisions take long.
__device__ __forceinline__ int repeated(int n, int count) { return n < count ? n : n % count; }

__device__ __forceinline__ int bytes_of(int channels) { return (channels + 7) >> 3; }

// Eight channels from `p` on, of which `count` exist; the others become `filling`.
__device__ __forceinline__ void load8(const T* p, int count, T filling, T* v) {
#if ALIGNED
    if (count >= 8) {
        Four a = load4(p), b = load4(p + 4);
        for (int i = 0; i < 4; i++) v[i] = a.v[i], v[4 + i] = b.v[i];
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = i < count ? p[i] : filling;
}

__device__ __forceinline__ void store8(T* p, int count, const T* v) {
#if ALIGNED
    if (count >= 8) {
        Four a, b;
        for (int i = 0; i < 4; i++) a.v[i] = v[i], b.v[i] = v[4 + i];
        store4(p, a), store4(p + 4, b);
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < count) p[i] = v[i];
}

// What a thread works on: eight channels of a pixel, and how many of those exist.
struct Place {
    int n, h, w, channel, count;
    long long pixel;

    __device__ __forceinline__ Place(long long item, int height, int width, int channels) {
        const unsigned groups = bytes_of(channels);
        unsigned line;
        if (item >> 31) {  // divisions of long numbers take long
            pixel = item / groups;
            line = (unsigned)(pixel / width);
        } else {
            pixel = (unsigned)item / groups;
            line = (unsigned)pixel / (unsigned)width;
        }
        channel = (int)(item - pixel * groups) * 8;
        w = (int)(pixel - (long long)line * width);
        n = line / (unsigned)height;
        h = line - n * height;
        count = smaller(8, channels - channel);
    }

    // Where the eight channels begin in an image with these steps.
    __device__ __forceinline__ const T* of(const T* x, long long image, int row, int step) const {
        return x + n * image + (long long)h * row + w * step + channel;
    }
};
