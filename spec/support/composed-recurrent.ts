/** Recurrent layers made of basic operations, step by step: the oracle of the native ones. */
import { NDArray, ops, Tensor } from "thimble";

type Weights = ops.RecurrentWeights;

/** One step before the activation. */
function preactivation(x: Tensor, h: Tensor | null, { W_ih, W_hh, bias_ih, bias_hh }: Weights): Tensor {
  let sum = x.matmul(W_ih);
  if (bias_ih) sum = sum.add(bias_ih);
  if (h) sum = sum.add(h.matmul(W_hh));
  return bias_hh ? sum.add(bias_hh) : sum;
}

/** Every output (L, N, H) of x (L, N, in). */
export function composedRnn(x: Tensor, h0: Tensor | null, weights: Weights, nonlinearity: ops.Nonlinearity): Tensor {
  let h = h0;
  const outputs = ops.split(x, 0).map((step) => (h = preactivation(step, h, weights)[nonlinearity]()));
  return ops.stack(outputs);
}

/** Every output (L, N, H) of x (L, N, in). */
export function composedGru(x: Tensor, h0: Tensor | null, { W_ih, W_hh, bias_ih, bias_hh }: Weights): Tensor {
  const hidden = W_hh.shape[0]!;
  let h = h0 ?? new Tensor(NDArray.zeros([x.shape[1]!, hidden], { device: x.device }));
  const outputs = ops.split(x, 0).map((step) => {
    const input = bias_ih ? step.matmul(W_ih).add(bias_ih) : step.matmul(W_ih);
    const state = bias_hh ? h.matmul(W_hh).add(bias_hh) : h.matmul(W_hh);
    const [xr, xz, xn] = ops.split(input.reshape([-1, 3, hidden]), 1);
    const [hr, hz, hn] = ops.split(state.reshape([-1, 3, hidden]), 1);
    const [r, z] = [xr!.add(hr!).sigmoid(), xz!.add(hz!).sigmoid()];
    const n = xn!.add(r.mul(hn!)).tanh();
    return (h = n.add(z.mul(h.sub(n))));
  });
  return ops.stack(outputs);
}

/** Every output (L, N, H) of x (L, N, in), and the last cells (N, H). */
export function composedLstm(
  x: Tensor,
  state: readonly [Tensor, Tensor] | null,
  weights: Weights,
): [h: Tensor, c: Tensor] {
  const hidden = weights.W_hh.shape[0]!;
  let [h, c] = state ?? [null, null];
  const outputs = ops.split(x, 0).map((step) => {
    const gates = preactivation(step, h, weights);
    const gate = (at: number) => gates.slice(null, [at * hidden, (at + 1) * hidden]);
    const kept = c && gate(1).sigmoid().mul(c);
    const added = gate(0).sigmoid().mul(gate(2).tanh());
    c = kept ? kept.add(added) : added;
    return (h = gate(3).sigmoid().mul(c.tanh()));
  });
  return [ops.stack(outputs), c!];
}
