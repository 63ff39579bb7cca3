/*
 * thimble.h: the whole C ABI of a thimble backend.
 *
 * A device is a shared library that exports exactly these functions: the CPU variant (csrc/cpu) and the CUDA
 * variant (csrc/cuda) differ in nothing that can be seen from here. `scripts/gen-ffi.ts` reads this file and
 * writes the TypeScript symbol table, the enums, and the CPU variant's run-time dispatch.
 *
 * Conventions
 * - Arguments are pointers, int32_t and double only: bun:ffi passes those in a few nanoseconds.
 * - Outputs come first. Every TH_KERNEL function returns a th_status; th_last_error() has the text.
 * - Pointers are device memory, except those named host_*. They already point at the first element (the caller
 *   adds the array's offset), and hold float32 unless a dtype or the name says otherwise. Elements are 4 bytes.
 * - An array has at most 2^31 - 1 elements; sizes and strides count elements, and strides may be zero (broadcast)
 *   or negative (flip).
 * - "layout" is a host array {ndim, shape[ndim], strides of operand 0, strides of operand 1, …}: one shared shape,
 *   then one row of strides for each operand in the order of the arguments. ndim is at most TH_MAX_NDIM.
 * - The caller has validated shapes, dtypes and devices; kernels trust it. Only what is known to the data alone is
 *   checked here (labels and ids against the number of classes or rows). A device that works asynchronously finds that out,
 *   and errors of its own, after the call has returned: then the next th_download has the status.
 * - Nothing here throws, prints, exits, or reads the environment.
 */
#ifndef THIMBLE_H
#define THIMBLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TH_ABI_VERSION 8
#define TH_MAX_NDIM 16

/* TH_API: compiled once. TH_KERNEL: arithmetic, compiled once for each instruction set (see csrc/cpu/dispatch.gen.c). */
#define TH_API __attribute__((visibility("default")))
#ifndef TH_KERNEL
#define TH_KERNEL __attribute__((visibility("default")))
#endif

typedef enum {
  TH_STATUS_OK = 0,
  TH_STATUS_OUT_OF_MEMORY = 1, /* a kernel could not get its work space */
  TH_STATUS_INDEX = 2,         /* a label or id in the data is outside its range */
  TH_STATUS_UNSUPPORTED = 3,   /* this backend or machine does not have what was asked for */
  TH_STATUS_DEVICE = 4,        /* the device reported an error */
} th_status;

typedef enum { TH_DTYPE_FLOAT32 = 0, TH_DTYPE_INT32 = 1 } th_dtype;

typedef enum { TH_ISA_PORTABLE = 0, TH_ISA_AVX2 = 1, TH_ISA_AVX512 = 2 } th_isa;

typedef enum {
  TH_MEMORY_LIVE = 0,   /* bytes handed out by th_alloc and not freed */
  TH_MEMORY_PEAK = 1,   /* the most of it since the start or th_memory_reset_peak */
  TH_MEMORY_CACHED = 2, /* bytes freed and kept for reuse */
  TH_MEMORY_LIMIT = 3,  /* th_alloc fails beyond this many live bytes; infinite by default */
} th_memory;

/* ------------------------------------------------------------------------------------------------ library */

/** TH_ABI_VERSION of this build; the loader refuses another. */
TH_API int32_t th_abi_version(void);
/** Text of the last error on the calling thread; empty when there was none. Valid until the next call. */
TH_API const char *th_last_error(void);
/** Makes device `index` of this library ready; called before anything that follows. A library serves one device a process.
    TH_STATUS_UNSUPPORTED when it is not there. */
TH_API int32_t th_open(int32_t index);
/** The device as users know it: "cpu", "cuda:0", "cuda:0 (emulated)". */
TH_API const char *th_device_name(void);
/** Number of threads a kernel may use, at least 1. Default: the processors this process may run on. */
TH_API int32_t th_get_threads(void);
TH_API int32_t th_set_threads(int32_t count);
/** The instruction set (th_isa) in use; the best this processor has, unless th_set_isa chose one. */
TH_API int32_t th_get_isa(void);
/** TH_STATUS_UNSUPPORTED when this processor or build lacks it. */
TH_API int32_t th_set_isa(int32_t isa);

/* ------------------------------------------------------------------------------------------------- memory */

/** 64-byte aligned memory from the caching allocator; NULL when there is none. Thread-safe. */
TH_API void *th_alloc(double bytes);
/** Returns memory of th_alloc to the cache. Thread-safe. NULL is allowed. */
TH_API void th_free(void *pointer);
/** The function `void (void *pointer, void *context)` that calls th_free(pointer), for toArrayBuffer. */
TH_API void *th_deallocator(void);
/** One of th_memory, in bytes. */
TH_API double th_memory_stat(int32_t which);
TH_API void th_memory_reset_peak(void);
/** Sets TH_MEMORY_LIMIT; 0 or less means none. */
TH_API void th_memory_set_limit(double bytes);
/** Gives all cached memory, and the calling thread's work space, back to the system. */
TH_API void th_memory_trim(void);
/** Copies from host memory to the device, in order with the kernels. The host memory may be reused on return. */
TH_API int32_t th_upload(void *out, const void *host_in, double bytes);
/** Copies from the device to host memory, after all kernels before it; complete on return. */
TH_API int32_t th_download(void *host_out, const void *in, double bytes);

/* -------------------------------------------------------------------------------------------- elementwise */

typedef enum {
  TH_UNARY_NEG = 0,
  TH_UNARY_EXP = 1,
  TH_UNARY_LOG = 2,
  TH_UNARY_SQRT = 3,
  TH_UNARY_TANH = 4,
  TH_UNARY_RELU = 5, /* NaN stays NaN */
  TH_UNARY_SIGMOID = 6,
  TH_UNARY_ABS = 7,
  TH_UNARY_ADD_SCALAR = 8,      /* x + p */
  TH_UNARY_MUL_SCALAR = 9,      /* x · p */
  TH_UNARY_RSUB_SCALAR = 10,    /* p - x */
  TH_UNARY_DIV_SCALAR = 11,     /* x / p */
  TH_UNARY_RDIV_SCALAR = 12,    /* p / x */
  TH_UNARY_POW_SCALAR = 13,     /* x^p as C's pow */
  TH_UNARY_MAXIMUM_SCALAR = 14, /* max(x, p), NaN wins */
  TH_UNARY_EQUAL_SCALAR = 15,   /* x == p ? 1 : 0 */
  TH_UNARY_GREATER_SCALAR = 16, /* x > p ? 1 : 0 */
  TH_UNARY_MINIMUM_SCALAR = 17, /* min(x, p), NaN wins */
  TH_UNARY_NOT_EQUAL_SCALAR = 18,
  TH_UNARY_LESS_SCALAR = 19,
  TH_UNARY_LESS_EQUAL_SCALAR = 20,
  TH_UNARY_GREATER_EQUAL_SCALAR = 21,
  TH_UNARY_SIN = 22,
  TH_UNARY_COS = 23,
  TH_UNARY_GELU = 24,       /* x · Φ(x), Φ the normal distribution */
  TH_UNARY_SILU = 25,       /* x · sigmoid(x) */
  TH_UNARY_SOFTPLUS = 26,   /* log(1 + exp(x)) */
  TH_UNARY_LEAKY_RELU = 27, /* x < 0 ? p · x : x */
  TH_UNARY_FLOOR = 28,
  TH_UNARY_CEIL = 29,
  TH_UNARY_ROUND = 30, /* halves to even */
  TH_UNARY_HUBER = 31, /* |x| <= p ? x² / 2 : p · (|x| - p / 2) */
} th_unary_op;

typedef enum {
  TH_BINARY_ADD = 0,
  TH_BINARY_SUB = 1,
  TH_BINARY_MUL = 2,
  TH_BINARY_DIV = 3,
  TH_BINARY_MAXIMUM = 4,           /* NaN wins */
  TH_BINARY_EQUAL = 5,             /* 1 or 0 */
  TH_BINARY_GREATER = 6,           /* 1 or 0 */
  TH_BINARY_TANH_BACKWARD = 7,     /* (g, y): g · (1 - y²) */
  TH_BINARY_SIGMOID_BACKWARD = 8,  /* (g, y): g · y · (1 - y) */
  TH_BINARY_RELU_BACKWARD = 9,     /* (g, y): y > 0 ? g : 0 */
  TH_BINARY_SQRT_BACKWARD = 10,    /* (g, y): g / (2y) */
  TH_BINARY_ABS_BACKWARD = 11,     /* (g, x): g · sign(x), zero where x is NaN */
  TH_BINARY_POW_BACKWARD = 12,     /* (g, x): g · p · x^(p - 1), zero where p is zero */
  TH_BINARY_MAXIMUM_BACKWARD = 13, /* (a, b): the share of the gradient that a gets: 1 (by NaN too), 1/2 on a tie, 0 */
  TH_BINARY_EXP_SUB = 14,          /* (x, y): exp(x - y), and 1 where both are the same infinity */
  TH_BINARY_MINIMUM = 15,          /* NaN wins */
  TH_BINARY_NOT_EQUAL = 16,
  TH_BINARY_GREATER_EQUAL = 17,
  TH_BINARY_GELU_BACKWARD = 18,       /* (g, x): g · (Φ(x) + x · φ(x)) */
  TH_BINARY_SILU_BACKWARD = 19,       /* (g, x): g · s · (1 + x · (1 - s)), s = sigmoid(x) */
  TH_BINARY_SOFTPLUS_BACKWARD = 20,   /* (g, x): g · sigmoid(x) */
  TH_BINARY_LEAKY_RELU_BACKWARD = 21, /* (g, x): x > 0 ? g : p · g */
  TH_BINARY_LESS = 22,
  TH_BINARY_LESS_EQUAL = 23,
  TH_BINARY_HUBER_BACKWARD = 24, /* (g, x): g · min(max(x, -p), p) */
  TH_BINARY_LERP = 25,           /* x + p · (y - x), exact at both ends */
} th_binary_op;

/** out[…] = value. layout: out. */
TH_KERNEL int32_t th_fill(void *out, const int32_t *layout, double value, int32_t dtype);
/** out[…] = in[…], any 4-byte elements. layout: out, in. They must not overlap. */
TH_KERNEL int32_t th_copy(void *out, const void *in, const int32_t *layout);
/** out[…] = in[…] converted from th_dtype `from` to `to`; floats are truncated towards zero, and saturate; NaN gives 0. */
TH_KERNEL int32_t th_cast(void *out, const void *in, const int32_t *layout, int32_t from, int32_t to);
/** out[…] = op(in[…], p). Both have the dtype; int32 takes NEG, ABS, ADD_SCALAR, MUL_SCALAR, RSUB_SCALAR, MAXIMUM_SCALAR,
    MINIMUM_SCALAR and comparisons, and wraps on overflow. layout: out, in. `out` may be `in` at the same layout. */
TH_KERNEL int32_t th_unary(void *out, const void *in, const int32_t *layout, int32_t op, int32_t dtype, double p);
/** out[…] = op(a[…], b[…]). int32 takes ADD, SUB, MUL, MAXIMUM, MINIMUM and comparisons, and wraps on overflow. layout: out, a, b.
    `out` may be `a` or `b` at the same layout. */
TH_KERNEL int32_t th_binary(void *out, const void *a, const void *b, const int32_t *layout, int32_t op, int32_t dtype,
                            double p);
/** out[…] = condition[…] is not zero ? a[…] : b[…], any 4-byte elements; `dtype` is the condition's. layout: out, condition,
    a, b. `out` overlaps none of them. */
TH_KERNEL int32_t th_where(void *out, const void *condition, const void *a, const void *b, const int32_t *layout,
                           int32_t dtype);
/** x[i] *= *factor for n contiguous elements, `factor` a scalar on the device. */
TH_KERNEL int32_t th_scale(float *x, const float *factor, int32_t n);

/* ----------------------------------------------------------------------------------------------- reduction */

typedef enum {
  TH_REDUCE_SUM = 0,
  TH_REDUCE_MAX = 1,         /* NaN wins */
  TH_REDUCE_LOG_SUM_EXP = 2, /* shifted by the maximum; -inf where all are -inf */
  TH_REDUCE_ARG_MAX = 3, /* int32: index, among the reduced elements in order, of the first maximum (or first NaN) */
  TH_REDUCE_MIN = 4,     /* NaN wins */
  TH_REDUCE_ARG_MIN = 5, /* int32: likewise of the first minimum (or first NaN) */
} th_reduce_op;

/** Reduces the last `reduced` axes of `in`; out is contiguous over the first ndim - reduced. SUM is multiplied by
    `scale` (a mean in one pass; float32 only). Sums are made in a fixed order: the same result on every run with the
    same thread count. int32 takes SUM (wraps), MAX, MIN, ARG_MAX, ARG_MIN. The reduced axes are not empty for any op but SUM.
    layout: in. */
TH_KERNEL int32_t th_reduce(void *out, const void *in, const int32_t *layout, int32_t reduced, int32_t op,
                            int32_t dtype, double scale);

/* ------------------------------------------------------------------------------------------ matrix product */

/** c = a · b (+ bias on every row; NULL for none), c contiguous (batch…, m, n).
    shape: {m, n, k, lda, ldb, a_transposed, b_transposed, batch_ndim, batch shape…, a's batch strides…, b's batch strides…}.
    a is m × k with row stride lda, or, transposed, stored k × m with row stride lda; likewise b. */
TH_KERNEL int32_t th_matmul(float *c, const float *a, const float *b, const float *bias, const int32_t *shape);

/* --------------------------------------------------------------------------------------------- convolution */

/* Cross-correlation over NHWC images, all arrays contiguous: x (n, h, w, c), weight (kh, kw, c, f), y (n, oh, ow, f) with
   oh = (h + 2·padding - kh) / stride + 1. geometry: {n, h, w, c, f, kh, kw, stride, padding}. */

/** y = conv(x, weight) (+ bias (f); NULL for none). */
TH_KERNEL int32_t th_conv(float *y, const float *x, const float *weight, const float *bias, const int32_t *geometry);
TH_KERNEL int32_t th_conv_backward_data(float *dx, const float *dy, const float *weight, const int32_t *geometry);
/** dbias (f) may be NULL. */
TH_KERNEL int32_t th_conv_backward_weight(float *dweight, float *dbias, const float *x, const float *dy,
                                          const int32_t *geometry);

/** An entry of a layer in th_layers' table. */
typedef enum {
  TH_LAYER_IN = 0, /* its images: TH_PLACE_X, TH_PLACE_Y or where in the work space, in floats an image */
  TH_LAYER_OUT = 1,
  TH_LAYER_ADD = 2, /* images added to its result, or TH_PLACE_NONE */
  TH_LAYER_H = 3,   /* from here to PADDING as th_conv's geometry after n */
  TH_LAYER_W = 4,
  TH_LAYER_C = 5,
  TH_LAYER_F = 6,
  TH_LAYER_KH = 7,
  TH_LAYER_KW = 8,
  TH_LAYER_STRIDE = 9,
  TH_LAYER_PADDING = 10,
  TH_LAYER_WEIGHT = 11, /* addresses; 0 for none */
  TH_LAYER_BIAS = 12,
  TH_LAYER_GAMMA = 13, /* of batch normalisation, 0 for none; then the others count */
  TH_LAYER_BETA = 14,
  TH_LAYER_MEAN = 15,
  TH_LAYER_VAR = 16,
  TH_LAYER_EPS = 17,
  TH_LAYER_RELU = 18,       /* 1: of the layer's result before `add` */
  TH_LAYER_RELU_AFTER = 19, /* 1: after it */
  TH_LAYER_ENTRIES = 20,
} th_layer;

/** Places of a layer's images other than in the work space. */
typedef enum {
  TH_PLACE_X = -1,
  TH_PLACE_Y = -2,
  TH_PLACE_NONE = -3,
} th_place;

/** Layers one after another, for inference: host_layers (count, TH_LAYER_ENTRIES), each a convolution, or a linear layer as
    one of 1 × 1 images and taps, with what follows it:
    relu((conv(in, weight) + bias - mean) / √(var + eps) · gamma + beta) + add, and perhaps ReLU once more.
    x and y hold n images. work: n times work_floats, what the layers before the last write; no layer writes over what it or a
    later one reads. */
TH_KERNEL int32_t th_layers(float *y, const float *x, float *work, const double *host_layers, int32_t count, int32_t n,
                            double work_floats);

/* -------------------------------------------------------------------------------------------------- pooling */

/* Square windows over NHWC images, all arrays contiguous: x (n, h, w, c), y (n, oh, ow, c) with
   oh = (h + 2·padding - k) / stride + 1. geometry: {n, h, w, c, k, stride, padding}, padding at most k / 2, h and w not 0. */

/** y = the maximum of each window, NaN wins. index (as y; NULL for none): the pixel it is from, row · w + column, the first of
    equal ones. */
TH_KERNEL int32_t th_max_pool(float *y, int32_t *index, const float *x, const int32_t *geometry);
/** dx = the sum of dy over the windows whose maximum each pixel is. */
TH_KERNEL int32_t th_max_pool_backward(float *dx, const float *dy, const int32_t *index, const int32_t *geometry);
/** y = scale · the sum of each window, padding counted as zeros: its mean where scale is 1 / k². */
TH_KERNEL int32_t th_avg_pool(float *y, const float *x, const int32_t *geometry, double scale);
/** dx = scale · the sum of dy over the windows that each pixel is in. With k = stride and a scale of 1 it
    enlarges images dy, each pixel k × k times. */
TH_KERNEL int32_t th_avg_pool_backward(float *dx, const float *dy, const int32_t *geometry, double scale);

/* ------------------------------------------------------------------------------------------- normalisation */

/** Batch normalisation of x (rows, channels) over rows, with the batch's own statistics:
    y = (x - mean) · istd · weight + bias, then ReLU if `relu`. mean and istd = 1/√(biased variance + eps) are stored
    for the backward pass. The running statistics (NULL for none) move by `momentum` towards mean and the unbiased variance. */
TH_KERNEL int32_t th_batch_norm(float *y, float *mean, float *istd, float *running_mean, float *running_var,
                                const float *x, const float *weight, const float *bias, int32_t rows, int32_t channels,
                                double eps, double momentum, int32_t relu);
/** The same with given statistics: y = (x - mean) / √(var + eps) · weight + bias, then ReLU if `relu`. */
TH_KERNEL int32_t th_batch_norm_inference(float *y, const float *x, const float *weight, const float *bias,
                                          const float *mean, const float *var, int32_t rows, int32_t channels,
                                          double eps, int32_t relu);
/** Gradients of th_batch_norm. dx may be dy, or NULL when it is not needed. With `fixed` the statistics were given, not computed from x
    (th_batch_norm_inference; istd = 1/√(var + eps)), so no gradient flows through them. */
TH_KERNEL int32_t th_batch_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                                         const float *weight, const float *bias, const float *mean, const float *istd,
                                         int32_t rows, int32_t channels, int32_t relu, int32_t fixed);
/** Layer normalisation of each row of x (rows, cols); mean and istd (rows) are stored for the backward pass. */
TH_KERNEL int32_t th_layer_norm(float *y, float *mean, float *istd, const float *x, const float *weight,
                                const float *bias, int32_t rows, int32_t cols, double eps);
TH_KERNEL int32_t th_layer_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                                         const float *weight, const float *mean, const float *istd, int32_t rows,
                                         int32_t cols);
/** y = x · irms · weight for each row of x (rows, cols), with irms (rows) = 1/√(mean of x² + eps), which is stored for the backward
    pass (Zhang and Sennrich, 2019). */
TH_KERNEL int32_t th_rms_norm(float *y, float *irms, const float *x, const float *weight, int32_t rows, int32_t cols,
                              double eps);
TH_KERNEL int32_t th_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *x, const float *weight,
                                       const float *irms, int32_t rows, int32_t cols);
/** Group normalisation (Wu and He, 2018) of x (images, rows, channels): each of the `groups` that an image's channels are cut into
    by its own mean and variance over rows and channels. groups divides channels. mean and istd (images, groups) are stored for
    the backward pass. weight and bias (channels): NULL for ones and zeros. */
TH_KERNEL int32_t th_group_norm(float *y, float *mean, float *istd, const float *x, const float *weight,
                                const float *bias, int32_t images, int32_t rows, int32_t channels, int32_t groups,
                                double eps);
/** dx may be dy; gradients that are not needed may be NULL. */
TH_KERNEL int32_t th_group_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                                         const float *weight, const float *mean, const float *istd, int32_t images,
                                         int32_t rows, int32_t channels, int32_t groups);

/* -------------------------------------------------------------------------------------------------- softmax */

/** Softmax (or, with `log_output`, its logarithm) of each row of x (rows, cols), contiguous. y may be x. */
TH_KERNEL int32_t th_softmax(float *y, const float *x, int32_t rows, int32_t cols, int32_t log_output);
/** dx from dy and y, the forward result. dx may be dy. */
TH_KERNEL int32_t th_softmax_backward(float *dx, const float *dy, const float *y, int32_t rows, int32_t cols,
                                      int32_t log_output);
/** loss = mean over rows of logSumExp(x[r]) - x[r, labels[r]]; dx (rows, cols), unless NULL, gets its gradient,
    (softmax(x) - onehot) / rows. labels: int32 in [0, cols), else TH_STATUS_INDEX. */
TH_KERNEL int32_t th_cross_entropy(float *loss, float *dx, const float *x, const int32_t *labels, int32_t rows,
                                   int32_t cols);
/** The same of logits x · weight (+ bias (classes); NULL for none), x (rows, features), none of them empty, of which there are
    never all at once. weight: row stride weight_row, features × classes or, transposed, stored classes × features.
    correct: the number of rows whose first largest logit is the label's. The gradients dx (rows, features), dweight
    (features, classes), dbias (classes) may be NULL. */
TH_KERNEL int32_t th_linear_cross_entropy(float *loss, float *correct, float *dx, float *dweight, float *dbias,
                                          const float *x, const float *weight, const float *bias, const int32_t *labels,
                                          int32_t rows, int32_t features, int32_t classes, int32_t weight_row,
                                          int32_t weight_transposed);

/* ----------------------------------------------------------------------------------------------- attention */

/* Attention (Vaswani et al., 2017): y = softmax(scale · q · kᵀ + bias) · v for each of a batch, with q (length, features),
   k (keys, features), v (keys, values) and y (length, values). bias (length, keys; NULL for none) may be -infinity where a query
   does not attend to a key. With `causal`, query i attends to keys 0 … i alone. A query that attends to nothing gives zeros.
   With p > 0 a weight is dropped with that probability, and the others are scaled by 1 / (1 - p): the same ones for the same
   (seed, stream). statistics (2, batch, length), contiguous, is for the backward pass: each query's largest score, and
   1 / Σ e^(score - largest), zero if it attends to nothing.

   shape: {length, keys, features, values, causal, bias_step, batch_ndim, batch shape…}, then for one operand after another, in
   the order of th_operand, its batch strides… and its row stride. The elements of a row are adjacent, but for those of
   the bias, which are bias_step apart, 1 or 0. */

/** Operands of attention. */
typedef enum {
  TH_OPERAND_Q = 0,
  TH_OPERAND_K = 1,
  TH_OPERAND_V = 2,
  TH_OPERAND_Y = 3,
  TH_OPERAND_BIAS = 4,
  TH_OPERAND_DY = 5, /* from here on for the backward pass alone */
  TH_OPERAND_DQ = 6,
  TH_OPERAND_DK = 7,
  TH_OPERAND_DV = 8,
} th_operand;

TH_KERNEL int32_t th_attention(float *y, float *statistics, const float *q, const float *k, const float *v,
                               const float *bias, const int32_t *shape, double scale, double p, int32_t seed,
                               int32_t stream);
/** Gradients of th_attention from dy, that of y. Any of them may be NULL; dk and dv have an element for each of the batch.
    dscores (batch, length, keys), contiguous, is that of the bias. */
TH_KERNEL int32_t th_attention_backward(float *dq, float *dk, float *dv, float *dscores, const float *dy,
                                        const float *statistics, const float *q, const float *k, const float *v,
                                        const float *bias, const int32_t *shape, double scale, double p, int32_t seed,
                                        int32_t stream);

/* ------------------------------------------------------------------------------------------------ embedding */

/** out (count, dim) = the rows `ids` of table (rows, dim). ids: int32 in [0, rows), else TH_STATUS_INDEX. */
TH_KERNEL int32_t th_embedding(float *out, const float *table, const int32_t *ids, int32_t count, int32_t dim,
                               int32_t rows);
/** dtable (rows, dim) = zero, then dtable[ids[i]] += dy[i] in the order of i. The ids are valid. */
TH_KERNEL int32_t th_embedding_backward(float *dtable, const float *dy, const int32_t *ids, int32_t count, int32_t dim,
                                        int32_t rows);

/* ---------------------------------------------------------------------------------------------------- gather */

/** out[i] = in[place of i + ids[i] · stride], out and ids contiguous: elements along one axis, whose `size` elements are `stride`
    apart. ids: int32 in [0, size), else TH_STATUS_INDEX. layout: the shape of ids, and the strides of `in`, zero for that axis. */
TH_KERNEL int32_t th_gather(void *out, const void *in, const int32_t *ids, const int32_t *layout, int32_t size,
                            int32_t stride);
/** out[place of i + ids[i] · stride] += in[i] in the order of i. The ids are valid. layout: as th_gather's, with the strides of
    `out`, whose elements are distinct. */
TH_KERNEL int32_t th_scatter_add(float *out, const float *in, const int32_t *ids, const int32_t *layout, int32_t size,
                                 int32_t stride);

/* --------------------------------------------------------------------------------------------------- cum sum */

/** Running sums along the last axis: floats are added up as doubles, int32 wraps. layout: out, in. */
TH_KERNEL int32_t th_cum_sum(void *out, const void *in, const int32_t *layout, int32_t dtype);

/* ------------------------------------------------------------------------------------------------------ sort */

/** The first `count` elements of each sorted row of in (rows, cols), contiguous, and where in the row they are: values and
    indices (rows, count). NaN is greater than all numbers; equal elements keep their order, `descending` or not. */
TH_KERNEL int32_t th_sort(void *values, int32_t *indices, const void *in, int32_t rows, int32_t cols, int32_t count,
                          int32_t descending, int32_t dtype);

/* ------------------------------------------------------------------------------------------------ recurrent */

/* One layer over a whole sequence, all arrays contiguous: x (steps, batch, inputs), w_ih (inputs, gates), w_hh (hidden, gates),
   bias_ih and bias_hh (gates; both NULL for none), h0 and c0 (batch, hidden; NULL for zeros), with gates = hidden, or for an
   LSTM 4 · hidden in the order i, f, g, o, or for a GRU 3 · hidden in the order r, z, n. states (steps + 1, batch, hidden) gets
   h0 and then the output of each step; it is kept for the backward pass. steps, inputs and hidden are at least 1. Gradients that
   are not needed may be NULL. */

/** states[t + 1] = act(x[t] · w_ih + bias_ih + states[t] · w_hh + bias_hh); act is ReLU if `relu`, else tanh. */
TH_KERNEL int32_t th_rnn(float *states, const float *x, const float *h0, const float *w_ih, const float *w_hh,
                         const float *bias_ih, const float *bias_hh, int32_t steps, int32_t batch, int32_t inputs,
                         int32_t hidden, int32_t relu);
/** Gradients of th_rnn from dy (steps, batch, hidden), that of the outputs; dbias is that of either bias.
    preactivations (steps, batch, hidden) gets the gradient before the activation. */
TH_KERNEL int32_t th_rnn_backward(float *dx, float *dh0, float *dw_ih, float *dw_hh, float *dbias,
                                  float *preactivations, const float *dy, const float *x, const float *states,
                                  const float *w_ih, const float *w_hh, int32_t steps, int32_t batch, int32_t inputs,
                                  int32_t hidden, int32_t relu);
/** An LSTM layer (Hochreiter and Schmidhuber, 1997): i, f, o = sigmoid and g = tanh of x[t] · w_ih + bias_ih + states[t] · w_hh
    + bias_hh; cells[t + 1] = f · cells[t] + i · g; states[t + 1] = o · tanh(cells[t + 1]). cells (steps + 1, batch, hidden)
    starts with c0; gates (steps, batch, 4 · hidden) gets i, f, g, o for the backward pass. */
TH_KERNEL int32_t th_lstm(float *states, float *cells, float *gates, const float *x, const float *h0, const float *c0,
                          const float *w_ih, const float *w_hh, const float *bias_ih, const float *bias_hh,
                          int32_t steps, int32_t batch, int32_t inputs, int32_t hidden);
/** Gradients of th_lstm from dy (steps, batch, hidden), that of the outputs, and dc_last (batch, hidden; NULL for zero), that of
    the last cells. gates is overwritten with the gradient before the activations. */
TH_KERNEL int32_t th_lstm_backward(float *dx, float *dh0, float *dc0, float *dw_ih, float *dw_hh, float *dbias,
                                   float *gates, const float *dy, const float *dc_last, const float *x,
                                   const float *states, const float *cells, const float *w_ih, const float *w_hh,
                                   int32_t steps, int32_t batch, int32_t inputs, int32_t hidden);
/** A GRU layer (Cho et al., 2014): with a = x[t] · w_ih + bias_ih and b = states[t] · w_hh + bias_hh, r = sigmoid(a_r + b_r),
    z = sigmoid(a_z + b_z), n = tanh(a_n + r · b_n); states[t + 1] = (1 - z) · n + z · states[t]. gates (steps, batch, 3 · hidden)
    gets r, z, n for the backward pass, and product (steps, batch, hidden) b_n. */
TH_KERNEL int32_t th_gru(float *states, float *gates, float *product, const float *x, const float *h0,
                         const float *w_ih, const float *w_hh, const float *bias_ih, const float *bias_hh,
                         int32_t steps, int32_t batch, int32_t inputs, int32_t hidden);
/** Gradients of th_gru from dy (steps, batch, hidden), that of the outputs. gates and product are overwritten. */
TH_KERNEL int32_t th_gru_backward(float *dx, float *dh0, float *dw_ih, float *dw_hh, float *dbias_ih, float *dbias_hh,
                                  float *gates, float *product, const float *dy, const float *x, const float *states,
                                  const float *w_ih, const float *w_hh, int32_t steps, int32_t batch, int32_t inputs,
                                  int32_t hidden);

/* -------------------------------------------------------------------------------------------------- random */

/* Philox 4x32-10 (Salmon et al., 2011): key (seed, stream), counter the element's index / 4. The same numbers on every
   device, instruction set and thread count. */

/** out[i] in [low, high), from 24 random bits. */
TH_KERNEL int32_t th_uniform(float *out, int32_t n, double low, double high, int32_t seed, int32_t stream);
/** Box-Muller. */
TH_KERNEL int32_t th_normal(float *out, int32_t n, double mean, double std, int32_t seed, int32_t stream);
/** Each element is kept with probability 1 - p and scaled by 1 / (1 - p), else zero; the same (seed, stream) keeps the same
    elements, so the backward pass is the same call on the gradient. out may be in. */
TH_KERNEL int32_t th_dropout(float *out, const float *in, int32_t n, double p, int32_t seed, int32_t stream);
/** int32 in [low, high), whole numbers of at least -2^31 and at most 2^31, from 64 random bits. */
TH_KERNEL int32_t th_randint(int32_t *out, int32_t n, double low, double high, int32_t seed, int32_t stream);
/** Indices (rows, count), each drawn with a probability in proportion to the weights of its row, from 53 random bits. weights
    (rows, cols), contiguous: finite, none negative, and not all of a row zero. Without `replacement` an index is drawn once,
    and at least `count` weights of each row are not zero. */
TH_KERNEL int32_t th_multinomial(int32_t *out, const float *weights, int32_t rows, int32_t cols, int32_t count,
                                 int32_t replacement, int32_t seed, int32_t stream);
/** A random permutation of 0 … n - 1 (Fisher-Yates), in host memory. */
TH_KERNEL int32_t th_permutation(int32_t *host_out, int32_t n, int32_t seed, int32_t stream);

/* --------------------------------------------------------------------------------------------- optimization */

/* Whole parameter lists in one call. host_table: `count` rows of doubles, device pointers stored as numbers, n the elements.
   On a processor the steps take subnormal numbers as zero. */

/** rows {parameter, gradient, momentum buffer (0 when momentum is 0), n}:
    g += weight_decay · p; buffer = momentum · buffer + g; p -= lr · buffer, or with `nesterov` p -= lr · (g + momentum · buffer). */
TH_KERNEL int32_t th_sgd(const double *host_table, int32_t count, double lr, double momentum, double weight_decay,
                         int32_t nesterov);
/** rows {parameter, gradient, first moment, second moment, n}. Adam (Kingma and Ba, 2015) with weight_decay · p added to the
    gradient, or with `decoupled` lr · weight_decay · p taken from the parameter first (Loshchilov and Hutter, 2019);
    correction1 = 1 - beta1^t, correction2 = 1 - beta2^t; p -= lr · (m / correction1) / (√(v / correction2) + eps). */
TH_KERNEL int32_t th_adam(const double *host_table, int32_t count, double lr, double beta1, double beta2, double eps,
                          double weight_decay, int32_t decoupled, double correction1, double correction2);
/** rows {parameter, gradient, mean of squares, momentum buffer (0 when momentum is 0), mean (0 unless centered), n}. RMSprop
    (Tieleman and Hinton, 2012): g += weight_decay · p; mean of squares s = alpha · s + (1 - alpha) · g², and the mean m of g
    likewise; u = g / (√s + eps), centered √(s - m²) (Graves, 2013); buffer = momentum · buffer + u; p -= lr · buffer, or lr · u. */
TH_KERNEL int32_t th_rmsprop(const double *host_table, int32_t count, double lr, double alpha, double eps,
                             double weight_decay, double momentum);
/** rows {gradient, n}. norm (1) = the Euclidean norm of all gradients together, which are then multiplied by
    max_norm / (norm + 1e-6) where that is below 1, or NaN. */
TH_KERNEL int32_t th_clip_grad_norm(float *norm, const double *host_table, int32_t count, double max_norm);

/* --------------------------------------------------------------------------------------------------- images */

/** out (count, height, width, channels) in [0, 1] from host_images (…, channels, height, width) of bytes.
    host_plan: `count` rows {index of the image, flip (0 or 1: mirrored left to right), dy, dx}: out[y, x] is the pixel
    [y + dy, x + dx], zero outside the image; the flip is applied first, then the shift. */
TH_KERNEL int32_t th_gather_images(float *out, const uint8_t *host_images, const int32_t *host_plan, int32_t count,
                                   int32_t channels, int32_t height, int32_t width);

#ifdef __cplusplus
}
#endif
#endif
