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

// The bits of eight channels whose switch is `tap`.
__device__ __forceinline__ int matching(const byte* planes, long long plane, int bits, int tap) {
    int match = 255;
    for (int k = 0; k < bits; k++) {
        const int found = planes[k * plane];
        match &= (tap >> k) & 1 ? found : ~found;
    }
    return match;
}

// The windows on an axis that cover a place: from the first, while they begin at or before it.
__device__ __forceinline__ int first_window(int place, int pad, int extent, int stride) {
    const int least = place + pad - extent + 1;
    return least <= 0 ? 0 : (least + stride - 1) / stride;
}

// The tap of a window on an axis that lies at a place; -1 if none does.
__device__ __forceinline__ int tap_at(int place, int window, int pad, int stride, int dilation) {
    const int offset = place + pad - stride * window;
    return offset % dilation ? -1 : offset / dilation;
}

// How many taps of a window on an axis lie within first .. last - 1; at least 1.
__device__ __forceinline__ int counted(int begin, int kernel, int dilation, int first, int last) {
    int count = 0;
    for (int t = 0; t < kernel; t++) {
        const int at = begin + dilation * t;
        count += at >= first && at < last;
    }
    return count > 1 ? count : 1;
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
    const T* image = x + at.n * x_image + at.channel;
    for (int t = 0, down = 0; down < kernel_height; down++)
        for (int across = 0; across < kernel_width; across++, t++) {
            const int h = top + dilation_height * down, w = left + dilation_width * across;
            if (h < 0 || h >= height || w < 0 || w >= width) continue;
            load8(image + (long long)h * x_row + w * x_pixel, at.count, (T)0, v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (v[i] > best[i] || (v[i] != v[i] && best[i] == best[i]))
                    best[i] = v[i], switches[i] = t;
        }
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
    const byte* own = planes + (at.n % switch_images) * each + (at.channel >> 3);
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8];
    const int extent_h = dilation_height * (kernel_height - 1) + 1;
    const int extent_w = dilation_width * (kernel_width - 1) + 1;
    for (int i = first_window(at.h, pad_top, extent_h, stride_height);
         i < out_height && stride_height * i <= at.h + pad_top; i++) {
        const int down = tap_at(at.h, i, pad_top, stride_height, dilation_height);
        if (down < 0) continue;
        for (int j = first_window(at.w, pad_left, extent_w, stride_width);
             j < out_width && stride_width * j <= at.w + pad_left; j++) {
            const int across = tap_at(at.w, j, pad_left, stride_width, dilation_width);
            if (across < 0) continue;
            const int tap = down * kernel_width + across;
            const int match =
                center >= 0 ? (tap == center ? 255 : 0)
                            : matching(own + (long long)(i * out_width + j) * groups,
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
    const byte* own = planes + (at.n % switch_images) * each + item % each;
    T found[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8];
    for (int t = 0, down = 0; down < kernel_height; down++)
        for (int across = 0; across < kernel_width; across++, t++) {
            const int h = stride_height * at.h - pad_top + dilation_height * down;
            const int w = stride_width * at.w - pad_left + dilation_width * across;
            const int match = matching(own, each * switch_images, bits, t);
            if (!match || h < 0 || h >= height || w < 0 || w >= width) continue;
            load8(x + at.n * x_image + (long long)h * x_row + w * x_pixel + at.channel, at.count,
                  (T)0, v);
#pragma unroll
            for (int c = 0; c < 8; c++)
                if ((match >> c) & 1) found[c] = v[c];
        }
    store8(y + at.pixel * channels + at.channel, at.count, found);
}

// Taps count within the image widened by `before` and `after`: 0, or the pads where they count.
#define COUNTED_PARAMETERS int count_top, int count_left, int count_bottom, int count_right

extern "C" __global__ void average_pool(const T* x, long long x_image, int x_row, int x_pixel,
                                        T* y, long long items, COUNTED_PARAMETERS,
                                        WINDOW_PARAMETERS) {
    const long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= items) return;
    const Place at(item, out_height, out_width, channels);
    const int top = stride_height * at.h - pad_top, left = stride_width * at.w - pad_left;
    T sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, v[8];
    for (int down = 0; down < kernel_height; down++)
        for (int across = 0; across < kernel_width; across++) {
            const int h = top + dilation_height * down, w = left + dilation_width * across;
            if (h < 0 || h >= height || w < 0 || w >= width) continue;
            load8(x + at.n * x_image + (long long)h * x_row + w * x_pixel + at.channel, at.count,
                  (T)0, v);
#pragma unroll
            for (int c = 0; c < 8; c++) sums[c] += v[c];
        }
    const int count =
        counted(top, kernel_height, dilation_height, -count_top, height + count_bottom) *
        counted(left, kernel_width, dilation_width, -count_left, width + count_right);
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
    const int extent_h = dilation_height * (kernel_height - 1) + 1;
    const int extent_w = dilation_width * (kernel_width - 1) + 1;
    for (int i = first_window(at.h, pad_top, extent_h, stride_height);
         i < out_height && stride_height * i <= at.h + pad_top; i++) {
        if (tap_at(at.h, i, pad_top, stride_height, dilation_height) < 0) continue;
        const int rows = counted(stride_height * i - pad_top, kernel_height, dilation_height,
                                 -count_top, height + count_bottom);
        for (int j = first_window(at.w, pad_left, extent_w, stride_width);
             j < out_width && stride_width * j <= at.w + pad_left; j++) {
            if (tap_at(at.w, j, pad_left, stride_width, dilation_width) < 0) continue;
            const T count = rows * counted(stride_width * j - pad_left, kernel_width,
                                           dilation_width, -count_left, width + count_right);
            load8(p + at.n * p_image + (long long)i * p_row + j * p_pixel + at.channel, at.count,
                  (T)0, v);
#pragma unroll
            for (int c = 0; c < 8; c++) sums[c] += v[c] / count;
        }
    }
    store8(y + at.pixel * channels + at.channel, at.count, sums);
}
