// Where convolutions read: forwards and transposed the same walk. On each axis, pixel i of the result
// reads for tap t
//
//     forward       x[stride i - pad + dilation t]
//     transposed    x[(i + pad - dilation t) / stride]      where that divides,
//
// so transposed pixels fall into `stride` phases, each with taps of its own that all divide, and no
// multiplication is with a zero in between.

// One axis of the walk: which taps a phase has, and where they read.
struct Axis {
    int count, first, step;  // taps first, first + step, ...
    int start, change;       // source of the phase's pixel 0 for the first tap; from tap to tap
    int scale;               // from pixel to pixel

    __device__ Axis(int phase, int kernel, int stride, int pad, int dilation) {
#if TRANSPOSED
        first = 0, step = 1, count = 0;
        while (first < kernel && (phase + pad - dilation * first) % stride) first++;
        if (first < kernel) {
            while (dilation * step % stride) step++;
            count = (kernel - first + step - 1) / step;
        }
        start = (phase + pad - dilation * first) / stride;
        change = -(dilation * step / stride);
        scale = 1;
#else
        first = 0, step = 1, count = kernel, start = -pad, change = dilation, scale = stride;
#endif
    }
};

#define PLACES_PARAMETERS \
    int batch, int kernel_height, int kernel_width, int stride_height, int stride_width, \
    int pad_top, int pad_left, int dilation_height, int dilation_width

// The pixels of one phase of the result, in rows of the product.
struct Rows {
    int phase_height, phase_width, height, width, count;

    __device__ Rows(int phase, int batch, int out_height, int out_width, int stride_height,
                    int stride_width) {
#if TRANSPOSED
        phase_height = phase / stride_width, phase_width = phase % stride_width;
        height = (out_height - phase_height + stride_height - 1) / stride_height;
        width = (out_width - phase_width + stride_width - 1) / stride_width;
#else
        phase_height = phase_width = 0, height = out_height, width = out_width;
#endif
        count = height > 0 && width > 0 ? batch * height * width : 0;
    }
};
