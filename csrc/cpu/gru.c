/* The gated recurrent unit (Cho et al., 2014), forward and backward; recurrent.c walks the steps. */
#include "recurrent.h"

#include "../common/vmath.h"

static void forward_cell(const th_recurrent *l, ptrdiff_t t, const th_part *part) {
  const ptrdiff_t unit = part->unit, count = part->unit_end - unit;
  const ptrdiff_t hidden = l->hidden, state = l->batch * hidden;
  for (ptrdiff_t row = part->row; row < part->row_end; row++) {
    float *restrict gate = l->gate + (t * l->batch + row) * 3 * hidden + unit;
    const ptrdiff_t at = t * state + row * hidden + unit;
    const float *restrict product = l->product + at, *restrict before = l->states + at;
    float *restrict output = l->new_states + at + state;
#pragma omp simd
    for (ptrdiff_t k = 0; k < count; k++) {
      const float r = th_sigmoidf(gate[k]), z = th_sigmoidf(gate[k + hidden]);
      const float n = th_tanhf(gate[k + 2 * hidden] + r * product[k]);
      gate[k] = r, gate[k + hidden] = z, gate[k + 2 * hidden] = n;
      output[k] = (1 - z) * n + z * before[k];
    }
  }
}

/** From dy + dh: the gradients before the gates' activations, and in dh what z lets through to the state before. */
static void backward_cell(const th_recurrent *l, ptrdiff_t t, const th_part *part) {
  const ptrdiff_t unit = part->unit, count = part->unit_end - unit;
  const ptrdiff_t hidden = l->hidden, state = l->batch * hidden;
  const int carried = t < l->steps - 1; /* dh holds nothing yet at the last step */
  for (ptrdiff_t row = part->row; row < part->row_end; row++) {
    float *restrict gate = l->gate + (t * l->batch + row) * 3 * hidden + unit;
    const ptrdiff_t at = t * state + row * hidden + unit;
    float *restrict product = l->product + at;
    const float *restrict before = l->states + at, *restrict dy = l->dy + at;
    float *restrict dh = l->dh + row * hidden + unit;
#pragma omp simd
    for (ptrdiff_t k = 0; k < count; k++) {
      const float r = gate[k], z = gate[k + hidden], n = gate[k + 2 * hidden];
      const float dstate = carried ? dy[k] + dh[k] : dy[k];
      const float dn = dstate * (1 - z) * (1 - n * n);
      gate[k] = dn * product[k] * r * (1 - r);
      gate[k + hidden] = dstate * (before[k] - n) * z * (1 - z);
      gate[k + 2 * hidden] = dn * r;
      product[k] = dn;
      dh[k] = dstate * z;
    }
  }
}

int32_t th_gru(float *states, float *gates, float *product, const float *x, const float *h0, const float *w_ih,
               const float *w_hh, const float *bias_ih, const float *bias_hh, int32_t steps, int32_t batch,
               int32_t inputs, int32_t hidden) {
  const th_recurrent layer = {.name = "gru",
                              .steps = steps,
                              .batch = batch,
                              .inputs = inputs,
                              .hidden = hidden,
                              .gates = 3,
                              .x = x,
                              .w_ih = w_ih,
                              .w_hh = w_hh,
                              .h0 = h0,
                              .bias_ih = bias_ih,
                              .bias_hh = bias_hh,
                              .states = states,
                              .new_states = states,
                              .gate = gates,
                              .product = product,
                              .cell = forward_cell};
  return recurrent_forward(&layer);
}

int32_t th_gru_backward(float *dx, float *dh0, float *dw_ih, float *dw_hh, float *dbias_ih, float *dbias_hh,
                        float *gates, float *product, const float *dy, const float *x, const float *states,
                        const float *w_ih, const float *w_hh, int32_t steps, int32_t batch, int32_t inputs,
                        int32_t hidden) {
  th_recurrent layer = {.name = "gru",
                        .steps = steps,
                        .batch = batch,
                        .inputs = inputs,
                        .hidden = hidden,
                        .gates = 3,
                        .x = x,
                        .w_ih = w_ih,
                        .w_hh = w_hh,
                        .states = states,
                        .gate = gates,
                        .product = product,
                        .cell = backward_cell,
                        .dy = dy,
                        .dx = dx,
                        .dh0 = dh0,
                        .dw_ih = dw_ih,
                        .dw_hh = dw_hh,
                        .dbias = dbias_ih,
                        .dbias_hh = dbias_hh};
  return recurrent_backward(&layer);
}
