/* The simple recurrent cell (Elman, 1990), forward and backward; recurrent.c walks the steps. */
#include "recurrent.h"

#include "../common/vmath.h"

/** The activation in place: the product was added where the state of the step is. */
static void forward_cell(const th_recurrent *l, ptrdiff_t t, const th_part *part) {
  const ptrdiff_t unit = part->unit, count = part->unit_end - unit;
  for (ptrdiff_t row = part->row; row < part->row_end; row++) {
    float *y = l->gate + (t * l->batch + row) * l->hidden + unit;
    if (l->relu) {
#pragma omp simd
      for (ptrdiff_t k = 0; k < count; k++) y[k] = y[k] <= 0 ? 0 : y[k]; /* NaN stays */
    } else {
#pragma omp simd
      for (ptrdiff_t k = 0; k < count; k++) y[k] = th_tanhf(y[k]);
    }
  }
}

static void backward_cell(const th_recurrent *l, ptrdiff_t t, const th_part *part) {
  const ptrdiff_t unit = part->unit, count = part->unit_end - unit;
  const ptrdiff_t hidden = l->hidden, state = l->batch * hidden;
  const int carried = t < l->steps - 1; /* dh holds nothing yet at the last step */
  for (ptrdiff_t row = part->row; row < part->row_end; row++) {
    const ptrdiff_t at = t * state + row * hidden + unit;
    const float *restrict y = l->states + at + state, *restrict dy = l->dy + at;
    const float *restrict dh = l->dh + row * hidden + unit;
    float *restrict out = l->gate + at;
#pragma omp simd
    for (ptrdiff_t k = 0; k < count; k++) {
      const float g = carried ? dy[k] + dh[k] : dy[k];
      out[k] = l->relu ? (y[k] > 0 ? g : 0) : g * (1 - y[k] * y[k]);
    }
  }
}

int32_t th_rnn(float *states, const float *x, const float *h0, const float *w_ih, const float *w_hh,
               const float *bias_ih, const float *bias_hh, int32_t steps, int32_t batch, int32_t inputs, int32_t hidden,
               int32_t relu) {
  const th_recurrent layer = {.name = "rnn",
                              .steps = steps,
                              .batch = batch,
                              .inputs = inputs,
                              .hidden = hidden,
                              .gates = 1,
                              .relu = relu,
                              .x = x,
                              .w_ih = w_ih,
                              .w_hh = w_hh,
                              .h0 = h0,
                              .bias_ih = bias_ih,
                              .bias_hh = bias_hh,
                              .states = states,
                              .new_states = states,
                              .gate = states + (ptrdiff_t)batch * hidden,
                              .cell = forward_cell};
  return recurrent_forward(&layer);
}

int32_t th_rnn_backward(float *dx, float *dh0, float *dw_ih, float *dw_hh, float *dbias, float *preactivations,
                        const float *dy, const float *x, const float *states, const float *w_ih, const float *w_hh,
                        int32_t steps, int32_t batch, int32_t inputs, int32_t hidden, int32_t relu) {
  th_recurrent layer = {.name = "rnn",
                        .steps = steps,
                        .batch = batch,
                        .inputs = inputs,
                        .hidden = hidden,
                        .gates = 1,
                        .relu = relu,
                        .x = x,
                        .w_ih = w_ih,
                        .w_hh = w_hh,
                        .states = states,
                        .gate = preactivations,
                        .cell = backward_cell,
                        .dy = dy,
                        .dx = dx,
                        .dh0 = dh0,
                        .dw_ih = dw_ih,
                        .dw_hh = dw_hh,
                        .dbias = dbias};
  return recurrent_backward(&layer);
}
