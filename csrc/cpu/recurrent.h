/*
 * What RNN, LSTM and GRU layers share: the walk over the steps of a sequence, in which only the product with w_hh depends
 * on the step before. All else is one product over all steps: that with w_ih, and the gradients of x and of the weights.
 */
#ifndef TH_RECURRENT_H
#define TH_RECURRENT_H

#include "kernel.h"

typedef struct th_recurrent th_recurrent;

/** Some rows of the batch and hidden units: begin to end - 1 of each. */
typedef struct {
  ptrdiff_t row, row_end, unit, unit_end;
} th_part;

/** The elementwise part of step t. */
typedef void th_cell(const th_recurrent *layer, ptrdiff_t t, const th_part *part);

/** A layer, and its arrays as in thimble.h. */
struct th_recurrent {
  const char *name;
  ptrdiff_t steps, batch, inputs, hidden;
  ptrdiff_t gates; /* 1, 3 or 4: columns of a weight for each hidden unit */
  int relu;
  const float *x, *w_ih, *w_hh;
  const float *h0, *c0, *bias_ih, *bias_hh; /* may be NULL */
  const float *states, *cells;              /* (steps + 1, batch, hidden); cells may be NULL */
  float *gate; /* (steps, batch, gates · hidden): before the activation, or that gradient */
  /* GRU only, else NULL: (steps, batch, hidden): the state's share of the last gate, which `gate` then lacks. Backward: the
     gradient of the inputs' share of it, while `gate` gets that of the state's share. */
  float *product;
  th_cell *cell;
  /* Forward only: states and cells, to be written. */
  float *new_states, *new_cells;
  /* Backward only. */
  const float *dy, *dc_last;
  float *dx, *dh0, *dc0, *dw_ih, *dw_hh;
  float *dbias, *dbias_hh; /* of either bias; with `product`, of bias_ih and of bias_hh */
  float *dh, *dc;          /* (batch, hidden): what step t + 1 hands to step t; dh may be dh0 */
};

/** Runs the layer; `cell` turns what is in `gate` into states (and cells) of step t + 1. */
#define recurrent_forward TH_ISA_NAME(recurrent_forward)
int32_t recurrent_forward(const th_recurrent *layer);

/** Gradients of the layer; `cell` turns dy[t] + dh (none after the last step) into the gradient in `gate`. With `product` it
    leaves in dh what goes to the state before otherwise than through w_hh. */
#define recurrent_backward TH_ISA_NAME(recurrent_backward)
int32_t recurrent_backward(th_recurrent *layer);

#endif
