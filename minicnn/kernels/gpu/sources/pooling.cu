// Pooling and its ways back, eight channels of a pixel a thread: their switches are bytes of the
// bit planes.
//
//     max_pool         y = max over each window, and which tap won; outside lies minus infinity
//     unpool           each pixel of the image adds the p of every window whose winner it is
//     gather           y = the tap that won
//     average_pool     y = mean over each window
//     average_unpool   each pixel adds its share of every window that covers it
//
// The ways back look from the pixel for its windows, in order: nothing is added by two threads, so
// results repeat bit for bit.
#include "common.cuh"

#define WINDOW_PARAMETERS \
    int height, int width, int out_height, int out_width, int channels, int kernel_height, \
    int kernel_width, int stride_height, int stride_width, int pad_top, int pad_left, \
    int dilation_height, int dilation_width

// Taps count within the image widened by this much: 0, or the pads where they count.
#define COUNTED_PARAMETERS int count_top, int count_left, int count_bottom, int count_right

// Taps first .. last - 1 of a window on an axis: those that lie within least .. most - 1; none
// where last <= first.
struct Taps {
    int first, last;

    __device__ __forceinline__ Taps(int begin, int kernel, int dilation, int least, int most) {
        first = begin >= least ? 0 : (least - begin + dilation - 1) / dilation;
        last = begin + dilation * (kernel - 1) < most ? kernel
                                                      : (most - begin + dilation - 1) / dilation;
    }

    // How many, but 1 for none, to divide by.
    __device__ __forceinline__ int count() const { return last > first + 1 ? last - first : 1; }
};

// Windows first .. last - 1 on an axis: those from whose first to last tap a place lies.
struct Windows {
    int end, stride, dilation, first, last;

    __device__ __forceinline__ Windows(int place, int pad, int kernel, int stride, int dilation,
                                       int windows)
        : end(place + pad), stride(stride), dilation(dilation) {
        const int reach = dilation * (kernel - 1);
        const int latest = end < 0 ? -1 : (int)((unsigned)end / (unsigned)stride);
        first = last = smaller(windows, latest + 1);
        while (first > 0 && end - stride * (first - 1) <= reach) first--;  // few, mostly
    }

    // The window's tap at the place; -1 where the place lies between two.
    __device__ __forceinline__ int tap(int window) const {
        const int offset = end - stride * window;
        if (dilation == 1) return offset;
        return offset % dilation ? -1 : offset / dilation;
    }
};

// The bits of eight channels whose switch is `tap`.
__device__ __forceinline__ int matching(const byte* planes, long long plane, int bits, int tap) {
    int match = 255;
#pragma unroll 2
    for (int k = 0; k < bits; k++) {
        const int found = planes[k * plane];
        match &= (tap >> k) & 1 ? found : ~found;
    }
    return match;
}

extern "C" __global__ void max_pool(const T* x, long long x_image, int x_row, int x_pixel, T* y,
                                    byte* planes, int bits, long long items, WINDOW_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, out_height, out_width, channels);
    T best[8], v[8];
    int switches[8];
#pragma unroll
    for (int i = 0; i < 8; i++) best[i] = -INFINITY, switches[i] = 0;
    const int top = stride_height * at.h - pad_top, left = stride_width * at.w - pad_left;
    const Taps rows(top, kernel_height, dilation_height, 0, height);
    const Taps columns(left, kernel_width, dilation_width, 0, width);
    const T* image = x + at.n * x_image + at.channel;
    for (int down = rows.first; down < rows.last; down++)
        for (int across = columns.first; across < columns.last; across++) {
            const int h = top + dilation_height * down, w = left + dilation_width * across;
            load8(image + (long long)h * x_row + w * x_pixel, at.count, (T)0, v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (v[i] > best[i] || (v[i] != v[i] && best[i] == best[i]))
                    best[i] = v[i], switches[i] = down * kernel_width + across;
        }
#pragma unroll 2
    for (int k = 0; k < bits; k++) {
        int found = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) found |= (i < at.count ? (switches[i] >> k) & 1 : 0) << i;
        planes[k * items + item] = found;
    }
    store8(y + at.pixel * channels + at.channel, at.count, best);
}

// With center >= 0 each p goes to that tap, without switches. Those of fewer images are repeated.
extern "C" __global__ void unpool(const T* p, long long p_image, int p_row, int p_pixel, T* y,
                                  const byte* planes, int bits, int switch_images, int center,
                                  long long items, WINDOW_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, height, width, channels);
    const int groups = bytes_of(channels);
    const long long each = (long long)out_height * out_width * groups;
    const byte* own = planes + repeated(at.n, switch_images) * each + (at.channel >> 3);
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8];
    const Windows rows(at.h, pad_top, kernel_height, stride_height, dilation_height, out_height);
    const Windows columns(at.w, pad_left, kernel_width, stride_width, dilation_width, out_width);
    for (int i = rows.first; i < rows.last; i++) {
        const int down = rows.tap(i);
        if (down < 0) continue;
        for (int j = columns.first; j < columns.last; j++) {
            const int across = columns.tap(j);
            if (across < 0) continue;
            const int tap = down * kernel_width + across;
            const int match =
                center >= 0 ? (tap == center ? 255 : 0)
                            : matching(own + ((long long)i * out_width + j) * groups,
                                       each * switch_images, bits, tap);
            if (!match) continue;
            load8(p + at.n * p_image + (long long)i * p_row + j * p_pixel + at.channel, at.count,
                  (T)0, v);
#pragma unroll
            for (int c = 0; c < 8; c++)
                if ((match >> c) & 1) sums[c] += v[c];
        }
    }
    store8(y + at.pixel * channels + at.channel, at.count, sums);
}

extern "C" __global__ void gather(const T* x, long long x_image, int x_row, int x_pixel, T* y,
                                  const byte* planes, int bits, int switch_images, long long items,
                                  WINDOW_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, out_height, out_width, channels);
    const long long each = (long long)out_height * out_width * bytes_of(channels);
    const byte* own = planes + item + (repeated(at.n, switch_images) - at.n) * each;
    int switches[8] = {0, 0, 0, 0, 0, 0, 0, 0};
#pragma unroll 2
    for (int k = 0; k < bits; k++) {
        const int found = own[k * each * switch_images];
#pragma unroll
        for (int c = 0; c < 8; c++) switches[c] |= ((found >> c) & 1) << k;
    }
    const int top = stride_height * at.h - pad_top, left = stride_width * at.w - pad_left;
    const T* image = x + at.n * x_image + at.channel;
    T v[8];
#pragma unroll
    for (int c = 0; c < 8; c++) {
        const int down = (unsigned)switches[c] / (unsigned)kernel_width;
        const int across = switches[c] - down * kernel_width;
        const int h = top + dilation_height * down, w = left + dilation_width * across;
        const bool inside = c < at.count && h >= 0 && h < height && w >= 0 && w < width;
        v[c] = inside ? image[(long long)h * x_row + w * x_pixel + c] : (T)0;
    }
    store8(y + at.pixel * channels + at.channel, at.count, v);
}

extern "C" __global__ void average_pool(const T* x, long long x_image, int x_row, int x_pixel,
                                        T* y, long long items, COUNTED_PARAMETERS,
                                        WINDOW_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, out_height, out_width, channels);
    const int top = stride_height * at.h - pad_top, left = stride_width * at.w - pad_left;
    const Taps rows(top, kernel_height, dilation_height, 0, height);
    const Taps columns(left, kernel_width, dilation_width, 0, width);
    const T* image = x + at.n * x_image + at.channel;
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8];
    for (int down = rows.first; down < rows.last; down++)
        for (int across = columns.first; across < columns.last; across++) {
            const int h = top + dilation_height * down, w = left + dilation_width * across;
            load8(image + (long long)h * x_row + w * x_pixel, at.count, (T)0, v);
#pragma unroll
            for (int c = 0; c < 8; c++) sums[c] += v[c];
        }
    const Taps high(top, kernel_height, dilation_height, -count_top, height + count_bottom);
    const Taps wide(left, kernel_width, dilation_width, -count_left, width + count_right);
    const int count = high.count() * wide.count();
#pragma unroll
    for (int c = 0; c < 8; c++) sums[c] /= count;
    store8(y + at.pixel * channels + at.channel, at.count, sums);
}

extern "C" __global__ void average_unpool(const T* p, long long p_image, int p_row, int p_pixel,
                                          T* y, long long items, COUNTED_PARAMETERS,
                                          WINDOW_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, height, width, channels);
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8];
    const Windows rows(at.h, pad_top, kernel_height, stride_height, dilation_height, out_height);
    const Windows columns(at.w, pad_left, kernel_width, stride_width, dilation_width, out_width);
    for (int i = rows.first; i < rows.last; i++) {
        if (rows.tap(i) < 0) continue;
        const Taps high(stride_height * i - pad_top, kernel_height, dilation_height, -count_top,
                        height + count_bottom);
        for (int j = columns.first; j < columns.last; j++) {
            if (columns.tap(j) < 0) continue;
            const Taps wide(stride_width * j - pad_left, kernel_width, dilation_width, -count_left,
                            width + count_right);
            const T share = (T)1 / (high.count() * wide.count());
            load8(p + at.n * p_image + (long long)i * p_row + j * p_pixel + at.channel, at.count,
                  (T)0, v);
#pragma unroll
            for (int c = 0; c < 8; c++) sums[c] += v[c] * share;
        }
    }
    store8(y + at.pixel * channels + at.channel, at.count, sums);
}
