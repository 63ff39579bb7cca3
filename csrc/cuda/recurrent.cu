/*
 * Recurrent layers over a whole sequence. What does not depend on the step before is one matrix product over all steps (the
 * inputs' share, and all gradients of weights and inputs); a step is a product with w_hh and one pointwise kernel.
 */
#include "column_sums.h"
#include "gemm.h"

namespace {

/** Sizes of a layer; gates = hidden, 3 · hidden or 4 · hidden. */
struct layer {
  int32_t steps, batch, inputs, hidden, gates;
  int32_t rows() const { return steps * batch; }
  /** Elements of a step's states, and of its gates. */
  size_t state() const { return (size_t)batch * (size_t)hidden; }
  size_t gate() const { return (size_t)batch * (size_t)gates; }
};

TH_DEVICE float sigmoid(float x) { return 1 / (1 + expf(-x)); }

int32_t copy_or_zero(float *out, const float *in, size_t count) {
  if (count == 0) return TH_STATUS_OK;
  const size_t bytes = count * sizeof *out;
  return th_cuda_status(in ? cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, th_stream())
                           : cudaMemsetAsync(out, 0, bytes, th_stream()),
                        "recurrent layer");
}

/** gates[t] of all steps = x[t] · w_ih + bias. */
int32_t input_share(float *gates, const float *x, const float *w_ih, const float *bias, const layer &l) {
  return th_multiply_matrices(gates, {x, l.inputs, 0}, {w_ih, l.gates, 0}, bias, l.rows(), l.gates, l.inputs, 0);
}

/** gates of a step = or, with `add`, += state · w_hh + bias. */
int32_t state_share(float *gates, const float *state, const float *w_hh, const float *bias, const layer &l,
                    int32_t add) {
  return th_multiply_matrices(gates, {state, l.hidden, 0}, {w_hh, l.gates, 0}, bias, l.batch, l.gates, l.hidden, add);
}

/** dstate of a step = or, with `add`, += dgates · w_hhᵀ. */
int32_t state_gradient(float *dstate, const float *dgates, const float *w_hh, const layer &l, int32_t add) {
  return th_multiply_matrices(dstate, {dgates, l.gates, 0}, {w_hh, l.gates, 1}, nullptr, l.batch, l.hidden, l.gates,
                              add);
}

/** What follows from the gradient of the inputs' share (before the activations), of all steps at once. */
int32_t input_gradients(float *dx, float *dw_ih, float *dbias, const float *dgates, const float *x, const float *w_ih,
                        const layer &l) {
  const th_matrix gates = {dgates, l.gates, 0};
  if (dx) TH_TRY(th_multiply_matrices(dx, gates, {w_ih, l.gates, 1}, nullptr, l.rows(), l.inputs, l.gates, 0));
  if (dw_ih) TH_TRY(th_multiply_matrices(dw_ih, {x, l.inputs, 1}, gates, nullptr, l.inputs, l.gates, l.rows(), 0));
  return dbias ? th_column_sum(dbias, dgates, l.rows(), l.gates) : TH_STATUS_OK;
}

/** The gradient of w_hh from that of the states' share, of all steps at once. */
int32_t state_weight_gradient(float *dw_hh, const float *dgates, const float *states, const layer &l) {
  if (!dw_hh) return TH_STATUS_OK;
  return th_multiply_matrices(dw_hh, {states, l.hidden, 1}, {dgates, l.gates, 0}, nullptr, l.hidden, l.gates, l.rows(),
                              0);
}

/* ------------------------------------------------------------------------------------------------------- rnn */

__global__ void activate(float *state, uint32_t count, int32_t relu) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const float x = state[i];
    state[i] = relu ? (x < 0 ? 0 : x) : tanhf(x);
  }
}

/** The gradient before the activation, of a step whose state is y; `next` is that through the step after, or NULL. */
__global__ void activate_backward(float *before, const float *dy, const float *next, const float *y, uint32_t count,
                                  int32_t relu) {
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const float g = dy[i] + (next ? next[i] : 0);
    before[i] = relu ? (y[i] > 0 ? g : 0) : g * (1 - y[i] * y[i]);
  }
}

/* ------------------------------------------------------------------------------------------------------ lstm */

/** Gates of a step, before their activations, become i, f, g, o; then the step's cells and states. */
__global__ void lstm_cell(float *state, float *cell, float *gates, const float *cell_before, uint32_t count,
                          uint32_t hidden) {
  for (uint32_t at = blockIdx.x * blockDim.x + threadIdx.x; at < count; at += gridDim.x * blockDim.x) {
    const uint32_t row = at / hidden;
    float *of = gates + (size_t)row * 4 * hidden + (at - row * hidden);
    const float i = sigmoid(of[0]), f = sigmoid(of[hidden]), g = tanhf(of[2 * hidden]), o = sigmoid(of[3 * hidden]);
    const float c = f * cell_before[at] + i * g;
    of[0] = i;
    of[hidden] = f;
    of[2 * hidden] = g;
    of[3 * hidden] = o;
    cell[at] = c;
    state[at] = o * tanhf(c);
  }
}

/** The gates of a step become the gradient before their activations; dcell, that of its cells, becomes that of the cells
    before. `next` is the states' gradient through the step after, or NULL. */
__global__ void lstm_cell_backward(float *gates, float *dcell, const float *dy, const float *next, const float *cell,
                                   const float *cell_before, uint32_t count, uint32_t hidden) {
  for (uint32_t at = blockIdx.x * blockDim.x + threadIdx.x; at < count; at += gridDim.x * blockDim.x) {
    const uint32_t row = at / hidden;
    float *of = gates + (size_t)row * 4 * hidden + (at - row * hidden);
    const float i = of[0], f = of[hidden], g = of[2 * hidden], o = of[3 * hidden];
    const float dh = dy[at] + (next ? next[at] : 0), y = tanhf(cell[at]);
    const float dc = dcell[at] + dh * o * (1 - y * y);
    of[0] = dc * g * i * (1 - i);
    of[hidden] = dc * cell_before[at] * f * (1 - f);
    of[2 * hidden] = dc * i * (1 - g * g);
    of[3 * hidden] = dh * y * o * (1 - o);
    dcell[at] = dc * f;
  }
}

/* ------------------------------------------------------------------------------------------------------- gru */

/** The inputs' shares of a step's gates become r, z, n, with those of the states, `share`; then the step's states. */
__global__ void gru_cell(float *state, float *gates, float *product, const float *share, const float *before,
                         uint32_t count, uint32_t hidden) {
  for (uint32_t at = blockIdx.x * blockDim.x + threadIdx.x; at < count; at += gridDim.x * blockDim.x) {
    const uint32_t row = at / hidden;
    const size_t first = (size_t)row * 3 * hidden + (at - row * hidden);
    float *of = gates + first;
    const float *to = share + first;
    const float r = sigmoid(of[0] + to[0]), z = sigmoid(of[hidden] + to[hidden]), kept = to[2 * hidden];
    const float n = tanhf(of[2 * hidden] + r * kept);
    of[0] = r;
    of[hidden] = z;
    of[2 * hidden] = n;
    product[at] = kept;
    state[at] = (1 - z) * n + z * before[at];
  }
}

/** The gates of a step become the gradient of the states' shares, `product` that of the inputs' share of n; dstate, the
    states' gradient through the step after, becomes that through z of the states before. */
__global__ void gru_cell_backward(float *gates, float *product, float *dstate, const float *dy, const float *before,
                                  uint32_t count, uint32_t hidden) {
  for (uint32_t at = blockIdx.x * blockDim.x + threadIdx.x; at < count; at += gridDim.x * blockDim.x) {
    const uint32_t row = at / hidden;
    float *of = gates + (size_t)row * 3 * hidden + (at - row * hidden);
    const float r = of[0], z = of[hidden], n = of[2 * hidden], dh = dy[at] + dstate[at];
    const float dn = dh * (1 - z) * (1 - n * n);
    of[0] = dn * product[at] * r * (1 - r);
    of[hidden] = dh * (before[at] - n) * z * (1 - z);
    of[2 * hidden] = dn * r;
    product[at] = dn;
    dstate[at] = dh * z;
  }
}

} // namespace

int32_t th_rnn(float *states, const float *x, const float *h0, const float *w_ih, const float *w_hh,
               const float *bias_ih, const float *bias_hh, int32_t steps, int32_t batch, int32_t inputs, int32_t hidden,
               int32_t relu) {
  const layer l = {steps, batch, inputs, hidden, hidden};
  const uint32_t count = (uint32_t)l.state();
  TH_TRY(copy_or_zero(states, h0, count));
  TH_TRY(input_share(states + count, x, w_ih, bias_ih, l));
  for (int32_t t = 0; t < steps; t++, states += count) {
    TH_TRY(state_share(states + count, states, w_hh, bias_hh, l, 1));
    TH_TRY(th_launch("activate", activate, th_blocks_for(count), TH_BLOCK, states + count, count, relu));
  }
  return TH_STATUS_OK;
}

int32_t th_rnn_backward(float *dx, float *dh0, float *dw_ih, float *dw_hh, float *dbias, float *preactivations,
                        const float *dy, const float *x, const float *states, const float *w_ih, const float *w_hh,
                        int32_t steps, int32_t batch, int32_t inputs, int32_t hidden, int32_t relu) {
  const layer l = {steps, batch, inputs, hidden, hidden};
  const size_t count = l.state();
  const th_workspace<float> dstate((int64_t)count);
  TH_TRY(dstate.status("rnnBackward"));
  for (int32_t t = steps - 1; t >= 0; t--) {
    float *const before = preactivations + (size_t)t * count;
    const float *const next = t == steps - 1 ? nullptr : (float *)dstate;
    TH_TRY(th_launch("activate_backward", activate_backward, th_blocks_for((int64_t)count), TH_BLOCK, before,
                     dy + (size_t)t * count, next, states + (size_t)(t + 1) * count, (uint32_t)count, relu));
    if (t > 0 || dh0) TH_TRY(state_gradient(t > 0 ? (float *)dstate : dh0, before, w_hh, l, 0));
  }
  TH_TRY(state_weight_gradient(dw_hh, preactivations, states, l));
  return input_gradients(dx, dw_ih, dbias, preactivations, x, w_ih, l);
}

int32_t th_lstm(float *states, float *cells, float *gates, const float *x, const float *h0, const float *c0,
                const float *w_ih, const float *w_hh, const float *bias_ih, const float *bias_hh, int32_t steps,
                int32_t batch, int32_t inputs, int32_t hidden) {
  const layer l = {steps, batch, inputs, hidden, 4 * hidden};
  const uint32_t count = (uint32_t)l.state();
  TH_TRY(copy_or_zero(states, h0, count));
  TH_TRY(copy_or_zero(cells, c0, count));
  TH_TRY(input_share(gates, x, w_ih, bias_ih, l));
  for (int32_t t = 0; t < steps; t++, states += count, cells += count, gates += l.gate()) {
    TH_TRY(state_share(gates, states, w_hh, bias_hh, l, 1));
    TH_TRY(th_launch("lstm_cell", lstm_cell, th_blocks_for(count), TH_BLOCK, states + count, cells + count, gates,
                     cells, count, (uint32_t)hidden));
  }
  return TH_STATUS_OK;
}

int32_t th_lstm_backward(float *dx, float *dh0, float *dc0, float *dw_ih, float *dw_hh, float *dbias, float *gates,
                         const float *dy, const float *dc_last, const float *x, const float *states, const float *cells,
                         const float *w_ih, const float *w_hh, int32_t steps, int32_t batch, int32_t inputs,
                         int32_t hidden) {
  const layer l = {steps, batch, inputs, hidden, 4 * hidden};
  const size_t count = l.state();
  const th_workspace<float> dstate((int64_t)count), own_dcell(dc0 ? 0 : (int64_t)count);
  TH_TRY(dstate.status("lstmBackward"));
  TH_TRY(own_dcell.status("lstmBackward"));
  float *const dcell = dc0 ? dc0 : (float *)own_dcell;
  TH_TRY(copy_or_zero(dcell, dc_last, count));
  for (int32_t t = steps - 1; t >= 0; t--) {
    float *const of_step = gates + (size_t)t * l.gate();
    const float *const next = t == steps - 1 ? nullptr : (float *)dstate;
    const float *const cell_before = cells + (size_t)t * count;
    TH_TRY(th_launch("lstm_cell_backward", lstm_cell_backward, th_blocks_for((int64_t)count), TH_BLOCK, of_step, dcell,
                     dy + (size_t)t * count, next, cell_before + count, cell_before, (uint32_t)count,
                     (uint32_t)hidden));
    if (t > 0 || dh0) TH_TRY(state_gradient(t > 0 ? (float *)dstate : dh0, of_step, w_hh, l, 0));
  }
  TH_TRY(state_weight_gradient(dw_hh, gates, states, l));
  return input_gradients(dx, dw_ih, dbias, gates, x, w_ih, l);
}

int32_t th_gru(float *states, float *gates, float *product, const float *x, const float *h0, const float *w_ih,
               const float *w_hh, const float *bias_ih, const float *bias_hh, int32_t steps, int32_t batch,
               int32_t inputs, int32_t hidden) {
  const layer l = {steps, batch, inputs, hidden, 3 * hidden};
  const uint32_t count = (uint32_t)l.state();
  const th_workspace<float> share((int64_t)l.gate());
  TH_TRY(share.status("gru"));
  TH_TRY(copy_or_zero(states, h0, count));
  TH_TRY(input_share(gates, x, w_ih, bias_ih, l));
  for (int32_t t = 0; t < steps; t++, states += count, product += count, gates += l.gate()) {
    TH_TRY(state_share(share, states, w_hh, bias_hh, l, 0));
    TH_TRY(th_launch("gru_cell", gru_cell, th_blocks_for(count), TH_BLOCK, states + count, gates, product, share,
                     states, count, (uint32_t)hidden));
  }
  return TH_STATUS_OK;
}

int32_t th_gru_backward(float *dx, float *dh0, float *dw_ih, float *dw_hh, float *dbias_ih, float *dbias_hh,
                        float *gates, float *product, const float *dy, const float *x, const float *states,
                        const float *w_ih, const float *w_hh, int32_t steps, int32_t batch, int32_t inputs,
                        int32_t hidden) {
  const layer l = {steps, batch, inputs, hidden, 3 * hidden};
  const size_t count = l.state();
  const th_workspace<float> own_dstate(dh0 ? 0 : (int64_t)count);
  TH_TRY(own_dstate.status("gruBackward"));
  float *const dstate = dh0 ? dh0 : (float *)own_dstate;
  TH_TRY(copy_or_zero(dstate, nullptr, count));
  for (int32_t t = steps - 1; t >= 0; t--) {
    float *const of_step = gates + (size_t)t * l.gate();
    const size_t at = (size_t)t * count;
    TH_TRY(th_launch("gru_cell_backward", gru_cell_backward, th_blocks_for((int64_t)count), TH_BLOCK, of_step,
                     product + at, dstate, dy + at, states + at, (uint32_t)count, (uint32_t)hidden));
    if (t > 0 || dh0) TH_TRY(state_gradient(dstate, of_step, w_hh, l, 1));
  }
  TH_TRY(state_weight_gradient(dw_hh, gates, states, l));
  if (dbias_hh) TH_TRY(th_column_sum(dbias_hh, gates, l.rows(), l.gates));
  // The inputs' share of n in place of the states' share.
  const int32_t layout[] = {2, l.rows(), hidden, l.gates, 1, hidden, 1};
  TH_TRY(th_copy(gates + 2 * (size_t)hidden, product, layout));
  return input_gradients(dx, dw_ih, dbias_ih, gates, x, w_ih, l);
}
