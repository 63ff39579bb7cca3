/* Recurrent layers against the textbook's loops in double precision. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum { TANH, RELU, LSTM, GRU } kind;

typedef struct {
  kind kind;
  int steps, batch, inputs, hidden, given, biased; /* given: h0, c0 and dc_last are */
} sizes;

static int gates_of(kind k) { return k == LSTM ? 4 : k == GRU ? 3 : 1; }

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double *doubles(ptrdiff_t n) { return calloc((size_t)n + 1, sizeof(double)); }

static float *floats_of(const double *x, ptrdiff_t n) {
  float *out = test_floats(n);
  for (ptrdiff_t i = 0; i < n; i++) out[i] = (float)x[i];
  return out;
}

/** What the kernel should give, all in double; arrays as in thimble.h. */
typedef struct {
  double *states, *cells, *gates, *product;                          /* forward */
  double *dx, *dh0, *dc0, *dw_ih, *dw_hh, *dbias, *dbias_hh, *dgate; /* backward; dgate is that of the inputs' share */
} expected;

typedef struct {
  float *x, *h0, *c0, *w_ih, *w_hh, *bias_ih, *bias_hh, *dy, *dc_last;
} operands;

static void reference(const sizes *s, const operands *in, expected *e) {
  const int T = s->steps, N = s->batch, I = s->inputs, H = s->hidden, G = gates_of(s->kind) * H;
  for (int i = 0; i < N * H; i++) e->states[i] = s->given ? (double)in->h0[i] : 0;
  for (int i = 0; i < N * H; i++) e->cells[i] = s->given && s->kind == LSTM ? (double)in->c0[i] : 0;
  for (int t = 0; t < T; t++)
    for (int n = 0; n < N; n++) {
      const double *h = e->states + ((ptrdiff_t)t * N + n) * H, *c = e->cells + ((ptrdiff_t)t * N + n) * H;
      double *next = e->states + ((ptrdiff_t)(t + 1) * N + n) * H, *cell = e->cells + ((ptrdiff_t)(t + 1) * N + n) * H;
      double *gate = e->gates + ((ptrdiff_t)t * N + n) * G, *product = e->product + ((ptrdiff_t)t * N + n) * H;
      for (int j = 0; j < G; j++) {
        double sum = s->biased ? (double)in->bias_ih[j] : 0, share = s->biased ? (double)in->bias_hh[j] : 0;
        for (int k = 0; k < I; k++) sum += (double)in->x[((ptrdiff_t)t * N + n) * I + k] * (double)in->w_ih[k * G + j];
        for (int k = 0; k < H; k++) share += h[k] * (double)in->w_hh[k * G + j];
        const int is_tanh = j / H == 2; /* g of an LSTM, n of a GRU */
        if (s->kind == GRU && is_tanh) product[j - 2 * H] = share, share *= gate[j - 2 * H];
        sum += share;
        gate[j] = s->kind == RELU ? fmax(sum, 0) : s->kind == TANH || is_tanh ? tanh(sum) : sigmoid(sum);
      }
      for (int j = 0; j < H; j++) {
        if (s->kind == LSTM) cell[j] = gate[H + j] * c[j] + gate[j] * gate[2 * H + j];
        next[j] = s->kind == LSTM  ? gate[3 * H + j] * tanh(cell[j])
                  : s->kind == GRU ? (1 - gate[H + j]) * gate[2 * H + j] + gate[H + j] * h[j]
                                   : gate[j];
      }
    }

  double *dh = doubles(N * H), *dc = doubles(N * H),
         *dshare = doubles(G); /* dshare: of the state's share of the gates */
  for (int i = 0; i < N * H; i++) dc[i] = s->given && s->kind == LSTM ? (double)in->dc_last[i] : 0;
  for (int t = T - 1; t >= 0; t--)
    for (int n = 0; n < N; n++) {
      const double *h = e->states + ((ptrdiff_t)t * N + n) * H, *c = e->cells + ((ptrdiff_t)t * N + n) * H;
      const double *next = e->states + ((ptrdiff_t)(t + 1) * N + n) * H, *cell = c + (ptrdiff_t)N * H;
      const double *gate = e->gates + ((ptrdiff_t)t * N + n) * G, *product = e->product + ((ptrdiff_t)t * N + n) * H;
      double *dgate = e->dgate + ((ptrdiff_t)t * N + n) * G;
      for (int j = 0; j < H; j++) {
        const double g = (double)in->dy[((ptrdiff_t)t * N + n) * H + j] + dh[n * H + j];
        if (s->kind == TANH) dgate[j] = g * (1 - next[j] * next[j]);
        if (s->kind == RELU) dgate[j] = next[j] > 0 ? g : 0;
        if (s->kind == GRU) {
          const double r = gate[j], z = gate[H + j], y = gate[2 * H + j], d = g * (1 - z) * (1 - y * y);
          dgate[j] = d * product[j] * r * (1 - r), dgate[H + j] = g * (h[j] - y) * z * (1 - z), dgate[2 * H + j] = d;
          dh[n * H + j] = g * z;
        } else {
          dh[n * H + j] = 0;
        }
        if (s->kind != LSTM) continue;
        const double i = gate[j], f = gate[H + j], z = gate[2 * H + j], o = gate[3 * H + j], y = tanh(cell[j]);
        const double d = dc[n * H + j] + g * o * (1 - y * y);
        dgate[j] = d * z * i * (1 - i), dgate[H + j] = d * c[j] * f * (1 - f);
        dgate[2 * H + j] = d * i * (1 - z * z), dgate[3 * H + j] = g * y * o * (1 - o);
        dc[n * H + j] = d * f;
      }
      for (int j = 0; j < G; j++) dshare[j] = dgate[j] * (s->kind == GRU && j / H == 2 ? gate[j - 2 * H] : 1);
      for (int k = 0; k < H; k++)
        for (int j = 0; j < G; j++) {
          dh[n * H + k] += dshare[j] * (double)in->w_hh[k * G + j];
          e->dw_hh[k * G + j] += h[k] * dshare[j];
        }
      for (int k = 0; k < I; k++)
        for (int j = 0; j < G; j++) {
          e->dx[((ptrdiff_t)t * N + n) * I + k] += dgate[j] * (double)in->w_ih[k * G + j];
          e->dw_ih[k * G + j] += (double)in->x[((ptrdiff_t)t * N + n) * I + k] * dgate[j];
        }
      for (int j = 0; j < G; j++) e->dbias[j] += dgate[j], e->dbias_hh[j] += dshare[j];
    }
  memcpy(e->dh0, dh, sizeof *dh * (size_t)(N * H)), memcpy(e->dc0, dc, sizeof *dc * (size_t)(N * H));
  free(dh), free(dc), free(dshare);
}

static void compare(const float *actual, const double *expected, ptrdiff_t n, const char *what, const sizes *s) {
  float *rounded = floats_of(expected, n);
  check_close(actual, rounded, n, 3e-5, "%s of kind %d, %d steps, batch %d, %d to %d%s", what, (int)s->kind, s->steps,
              s->batch, s->inputs, s->hidden, s->given ? ", given state" : "");
  free(rounded);
}

static void check_layer(sizes s) {
  const int G = gates_of(s.kind) * s.hidden;
  const ptrdiff_t rows = (ptrdiff_t)s.steps * s.batch, state = (ptrdiff_t)s.batch * s.hidden;
  const float scale = 1 / sqrtf((float)s.hidden);
  const ptrdiff_t lengths[] = {rows * s.inputs, state, state, (ptrdiff_t)s.inputs * G, (ptrdiff_t)s.hidden * G, G, G,
                               rows * s.hidden, state};
  operands in;
  float **const arrays[] = {&in.x, &in.h0, &in.c0, &in.w_ih, &in.w_hh, &in.bias_ih, &in.bias_hh, &in.dy, &in.dc_last};
  for (int i = 0; i < 9; i++) {
    *arrays[i] = test_random(lengths[i], (uint64_t)i + 1);
    for (ptrdiff_t k = 0; (i == 3 || i == 4) && k < lengths[i]; k++) (*arrays[i])[k] *= scale;
  }
  expected e;
  const ptrdiff_t all = state + rows * s.hidden;
  const ptrdiff_t sizes_of[] = {all,        all,        rows * G, lengths[0], state,           state,
                                lengths[3], lengths[4], G,        rows * G,   rows * s.hidden, G};
  double **const results[] = {&e.states, &e.cells, &e.gates, &e.dx,    &e.dh0,     &e.dc0,
                              &e.dw_ih,  &e.dw_hh, &e.dbias, &e.dgate, &e.product, &e.dbias_hh};
  float *out[12];
  for (int i = 0; i < 12; i++) *results[i] = doubles(sizes_of[i]), out[i] = test_nan(sizes_of[i]);
  reference(&s, &in, &e);

  const float *h0 = s.given ? in.h0 : NULL, *c0 = s.given ? in.c0 : NULL;
  const float *b1 = s.biased ? in.bias_ih : NULL, *b2 = s.biased ? in.bias_hh : NULL;
  float *states = out[0], *cells = out[1], *gates = out[2];
  float *dh0 = s.given ? out[4] : NULL, *dc0 = s.given ? out[5] : NULL, *dbias = s.biased ? out[8] : NULL;
  if (s.kind == LSTM) {
    check(th_lstm(states, cells, gates, in.x, h0, c0, in.w_ih, in.w_hh, b1, b2, s.steps, s.batch, s.inputs, s.hidden) ==
              TH_STATUS_OK,
          "status");
    compare(cells, e.cells, all, "cells", &s);
    compare(gates, e.gates, rows * G, "gates", &s);
    check(th_lstm_backward(out[3], dh0, dc0, out[6], out[7], dbias, gates, in.dy, s.given ? in.dc_last : NULL, in.x,
                           states, cells, in.w_ih, in.w_hh, s.steps, s.batch, s.inputs, s.hidden) == TH_STATUS_OK,
          "status");
    compare(gates, e.dgate, rows * G, "gradient of the gates", &s);
    if (dc0) compare(dc0, e.dc0, state, "dc0", &s);
  } else if (s.kind == GRU) {
    float *product = out[10], *dbias_hh = s.biased ? out[11] : NULL;
    check(th_gru(states, gates, product, in.x, h0, in.w_ih, in.w_hh, b1, b2, s.steps, s.batch, s.inputs, s.hidden) ==
              TH_STATUS_OK,
          "status");
    compare(gates, e.gates, rows * G, "gates", &s);
    compare(product, e.product, rows * s.hidden, "product", &s);
    check(th_gru_backward(out[3], dh0, out[6], out[7], dbias, dbias_hh, gates, product, in.dy, in.x, states, in.w_ih,
                          in.w_hh, s.steps, s.batch, s.inputs, s.hidden) == TH_STATUS_OK,
          "status");
    if (dbias_hh) compare(dbias_hh, e.dbias_hh, G, "dbias_hh", &s);
  } else {
    const int relu = s.kind == RELU;
    check(th_rnn(states, in.x, h0, in.w_ih, in.w_hh, b1, b2, s.steps, s.batch, s.inputs, s.hidden, relu) ==
              TH_STATUS_OK,
          "status");
    check(th_rnn_backward(out[3], dh0, out[6], out[7], dbias, out[9], in.dy, in.x, states, in.w_ih, in.w_hh, s.steps,
                          s.batch, s.inputs, s.hidden, relu) == TH_STATUS_OK,
          "status");
    compare(out[9], e.dgate, rows * G, "gradient before the activation", &s);
  }
  compare(states, e.states, all, "states", &s);
  compare(out[3], e.dx, lengths[0], "dx", &s);
  compare(out[6], e.dw_ih, lengths[3], "dw_ih", &s);
  compare(out[7], e.dw_hh, lengths[4], "dw_hh", &s);
  if (dh0) compare(dh0, e.dh0, state, "dh0", &s);
  if (dbias) compare(dbias, e.dbias, G, "dbias", &s);
  for (int i = 0; i < 9; i++) free(*arrays[i]);
  for (int i = 0; i < 12; i++) free(*results[i]), free(out[i]);
}

TEST_SUITE(recurrent) {
  for (kind k = TANH; k <= GRU; k++)
    for (int given = 0; given < 2; given++) {
      check_layer((sizes){k, 1, 1, 1, 1, given, 1});
      check_layer((sizes){k, 3, 2, 5, 7, given, 0});
      check_layer((sizes){k, 5, 3, 4, 16, given, 1});
      check_layer((sizes){k, 4, 31, 9, 40, given, 1});  /* more rows than a tile, a panel of one vector */
      check_layer((sizes){k, 2, 16, 3, 128, given, 1}); /* rows that collide in the cache */
      check_layer((sizes){k, 2, 5, 3, 401, given, 1});  /* more than one run of K */
      check_layer((sizes){k, 2, 0, 3, 5, given, 1});
    }
}

/* Drawn at random, on more threads than there are rows or panels of units to share out. */
TEST_SUITE(recurrent_any) {
  uint64_t state = 1;
  for (int i = 0; i < 12 * test_draws; i++) {
    const int steps = test_pick(&state, 1, 6), batch = test_pick(&state, 1, 40), inputs = test_pick(&state, 1, 20);
    const int hidden = test_pick(&state, 1, 150), given = test_pick(&state, 0, 1), biased = test_pick(&state, 0, 1);
    for (kind k = TANH; k <= GRU; k++) check_layer((sizes){k, steps, batch, inputs, hidden, given, biased});
  }
}

/** Only some gradients are asked for: the others' arrays are NULL. */
TEST_SUITE(recurrent_some_gradients) {
  enum { T = 3, N = 2, I = 4, H = 5 };
  float *x = test_random(T * N * I, 1), *w = test_random(9 * 4 * H, 2), *dy = test_random(T * N * H, 3);
  float *states = test_nan((T + 1) * N * H), *cells = test_nan((T + 1) * N * H), *gates = test_nan(T * N * 4 * H);
  float *dw = test_nan(H * 4 * H);
  th_lstm(states, cells, gates, x, NULL, NULL, w, w + I * 4 * H, NULL, NULL, T, N, I, H);
  check(th_lstm_backward(NULL, NULL, NULL, NULL, dw, NULL, gates, dy, NULL, x, states, cells, w, w + I * 4 * H, T, N, I,
                         H) == TH_STATUS_OK,
        "status");
  int finite = 1;
  for (int i = 0; i < H * 4 * H; i++) finite &= isfinite(dw[i]) != 0;
  check(finite, "the gradient of w_hh alone");

  /* Each of a GRU's, alone, is what it is among all of them: gates change on the way. */
  enum { ALL = 6 };
  const ptrdiff_t lengths[ALL] = {T * N * I, N * H, I * 3 * H, H * 3 * H, 3 * H, 3 * H};
  float *all[ALL], *product = test_nan(T * N * H);
  for (int i = 0; i < ALL; i++) all[i] = test_nan(lengths[i]);
  for (int only = -1; only < ALL; only++) {
    float *out[ALL];
    for (int i = 0; i < ALL; i++) out[i] = only == -1 ? all[i] : only == i ? test_nan(lengths[i]) : NULL;
    th_gru(states, gates, product, x, NULL, w, w + I * 3 * H, NULL, NULL, T, N, I, H);
    check(th_gru_backward(out[0], out[1], out[2], out[3], out[4], out[5], gates, product, dy, x, states, w,
                          w + I * 3 * H, T, N, I, H) == TH_STATUS_OK,
          "status");
    if (only < 0) continue;
    check_close(out[only], all[only], lengths[only], 0, "gradient %d of a GRU alone", only);
    free(out[only]);
  }
  for (int i = 0; i < ALL; i++) free(all[i]);
  free(product);
  free(x), free(w), free(dy), free(states), free(cells), free(gates), free(dw);
}
