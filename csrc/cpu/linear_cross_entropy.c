/* The rows of a linear layer with cross-entropy, block by block, each forward and then backward. */
#include "linear_cross_entropy.h"

#include "parallel.h"
#include "rows.h"

#include <math.h>

static const double GRAIN = 4e5; /* floating point operations worth a thread */

enum {
  BLOCK_FLOATS = 4 * 1024 * 1024, /* logits of a block: 16 MB at most, … */
  FEWEST_ROWS = 2 * MR,           /* … but of this many rows: each block packs the weight again */
};

static void run(int thread, int threads, void *context) {
  const th_head *h = context;
  for (ptrdiff_t first = 0; first < h->rows; first += h->block) {
    const th_turn t = make_turn(h, first, thread, threads);
    head_forward(h, &t);
#pragma omp barrier
    head_backward(h, &t);
  }
}

/** Cuts the rows into blocks and takes the work space; 0 when out of memory. */
static int prepare(th_head *h, int threads) {
  h->panels = th_ceil_div(h->classes, NR);
  const ptrdiff_t most = th_max(FEWEST_ROWS, th_min(KC, BLOCK_FLOATS / (h->panels * NR)));
  h->block = th_ceil_div(h->rows, th_ceil_div(h->rows, most));
  h->x_row = apart(h->features);
  const ptrdiff_t logits = h->panels * h->block * NR, inputs = h->block * h->x_row;
  const ptrdiff_t packed = th_max(h->features, KC) * NR;
  h->own_floats = th_own_floats(3 * h->block * VL + h->block * h->x_row + packed);

  const ptrdiff_t shared = logits + 2 * inputs + h->panels * NR + 2 * h->block + h->rows;
  float *at = th_work_space(0, th_own_floats(shared) + threads * h->own_floats, "linearCrossEntropy");
  h->loss = th_scratch(5, (size_t)h->rows * sizeof *h->loss);
  if (!at || !h->loss) return 0;
  h->own = at + th_own_floats(shared);
  h->logits = at, h->inputs = at += logits, h->scaled = at += inputs, h->start = at += inputs;
  h->max = at += h->panels * NR, h->scale = at += h->block, h->correct = at + h->block;
  for (ptrdiff_t i = 0; i < h->panels * NR; i++) h->start[i] = i >= h->classes ? -INFINITY : h->bias ? h->bias[i] : 0;
  return 1;
}

int32_t th_linear_cross_entropy(float *loss, float *correct, float *dx, float *dweight, float *dbias, const float *x,
                                const float *weight, const float *bias, const int32_t *labels, int32_t rows,
                                int32_t features, int32_t classes, int32_t weight_row, int32_t weight_transposed) {
  th_head h = {.rows = rows,
               .features = features,
               .classes = classes,
               .x = x,
               .weight = weight,
               .bias = bias,
               .labels = labels,
               .weight_row = weight_row,
               .weight_transposed = weight_transposed,
               .dx = dx,
               .dweight = dweight,
               .dbias = dbias};
  const int32_t status = th_check_labels(labels, rows, classes);
  if (status) return status;
  const int wanted = th_threads_for(2.0 * rows * features * classes, GRAIN);
  const int threads = (int)th_min(wanted, th_ceil_div(classes, NR));
  if (!prepare(&h, threads)) return TH_STATUS_OUT_OF_MEMORY;
  th_parallel(threads, run, &h);
  double total = 0, right = 0;
  for (ptrdiff_t r = 0; r < rows; r++) total += h.loss[r], right += (double)h.correct[r];
  *loss = (float)(total / rows);
  *correct = (float)right;
  return TH_STATUS_OK;
}
