// The epilogue slot: what happens to results before they are stored; as on the CPU.
//
//     value = (sum + bias) scale + shift + residual    each where there is one
//     value = value or 0                  by a bit of the mask      mode & MASK
//     signs = value > 0                   one bit a value           where asked for
//     value = max(value, 0)                                         mode & RECTIFY
//
// The mode may differ from image to image. A mask of fewer images is repeated.
#define RECTIFY 1
#define MASK 2

#define ENDING_PARAMETERS \
    T* y, long long y_image, int y_row, int y_pixel, \
    const T* bias, const T* scale, const T* shift, \
    const T* residual, long long residual_image, int residual_row, int residual_pixel, \
    const int* modes, int mode, const byte* mask, int mask_images, byte* signs, \
    int out_height, int out_width, int out_channels

#define ENDING_ARGUMENTS \
    Ending{y, y_image, y_row, y_pixel, bias, scale, shift, residual, residual_image, \
           residual_row, residual_pixel, modes, mode, mask, mask_images, signs, out_height, \
           out_width, out_channels}

struct Ending {
    T* y;
    long long y_image;
    int y_row, y_pixel;
    const T *bias, *scale, *shift, *residual;
    long long residual_image;
    int residual_row, residual_pixel;
    const int* modes;
    int mode;
    const byte* mask;
    int mask_images;
    byte* signs;
    int height, width, channels;

    // The same for one group of channels; bits are not split.
    __device__ __forceinline__ void turn_to(int group, int columns, long long y_group) {
        y += group * y_group;
        if (bias) bias += group * columns;
        if (scale) scale += group * columns;
        if (shift) shift += group * columns;
        if (residual) residual += group * columns;
    }

    // Byte of the bits of eight channels at a pixel.
    __device__ __forceinline__ long long bits_at(int n, int h, int w, int channel) const {
        return ((long long)(n * height + h) * width + w) * bytes_of(channels) + (channel >> 3);
    }

    // One number, without its sign bit.
    __device__ __forceinline__ T finished(T v, int n, int h, int w, int c, int bit) const {
        if (bias) v += bias[c];
        if (scale) v *= scale[c];
        if (shift) v += shift[c];
        if (residual)
            v += residual[n * residual_image + (long long)h * residual_row + w * residual_pixel + c];
        return bit ? v : (T)0;
    }

    __device__ __forceinline__ int mode_of(int n) const { return modes ? modes[n] : mode; }

    __device__ __forceinline__ int mask_byte(int now, int n, int h, int w, int channel) const {
        return now & MASK ? mask[bits_at(repeated(n, mask_images), h, w, channel)] : 255;
    }

    __device__ __forceinline__ T rectified(int now, T v) const {
        return (now & RECTIFY) && !(v > 0) && v == v ? (T)0 : v;
    }

    // Eight channels from `channel` on, a multiple of 8; stores those that exist.
    __device__ __forceinline__ void finish8(T* v, int n, int h, int w, int channel) const {
        int count = smaller(8, channels - channel), now = mode_of(n), bits = 0;
        int allowed = mask_byte(now, n, h, w, channel);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (i >= count) continue;
            T done = finished(v[i], n, h, w, channel + i, (allowed >> i) & 1);
            bits |= (done > 0) << i;
            v[i] = rectified(now, done);
        }
        if (signs) signs[bits_at(n, h, w, channel)] = bits;
        store8(y + n * y_image + (long long)h * y_row + w * y_pixel + channel, count, v);
    }
};
