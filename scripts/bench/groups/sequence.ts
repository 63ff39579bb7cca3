/** Layers over sequences by themselves: attention, and recurrent layers. */
import { nn, ops, tensor, tidy } from "thimble";

import { checksum, fill } from "../fill.ts";
import { setParameters } from "../parameters.ts";
import type { Case, Group } from "../workload.ts";

/** Heads as a layer has them: views of (n, length, heads, features). */
function attentionCase(
  n: number,
  length: number,
  heads: number,
  features: number,
  causal: boolean,
  quick = false,
): Case {
  const shape = [n, length, heads, features];
  const count = n * length * heads * features;
  return {
    name: `${n} × ${heads} heads, ${length}×${features}${causal ? ", causal" : ""}, forward and backward`,
    workload: `attention ${n} ${length} ${heads} ${features} ${Number(causal)}`,
    peers: ["torch"],
    flops: 14 * count * length * (causal ? 0.5 : 1), // seven products, as the scores are made twice
    quick,
    prepare() {
      const [q, k, v] = [1, 2, 3].map((seed) => tensor(fill(count, seed), { shape, requiresGrad: true }));
      const dy = tensor(fill(count, 4), { shape }).transpose(1, 2);
      const forward = () =>
        ops.scaledDotProductAttention(q!.transpose(1, 2), k!.transpose(1, 2), v!.transpose(1, 2), { causal });
      const run = () =>
        tidy(() => {
          q!.grad = k!.grad = v!.grad = null;
          forward().backward(dy);
        });
      return {
        run,
        values() {
          run();
          return [forward().transpose(1, 2), q!.grad!, k!.grad!, v!.grad!].flatMap((x) => checksum(x.toTypedArray()));
        },
      };
    },
  };
}

export const attention: Group = {
  name: "attention",
  title: "Attention",
  cases: () => [
    attentionCase(8, 128, 8, 32, true, true),
    attentionCase(8, 128, 8, 32, false),
    attentionCase(4, 256, 8, 64, true),
    attentionCase(1, 1024, 8, 64, true),
    attentionCase(1, 1024, 8, 64, false),
    attentionCase(64, 16, 4, 16, false),
  ],
};

const LAYERS = { rnn: nn.RNN, gru: nn.GRU, lstm: nn.LSTM };
const GATES = { rnn: 1, gru: 3, lstm: 4 };

function recurrentCase(kind: keyof typeof LAYERS, length: number, batch: number, hidden: number, quick = false): Case {
  const shape = [length, batch, hidden];
  const count = length * batch * hidden;
  return {
    name: `${kind.toUpperCase()} ${hidden} on ${hidden}, ${length} × ${batch}, forward and backward`,
    workload: `recurrent ${kind} ${length} ${batch} ${hidden}`,
    peers: ["torch"],
    flops: 12 * count * hidden * GATES[kind],
    quick,
    prepare() {
      const layer = new LAYERS[kind](hidden, hidden);
      setParameters(layer.parameters());
      const x = tensor(fill(count, 100), { shape, requiresGrad: true });
      const dy = tensor(fill(count, 101), { shape });
      const forward = () => layer.forward(x)[0];
      const run = () =>
        tidy(() => {
          for (const parameter of [x, ...layer.parameters()]) parameter.grad = null;
          forward().backward(dy);
        });
      return {
        run,
        values() {
          run();
          return [...checksum(forward().toTypedArray()), ...checksum(x.grad!.toTypedArray())];
        },
      };
    },
  };
}

export const recurrent: Group = {
  name: "recurrent",
  title: "Recurrent layers",
  cases: () => [
    recurrentCase("rnn", 35, 20, 200),
    recurrentCase("gru", 35, 20, 200, true),
    recurrentCase("lstm", 35, 20, 200),
    recurrentCase("gru", 100, 64, 128),
  ],
};
