/*
 * oneDNN's matrix products and convolutions for the benchmark. Images are plain NHWC and weights plain (k, k, in, out),
 * as a caller has them: where a primitive wants its own layout, its reorders are part of the step.
 */
#include <dnnl.h>

#include "peer.h"

enum { MAX_OPERATIONS = 4 };
static dnnl_engine_t engine;
static dnnl_stream_t stream;
static struct {
  dnnl_primitive_t primitive;
  dnnl_exec_arg_t args[3];
  int count;
} operations[MAX_OPERATIONS];
static int count;
static float *data[3];
static dnnl_memory_t memories[8];
static int memory_count;

static void must(dnnl_status_t status) {
  if (status != dnnl_success) abort();
}

static void step(void) {
  for (int i = 0; i < count; i++) {
    must(dnnl_primitive_execute(operations[i].primitive, stream, operations[i].count, operations[i].args));
  }
  must(dnnl_stream_wait(stream));
}

static dnnl_memory_t memory(const dnnl_memory_desc_t *desc, void *pointer) {
  dnnl_memory_t result;
  must(dnnl_memory_create(&result, desc, engine, pointer));
  memories[memory_count++] = result;
  return result;
}

static void forget(void) {
  while (count > 0) dnnl_primitive_destroy(operations[--count].primitive);
  while (memory_count > 0) dnnl_memory_destroy(memories[--memory_count]);
  for (int i = 0; i < 3; i++) {
    free(data[i]);
    data[i] = NULL;
  }
}

static dnnl_memory_desc_t plain(int ndims, const dnnl_dims_t dims, const dnnl_dims_t strides) {
  dnnl_memory_desc_t desc;
  must(dnnl_memory_desc_init_by_strides(&desc, ndims, dims, dnnl_f32, strides));
  return desc;
}

static void add(dnnl_primitive_desc_t desc, int args, const dnnl_exec_arg_t *arg) {
  must(dnnl_primitive_create(&operations[count].primitive, desc));
  memcpy(operations[count].args, arg, (size_t)args * sizeof *arg);
  operations[count++].count = args;
  dnnl_primitive_desc_destroy(desc);
}

static void add_reorder(dnnl_memory_t from, dnnl_memory_t to) {
  const dnnl_memory_desc_t *source, *target;
  dnnl_primitive_desc_t desc;
  must(dnnl_memory_get_memory_desc(from, &source));
  must(dnnl_memory_get_memory_desc(to, &target));
  must(dnnl_reorder_primitive_desc_create(&desc, source, engine, target, engine, NULL));
  add(desc, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

static int prepare_matmul(const char *workload) {
  int batch, m, n, k, ta, tb;
  if (sscanf(workload, "matmul %d %d %d %d %d %d", &batch, &m, &n, &k, &ta, &tb) != 6) return 0;
  data[0] = filled((size_t)batch * m * k, 1);
  data[1] = filled((size_t)batch * k * n, 2);
  data[2] = allocate((size_t)batch * m * n);
  const dnnl_memory_desc_t a =
      plain(3, (dnnl_dims_t){batch, m, k}, (dnnl_dims_t){(dnnl_dim_t)m * k, ta ? 1 : k, ta ? m : 1});
  const dnnl_memory_desc_t b =
      plain(3, (dnnl_dims_t){batch, k, n}, (dnnl_dims_t){(dnnl_dim_t)k * n, tb ? 1 : n, tb ? k : 1});
  const dnnl_memory_desc_t c = plain(3, (dnnl_dims_t){batch, m, n}, (dnnl_dims_t){(dnnl_dim_t)m * n, n, 1});
  dnnl_matmul_desc_t op;
  dnnl_primitive_desc_t desc;
  must(dnnl_matmul_desc_init(&op, &a, &b, NULL, &c));
  must(dnnl_primitive_desc_create(&desc, &op, NULL, engine, NULL));
  add(desc, 3,
      (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, memory(&a, data[0])},
                          {DNNL_ARG_WEIGHTS, memory(&b, data[1])},
                          {DNNL_ARG_DST, memory(&c, data[2])}});
  step();
  answer(data[2], (size_t)batch * m * n);
  return 1;
}

/* The primitive for a pass, with the layouts that it chooses or, failing that, the plain ones. */
static dnnl_primitive_desc_t describe(const char *pass, const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w,
                                      const dnnl_memory_desc_t *y, int stride, int padding) {
  const dnnl_dims_t strides = {stride, stride}, pads = {padding, padding};
  dnnl_convolution_desc_t op, forward;
  dnnl_primitive_desc_t desc, hint = NULL;
  must(dnnl_convolution_forward_desc_init(&forward, dnnl_forward_training, dnnl_convolution_direct, x, w, NULL, y,
                                          strides, pads, pads));
  must(dnnl_primitive_desc_create(&hint, &forward, NULL, engine, NULL));
  if (strcmp(pass, "forward") == 0) return hint;
  if (strcmp(pass, "data") == 0) {
    must(dnnl_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, x, w, y, strides, pads, pads));
  } else {
    must(dnnl_convolution_backward_weights_desc_init(&op, dnnl_convolution_direct, x, w, NULL, y, strides, pads, pads));
  }
  must(dnnl_primitive_desc_create(&desc, &op, NULL, engine, hint));
  dnnl_primitive_desc_destroy(hint);
  return desc;
}

static int prepare_conv(const char *workload) {
  char pass[16];
  int n, h, w, c, f, k, stride, padding;
  if (sscanf(workload, "conv %15s %d %d %d %d %d %d %d %d", pass, &n, &h, &w, &c, &f, &k, &stride, &padding) != 9)
    return 0;
  const int oh = (h + 2 * padding - k) / stride + 1, ow = (w + 2 * padding - k) / stride + 1;
  const size_t sizes[3] = {(size_t)n * h * w * c, (size_t)k * k * c * f, (size_t)n * oh * ow * f};
  for (int i = 0; i < 3; i++) data[i] = filled(sizes[i], (uint32_t)i + 1);
  const dnnl_memory_desc_t x =
      plain(4, (dnnl_dims_t){n, c, h, w}, (dnnl_dims_t){(dnnl_dim_t)h * w * c, 1, (dnnl_dim_t)w * c, c});
  const dnnl_memory_desc_t weights =
      plain(4, (dnnl_dims_t){f, c, k, k}, (dnnl_dims_t){1, f, (dnnl_dim_t)k * c * f, (dnnl_dim_t)c * f});
  const dnnl_memory_desc_t y =
      plain(4, (dnnl_dims_t){n, f, oh, ow}, (dnnl_dims_t){(dnnl_dim_t)oh * ow * f, 1, (dnnl_dim_t)ow * f, f});
  dnnl_memory_desc_t any;
  must(dnnl_memory_desc_init_by_tag(&any, 4, weights.dims, dnnl_f32, dnnl_format_tag_any));

  const int to_data = strcmp(pass, "data") == 0, to_weights = strcmp(pass, "weight") == 0;
  dnnl_primitive_desc_t desc = describe(pass, &x, &any, &y, stride, padding);
  const dnnl_query_t query = to_weights ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
  const dnnl_memory_desc_t chosen = *dnnl_primitive_desc_query_md(desc, query, 0);
  const dnnl_memory_t image = memory(&x, data[0]), plain_weights = memory(&weights, data[1]),
                      result = memory(&y, data[2]);
  const int same = dnnl_memory_desc_equal(&chosen, &weights);
  const dnnl_memory_t own = same ? plain_weights : memory(&chosen, DNNL_MEMORY_ALLOCATE);
  if (!same && !to_weights) add_reorder(plain_weights, own);
  const dnnl_exec_arg_t args[3] = {{to_data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, image},
                                   {to_weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, own},
                                   {to_data || to_weights ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, result}};
  add(desc, 3, args);
  if (!same && to_weights) add_reorder(own, plain_weights);
  step();
  const int out = to_data ? 0 : to_weights ? 1 : 2;
  answer(data[out], sizes[out]);
  return 1;
}

static int prepare(const char *workload) {
  forget();
  return prepare_matmul(workload) || prepare_conv(workload);
}

int main(void) {
  const dnnl_version_t *version = dnnl_version();
  char name[64];
  must(dnnl_engine_create(&engine, dnnl_cpu, 0));
  must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
  snprintf(name, sizeof name, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
  return serve(name, prepare, step);
}
