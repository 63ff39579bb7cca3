/** ResNet-9 on 32×32 images: a training step (forward, loss, backward, Adam), and inference. */
import { type Device, nn, noGrad, optim, type Tensor, tensor, tidy } from "thimble";
import { ResNet9 } from "thimble/models";

import { checksum, fill } from "../fill.ts";
import { setParameters } from "../parameters.ts";
import { type Case, type Group, TORCH } from "../workload.ts";
import { convFlops } from "./conv.ts";

/** [h, c, f, k, stride] of each convolution, then the two linear layers as 1×1 ones. */
const LAYERS = [
  [32, 3, 16, 7, 4], [8, 16, 32, 3, 2], [4, 32, 32, 3, 1], [4, 32, 32, 3, 1], [4, 32, 64, 3, 2], [2, 64, 128, 3, 2],
  [1, 128, 128, 3, 1], [1, 128, 128, 3, 1], [1, 128, 128, 1, 1], [1, 128, 10, 1, 1],
] as const; // prettier-ignore

/** Arithmetic of the products; in training each has two for its gradients, but the first layer's images need none. */
function flops(n: number, training: boolean): number {
  const each = LAYERS.map(([h, c, f, k, stride]) => convFlops({ n, h, c, f, k, stride }));
  const forward = each.reduce((sum, layer) => sum + layer, 0);
  return training ? 3 * forward - each[0]! : forward;
}

function images(batch: number, device?: Device): Tensor {
  return tensor(fill(batch * 32 * 32 * 3, 1000), { shape: [batch, 32, 32, 3], device }).permute([0, 3, 1, 2]);
}

export function trainingStep(batch: number, device?: Device): () => number {
  const model = new ResNet9({ device });
  setParameters(model.parameters());
  const x = images(batch, device);
  const labels = tensor(
    Int32Array.from({ length: batch }, (_, i) => i % 10),
    { device },
  );
  const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3, weightDecay: 1e-3 });
  const lossFunction = new nn.SoftmaxLoss();
  return () =>
    tidy(() => {
      optimizer.zeroGrad();
      const loss = lossFunction.forward(model.forward(x), labels);
      loss.backward();
      optimizer.step();
      return loss.item();
    });
}

export function trainCase(batch: number, device?: Device): Case {
  return {
    name: `training step, batch ${batch}`,
    workload: `resnet9 train ${batch}`,
    peers: device === undefined ? [...TORCH, "tfjs-cpu"] : ["torch-cuda"],
    flops: flops(batch, true),
    warmUp: 2000,
    items: { count: batch, unit: "images/s" },
    quick: device === undefined,
    prepare() {
      const step = trainingStep(batch, device);
      return { run: () => void step(), values: () => [step()] };
    },
  };
}

function inferCase(batch: number): Case {
  return {
    name: `inference, batch ${batch}`,
    workload: `resnet9 infer ${batch}`,
    peers: [...TORCH, "onnxruntime", "tfjs-wasm", "tfjs-cpu"],
    flops: flops(batch, false),
    items: { count: batch, unit: "images/s" },
    quick: true,
    prepare() {
      const model = new ResNet9();
      setParameters(model.parameters());
      model.eval();
      const x = images(batch);
      const infer = () => noGrad(() => model.forward(x));
      return { run: () => tidy(() => void infer()), values: () => checksum(infer().toTypedArray()) };
    },
  };
}

export const resnet9Train: Group = { name: "resnet9-train", title: "ResNet-9 training", cases: () => [trainCase(128)] };
export const resnet9Infer: Group = {
  name: "resnet9-infer",
  title: "ResNet-9 inference",
  cases: () => [inferCase(128), inferCase(1)],
};
