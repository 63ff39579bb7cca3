/* The LSTM cell (Hochreiter and Schmidhuber, 1997), forward and backward; recurrent.c walks the steps. */
#include "recurrent.h"

#include "../common/vmath.h"

static void forward_cell(const th_recurrent *l, ptrdiff_t t, const th_part *part) {
  const ptrdiff_t unit = part->unit, count = part->unit_end - unit;
  const ptrdiff_t hidden = l->hidden, state = l->batch * hidden;
  for (ptrdiff_t row = part->row; row < part->row_end; row++) {
    float *restrict gate = l->gate + (t * l->batch + row) * 4 * hidden + unit;
    const ptrdiff_t at = t * state + row * hidden + unit;
    const float *restrict before = l->cells + at;
    float *restrict cell = l->new_cells + at + state, *restrict output = l->new_states + at + state;
#pragma omp simd
    for (ptrdiff_t k = 0; k < count; k++) {
      const float i = th_sigmoidf(gate[k]), f = th_sigmoidf(gate[k + hidden]);
      const float g = th_tanhf(gate[k + 2 * hidden]), o = th_sigmoidf(gate[k + 3 * hidden]);
      const float c = f * before[k] + i * g;
      gate[k] = i, gate[k + hidden] = f, gate[k + 2 * hidden] = g, gate[k + 3 * hidden] = o;
      cell[k] = c;
      output[k] = o * th_tanhf(c);
    }
  }
}

/** From dy + dh and dc: the gradients before the gates' activations, and dc of the step before. */
static void backward_cell(const th_recurrent *l, ptrdiff_t t, const th_part *part) {
  const ptrdiff_t unit = part->unit, count = part->unit_end - unit;
  const ptrdiff_t hidden = l->hidden, state = l->batch * hidden;
  const int carried = t < l->steps - 1; /* dh holds nothing yet at the last step */
  for (ptrdiff_t row = part->row; row < part->row_end; row++) {
    float *restrict gate = l->gate + (t * l->batch + row) * 4 * hidden + unit;
    const ptrdiff_t at = t * state + row * hidden + unit;
    const float *restrict before = l->cells + at, *restrict cell = l->cells + at + state, *restrict dy = l->dy + at;
    const float *restrict dh = l->dh + row * hidden + unit;
    float *restrict dc = l->dc + row * hidden + unit;
#pragma omp simd
    for (ptrdiff_t k = 0; k < count; k++) {
      const float i = gate[k], f = gate[k + hidden], g = gate[k + 2 * hidden], o = gate[k + 3 * hidden];
      const float y = th_tanhf(cell[k]), dstate = carried ? dy[k] + dh[k] : dy[k];
      const float dcell = dc[k] + dstate * o * (1 - y * y);
      gate[k] = dcell * g * i * (1 - i);
      gate[k + hidden] = dcell * before[k] * f * (1 - f);
      gate[k + 2 * hidden] = dcell * i * (1 - g * g);
      gate[k + 3 * hidden] = dstate * y * o * (1 - o);
      dc[k] = dcell * f;
    }
  }
}

int32_t th_lstm(float *states, float *cells, float *gates, const float *x, const float *h0, const float *c0,
                const float *w_ih, const float *w_hh, const float *bias_ih, const float *bias_hh, int32_t steps,
                int32_t batch, int32_t inputs, int32_t hidden) {
  const th_recurrent layer = {.name = "lstm",
                              .steps = steps,
                              .batch = batch,
                              .inputs = inputs,
                              .hidden = hidden,
                              .gates = 4,
                              .x = x,
                              .w_ih = w_ih,
                              .w_hh = w_hh,
                              .h0 = h0,
                              .c0 = c0,
                              .bias_ih = bias_ih,
                              .bias_hh = bias_hh,
                              .states = states,
                              .new_states = states,
                              .cells = cells,
                              .new_cells = cells,
                              .gate = gates,
                              .cell = forward_cell};
  return recurrent_forward(&layer);
}

int32_t th_lstm_backward(float *dx, float *dh0, float *dc0, float *dw_ih, float *dw_hh, float *dbias, float *gates,
                         const float *dy, const float *dc_last, const float *x, const float *states, const float *cells,
                         const float *w_ih, const float *w_hh, int32_t steps, int32_t batch, int32_t inputs,
                         int32_t hidden) {
  th_recurrent layer = {.name = "lstm",
                        .steps = steps,
                        .batch = batch,
                        .inputs = inputs,
                        .hidden = hidden,
                        .gates = 4,
                        .x = x,
                        .w_ih = w_ih,
                        .w_hh = w_hh,
                        .states = states,
                        .cells = cells,
                        .gate = gates,
                        .cell = backward_cell,
                        .dy = dy,
                        .dc_last = dc_last,
                        .dx = dx,
                        .dh0 = dh0,
                        .dc0 = dc0,
                        .dw_ih = dw_ih,
                        .dw_hh = dw_hh,
                        .dbias = dbias};
  return recurrent_backward(&layer);
}
