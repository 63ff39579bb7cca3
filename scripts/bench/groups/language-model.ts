/**
 * A training step of word-level language models: embedding, two recurrent layers, logits; SGD with clipped gradients.
 */
import { type Device, optim, tensor, tidy } from "thimble";
import { LanguageModel } from "thimble/models";
import { detachState, type HiddenState, tensorsOf } from "thimble/training";

import { fill } from "../fill.ts";
import { setParameters } from "../parameters.ts";
import type { Case, Group } from "../workload.ts";

interface Size {
  kind: "lstm" | "rnn";
  embed: number;
  hidden: number;
  bptt: number;
  batch: number;
}

const VOCABULARY = 10_000;
export const SIZES: Size[] = [
  { kind: "lstm", embed: 200, hidden: 200, bptt: 35, batch: 20 },
  { kind: "lstm", embed: 650, hidden: 650, bptt: 35, batch: 20 },
  { kind: "lstm", embed: 30, hidden: 100, bptt: 40, batch: 16 },
  { kind: "rnn", embed: 200, hidden: 200, bptt: 35, batch: 20 },
];

/** Forward products of a step: for each word the gates of both layers and the logits. */
function forwardFlops({ kind, embed, hidden, bptt, batch }: Size): number {
  const gates = kind === "lstm" ? 4 : 1;
  return 2 * bptt * batch * (gates * hidden * (embed + 3 * hidden) + hidden * VOCABULARY);
}

export function languageModel(size: Size, device?: Device): Case {
  const { kind, embed, hidden, bptt, batch } = size;
  const words = bptt * batch;
  return {
    name: `${kind.toUpperCase()} ${embed}/${hidden}, ${bptt} × ${batch} words`,
    workload: `lm ${kind} ${embed} ${hidden} ${bptt} ${batch} ${VOCABULARY}`,
    peers: device === undefined ? ["torch"] : ["torch-cuda"],
    flops: 3 * forwardFlops(size),
    warmUp: 2000,
    items: { count: words, unit: "words/s" },
    quick: embed === 200 && device === undefined,
    prepare() {
      const step = trainingStep(size, device);
      return { run: () => void step(), values: () => [step()] };
    },
  };
}

function trainingStep({ kind, embed, hidden, bptt, batch }: Size, device?: Device): () => number {
  const model = new LanguageModel(embed, VOCABULARY, hidden, { numLayers: 2, seqModel: kind, device });
  const [embedding, ...others] = model.parameters();
  embedding!.set(tensor(fill(VOCABULARY * embed, 500), { shape: [VOCABULARY, embed] }));
  setParameters(others);
  const words = bptt * batch;
  const ids = (multiplier: number, offset: number) =>
    Int32Array.from({ length: words }, (_, i) => (i * multiplier + offset) % VOCABULARY);
  const x = tensor(ids(7919, 0), { shape: [bptt, batch], device });
  const labels = tensor(ids(104_729, 1), { device });
  const optimizer = new optim.SGD(model.parameters(), { lr: 1 });
  let state: HiddenState | null = null;
  return () => {
    const [value, next] = tidy(() => {
      optimizer.zeroGrad();
      const { loss, state: after } = model.crossEntropy(x, labels, state);
      loss.backward();
      optim.clipGradNorm(model.parameters(), 0.25);
      optimizer.step();
      return [loss.item(), detachState(after)] as const;
    });
    if (state !== null) for (const old of tensorsOf(state)) old.dispose();
    state = next;
    return value;
  };
}

export const lmTrain: Group = {
  name: "lm-train",
  title: "Language model training",
  cases: () => SIZES.map((size) => languageModel(size)),
};
