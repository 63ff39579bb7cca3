/**
 * Recurrent layers over a whole sequence, one native call each way. x (L, N, in); weights (in, G) and (H, G) and biases
 * (G), with G = H, or 4 · H for an LSTM in the order i, f, g, o, or 3 · H for a GRU in the order r, z, n.
 */
import type { Pointer } from "bun:ffi";

import { record, recordAll } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkSize } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { tidy } from "../ndarray/scope.ts";
import { checkFloat, checkShapeIs, contiguous } from "./support.ts";

export type Nonlinearity = "tanh" | "relu";

/** The hidden state and the cell state of an LSTM. */
export type LSTMState = readonly [h: Tensor, c: Tensor];

export interface RecurrentWeights {
  /** (in, G) and (H, G). */
  W_ih: Tensor;
  W_hh: Tensor;
  /** Each (G); both or neither. */
  bias_ih?: Tensor | null | undefined;
  bias_hh?: Tensor | null | undefined;
}

/**
 * h[t] = tanh(x[t] · W_ih + bias_ih + h[t - 1] · W_hh + bias_hh), or ReLU in place of tanh, from h0 (N, H), zeros if
 * there is none: all of them, (L, N, H).
 */
export function rnn(
  x: Tensor,
  h0: Tensor | null,
  weights: RecurrentWeights,
  nonlinearity: Nonlinearity = "tanh",
): Tensor {
  checkNonlinearity("rnn", nonlinearity);
  const relu = nonlinearity === "relu" ? 1 : 0;
  const { steps, batch, inputs, hidden } = checkLayer("rnn", 1, x, weights, [h0]);
  const { W_ih, W_hh, bias_ih = null, bias_hh = null } = weights;
  const { backend } = x.device;
  return tidy(() => {
    const [input, w, u] = [x.data.compact(), W_ih.data.compact(), W_hh.data.compact()];
    const states = NDArray.empty([steps + 1, batch, hidden], input);
    const status = backend.th_rnn(
      states.pointer, input.pointer, pointerOf(h0), w.pointer, u.pointer, pointerOf(bias_ih), pointerOf(bias_hh),
      steps, batch, inputs, hidden, relu,
    ); // prettier-ignore
    check(status, backend, "rnn");
    const outputs = states.slice([1, steps + 1]);
    const operands = [x, W_ih, W_hh, bias_ih, bias_hh, h0];
    const shapes = operands.map((operand) => operand?.shape); // a tensor's data may be replaced before backward
    return record("rnn", outputs, operands, [input, states, w, u], (g, { saved: [xs, hs, wIh, wHh], needs }) => {
      const dy = contiguous(g);
      const { dx, dw, du, dbias, dh0 } = makeGradients(shapes, needs, dy);
      const work = NDArray.empty([steps, batch, hidden], dy);
      const code = backend.th_rnn_backward(
        pointerOf(dx), pointerOf(dh0), pointerOf(dw), pointerOf(du), pointerOf(dbias),
        work.pointer, dy.pointer, xs.pointer, hs.pointer, wIh.pointer, wHh.pointer, steps, batch, inputs, hidden, relu,
      ); // prettier-ignore
      check(code, backend, "rnn");
      return [dx, dw, du, dbias, dbias, dh0];
    });
  });
}

/**
 * Long short-term memory (Hochreiter and Schmidhuber, 1997), as PyTorch's: i, f, o = sigmoid and g = tanh of
 * x[t] · W_ih + bias_ih + h[t - 1] · W_hh + bias_hh; c[t] = f · c[t - 1] + i · g; h[t] = o · tanh(c[t]).
 * From h0 and c0 (N, H), zeros if there are none: every h, (L, N, H), and the last c, (N, H).
 */
export function lstm(x: Tensor, state: LSTMState | null, weights: RecurrentWeights): [h: Tensor, c: Tensor] {
  const [h0, c0] = checkState("lstm", state) ?? [null, null];
  const { steps, batch, inputs, hidden } = checkLayer("lstm", 4, x, weights, [h0, c0]);
  const { W_ih, W_hh, bias_ih = null, bias_hh = null } = weights;
  const { backend } = x.device;
  return tidy(() => {
    const [input, w, u] = [x.data.compact(), W_ih.data.compact(), W_hh.data.compact()];
    const states = NDArray.empty([steps + 1, batch, hidden], input);
    const cells = NDArray.empty([steps + 1, batch, hidden], input);
    const gates = NDArray.empty([steps, batch, 4 * hidden], input);
    const status = backend.th_lstm(
      states.pointer, cells.pointer, gates.pointer, input.pointer, pointerOf(h0), pointerOf(c0), w.pointer, u.pointer,
      pointerOf(bias_ih), pointerOf(bias_hh), steps, batch, inputs, hidden,
    ); // prettier-ignore
    check(status, backend, "lstm");
    const outputs = [states.slice([1, steps + 1]), cells.slice(steps)];
    const operands = [x, W_ih, W_hh, bias_ih, bias_hh, h0, c0];
    const shapes = operands.map((operand) => operand?.shape);
    const saved = [input, states, cells, gates, w, u] as const;
    const [y, last] = recordAll("lstm", outputs, operands, saved, ([g, dc], context) => {
      const [xs, hs, cs, activations, wIh, wHh] = context.saved;
      const dy = g ? contiguous(g) : NDArray.zeros([steps, batch, hidden], xs);
      const { dx, dw, du, dbias, dh0, dc0 } = makeGradients(shapes, context.needs, dy);
      const code = backend.th_lstm_backward(
        pointerOf(dx), pointerOf(dh0), pointerOf(dc0), pointerOf(dw), pointerOf(du),
        pointerOf(dbias), activations.pointer, dy.pointer, pointerOf(dc), xs.pointer,
        hs.pointer, cs.pointer, wIh.pointer, wHh.pointer, steps, batch, inputs, hidden,
      ); // prettier-ignore
      check(code, backend, "lstm");
      return [dx, dw, du, dbias, dbias, dh0, dc0];
    });
    return [y!, last!];
  });
}

/**
 * A gated recurrent unit (Cho et al., 2014), as PyTorch's: with a = x[t] · W_ih + bias_ih and b = h[t - 1] · W_hh + bias_hh,
 * r = sigmoid(a_r + b_r), z = sigmoid(a_z + b_z), n = tanh(a_n + r · b_n); h[t] = (1 - z) · n + z · h[t - 1], from h0 (N, H),
 * zeros if there is none: all of them, (L, N, H).
 */
export function gru(x: Tensor, h0: Tensor | null, weights: RecurrentWeights): Tensor {
  const { steps, batch, inputs, hidden } = checkLayer("gru", 3, x, weights, [h0]);
  const { W_ih, W_hh, bias_ih = null, bias_hh = null } = weights;
  const { backend } = x.device;
  return tidy(() => {
    const [input, w, u] = [x.data.compact(), W_ih.data.compact(), W_hh.data.compact()];
    const states = NDArray.empty([steps + 1, batch, hidden], input);
    const gates = NDArray.empty([steps, batch, 3 * hidden], input);
    const product = NDArray.empty([steps, batch, hidden], input);
    const status = backend.th_gru(
      states.pointer, gates.pointer, product.pointer, input.pointer, pointerOf(h0), w.pointer, u.pointer,
      pointerOf(bias_ih), pointerOf(bias_hh), steps, batch, inputs, hidden,
    ); // prettier-ignore
    check(status, backend, "gru");
    const outputs = states.slice([1, steps + 1]);
    const operands = [x, W_ih, W_hh, bias_ih, bias_hh, h0];
    const shapes = operands.map((operand) => operand?.shape);
    const saved = [input, states, gates, product, w, u] as const;
    return record("gru", outputs, operands, saved, (g, context) => {
      const [xs, hs, activations, products, wIh, wHh] = context.saved;
      const dy = contiguous(g);
      const { dx, dw, du, dbias, dbiasHh, dh0 } = makeGradients(shapes, context.needs, dy, true);
      const code = backend.th_gru_backward(
        pointerOf(dx), pointerOf(dh0), pointerOf(dw), pointerOf(du), pointerOf(dbias), pointerOf(dbiasHh),
        activations.pointer, products.pointer, dy.pointer, xs.pointer, hs.pointer, wIh.pointer, wHh.pointer,
        steps, batch, inputs, hidden,
      ); // prettier-ignore
      check(code, backend, "gru");
      return [dx, dw, du, dbias, dbiasHh, dh0];
    });
  });
}

/**
 * Arrays for the gradients that are needed, of operands x, W_ih, W_hh, bias_ih, bias_hh, h0, c0. Where both biases are added
 * to the same sum, one array serves both; in a GRU they are not.
 */
function makeGradients(
  shapes: readonly (readonly number[] | undefined)[],
  needs: readonly boolean[],
  like: NDArray,
  biasesDiffer = false,
) {
  const make = (i: number) => (needs[i] ? NDArray.empty(shapes[i]!, like) : null);
  const dbias = make(3) ?? (biasesDiffer ? null : make(4));
  const dbiasHh = biasesDiffer ? make(4) : dbias;
  return { dx: make(0), dw: make(1), du: make(2), dbias, dbiasHh, dh0: make(5), dc0: make(6) };
}

/**
 * The address of an operand's elements in row-major order, to be used inside a tidy; null for one that was left out.
 */
function pointerOf(operand: Tensor | NDArray | null | undefined): Pointer | null {
  if (!operand) return null;
  return (operand instanceof NDArray ? operand : operand.data).compact().pointer;
}

/** Throws unless `value` names an activation. */
export function checkNonlinearity(name: string, value: Nonlinearity): void {
  if (value !== "tanh" && value !== "relu") {
    throw new ArgumentError(name, `the nonlinearity is "tanh" or "relu", not ${String(value)}`);
  }
}

/** The pair, or null when it was left out. */
export function checkState(name: string, state: LSTMState | null | undefined): LSTMState | null {
  if (state === null || state === undefined) return null;
  if (!Array.isArray(state) || state.length !== 2) {
    throw new ArgumentError(name, "the state is a pair [h, c] of tensors");
  }
  for (const part of state) checkFloat(name, part, "a part of the state");
  return state;
}

/** Checks every operand of a layer with `gates` columns for each hidden unit; the sizes of it. */
function checkLayer(
  name: string,
  gates: number,
  x: Tensor,
  weights: RecurrentWeights,
  states: readonly (Tensor | null)[],
): { steps: number; batch: number; inputs: number; hidden: number } {
  checkFloat(name, x, "the input");
  if (typeof weights !== "object" || weights === null) throw new ArgumentError(name, "takes { W_ih, W_hh, … }");
  const { W_ih, W_hh, bias_ih = null, bias_hh = null } = weights;
  checkFloat(name, W_ih, "W_ih");
  checkFloat(name, W_hh, "W_hh");
  const [steps, batch, inputs] = x.shape;
  const hidden = W_hh.shape[0];
  const shapes = [x.shape, W_ih.shape, W_hh.shape];
  if (x.ndim !== 3 || !steps || batch === undefined || !inputs) {
    throw new ShapeError(name, "takes a sequence (L, N, in) of at least one step and one input", { shapes });
  }
  if (!hidden) throw new ShapeError(name, "W_hh must be (H, G) with H of at least 1", { shapes });
  checkShapeIs(name, "W_ih", W_ih, [inputs, gates * hidden]);
  checkShapeIs(name, "W_hh", W_hh, [hidden, gates * hidden]);
  if ((bias_ih === null) !== (bias_hh === null)) throw new ArgumentError(name, "takes both biases, or neither");
  const rest = { bias_ih, bias_hh };
  for (const [what, bias] of Object.entries(rest)) {
    if (bias === null) continue;
    checkFloat(name, bias, what);
    checkShapeIs(name, what, bias, [gates * hidden]);
  }
  for (const state of states) {
    if (state === null) continue;
    checkFloat(name, state, "the initial state");
    checkShapeIs(name, "the initial state", state, [batch, hidden]);
  }
  for (const operand of [W_ih, W_hh, bias_ih, bias_hh, ...states]) if (operand) sameDevice(name, x.data, operand.data);
  checkSize(name, [steps + 1, batch, gates * hidden]);
  return { steps, batch, inputs, hidden };
}
