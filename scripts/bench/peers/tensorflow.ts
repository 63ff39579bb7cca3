/** TensorFlow.js on its WebAssembly or its plain JavaScript backend. */
import { join } from "node:path";

import { checksum, fill } from "../fill.ts";
import type { JavaScriptPeer, PeerWorkload } from "./javascript.ts";
import { type ConvBlock, type LinearLayer, type Parameter, resnet9, startsResidual } from "./resnet9.ts";

/** The part of @tensorflow/tfjs that is used. */
interface TensorFlow {
  version: { "tfjs-core": string };
  setBackend(name: string): Promise<boolean>;
  tidy<R>(compute: () => R): R;
  tensor(values: ArrayLike<number>, shape: number[], dtype?: string): Tensor;
  variable(initial: Tensor): Tensor;
  conv2d(x: Tensor, filter: Tensor, stride: number, pad: number): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor;
  batchNorm(x: Tensor, mean: Tensor, variance: Tensor, offset: Tensor, scale: Tensor, eps: number): Tensor;
  moments(x: Tensor, axes: number[]): { mean: Tensor; variance: Tensor };
  add(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  relu(x: Tensor): Tensor;
  reshape(x: Tensor, shape: number[]): Tensor;
  oneHot(labels: Tensor, depth: number): Tensor;
  logSoftmax(x: Tensor): Tensor;
  sum(x: Tensor): Tensor;
  variableGrads(compute: () => Tensor): { value: Tensor; grads: Record<string, Tensor> };
  train: { adam(lr: number): { applyGradients(gradients: Record<string, Tensor>): void } };
}
interface Tensor {
  name: string;
  shape: number[];
  dataSync(): Float32Array;
  dispose(): void;
}
interface WasmBackend {
  setWasmPaths(folder: string): void;
}

export async function openTensorFlow(load: NodeJS.Require, kind: string, folder: string): Promise<JavaScriptPeer> {
  const tf: TensorFlow = load("@tensorflow/tfjs");
  const backend = kind === "tfjs-wasm" ? "wasm" : "cpu";
  if (backend === "wasm") {
    const wasm: WasmBackend = load("@tensorflow/tfjs-backend-wasm");
    wasm.setWasmPaths(join(folder, "node_modules/@tensorflow/tfjs-backend-wasm/dist/"));
  }
  if (!(await tf.setBackend(backend))) throw new Error(`the ${backend} backend does not start`);
  return {
    name: `TensorFlow.js ${tf.version["tfjs-core"]} ${backend}`,
    async prepare([name, ...words]) {
      const numbers = words.map(Number);
      if (name === "matmul") return matmul(tf, numbers);
      if (name === "conv" && words[0] === "forward") return conv(tf, numbers.slice(1));
      if (name === "resnet9" && words[0] === "infer") return infer(tf, numbers[1]!);
      const trains = name === "resnet9" && backend === "cpu"; // the others lack a convolution's weight gradient
      return trains ? train(tf, numbers[1]!) : null;
    },
  };
}

const filled = (tf: TensorFlow, shape: number[], seed: number) =>
  tf.tensor(
    fill(
      shape.reduce((m, n) => m * n, 1),
      seed,
    ),
    shape,
  );

/** Runs `compute` and frees what it made. */
function workload(tf: TensorFlow, compute: () => Tensor): PeerWorkload {
  return {
    run: () => tf.tidy(() => void compute()),
    values: async () => checksum(tf.tidy(() => compute().dataSync())),
  };
}

function matmul(tf: TensorFlow, [batch, m, n, k, ta, tb]: number[]): PeerWorkload {
  const lead = batch! > 1 ? [batch!] : [];
  const a = filled(tf, [...lead, ...(ta ? [k!, m!] : [m!, k!])], 1);
  const b = filled(tf, [...lead, ...(tb ? [n!, k!] : [k!, n!])], 2);
  return workload(tf, () => tf.matMul(a, b, ta === 1, tb === 1));
}

function conv(tf: TensorFlow, [n, h, w, c, f, k, stride, padding]: number[]): PeerWorkload {
  const x = filled(tf, [n!, h!, w!, c!], 1);
  const filter = filled(tf, [k!, k!, c!, f!], 2);
  return workload(tf, () => tf.conv2d(x, filter, stride!, padding!));
}

/** The network with a variable for each parameter, and its forward pass over images (N, 32, 32, 3). */
function network(tf: TensorFlow, training: boolean): (x: Tensor) => Tensor {
  const model = resnet9();
  const variable = ({ values, shape }: Parameter) => tf.variable(tf.tensor(values, shape));
  const constant = (n: number, value: number) => tf.tensor(new Float32Array(n).fill(value), [n]);
  const block = ({ kernel, stride, ...parameters }: ConvBlock) => {
    const [weight, bias] = [variable(parameters.weight), variable(parameters.bias)];
    const [scale, offset] = [variable(parameters.normWeight), variable(parameters.normBias)];
    const fixed = { mean: constant(bias.shape[0]!, 0), variance: constant(bias.shape[0]!, 1) };
    return (x: Tensor) => {
      const y = tf.add(tf.conv2d(x, weight, stride, kernel >> 1), bias);
      const { mean, variance } = training ? tf.moments(y, [0, 1, 2]) : fixed;
      return tf.relu(tf.batchNorm(y, mean, variance, offset, scale, 1e-5));
    };
  };
  const linear = (layer: LinearLayer) => {
    const [weight, bias] = [variable(layer.weight), variable(layer.bias)];
    return (x: Tensor) => tf.add(tf.matMul(x, weight, false, false), bias);
  };
  const [blocks, hidden, logits] = [model.blocks.map(block), linear(model.hidden), linear(model.logits)];
  return (images) => {
    let x = images;
    let kept = x;
    blocks.forEach((layer, i) => {
      if (startsResidual(i)) kept = x;
      x = layer(x);
      if (i > 0 && startsResidual(i - 1)) x = tf.add(x, kept);
    });
    return logits(tf.relu(hidden(tf.reshape(x, [-1, 128]))));
  };
}

function infer(tf: TensorFlow, batch: number): PeerWorkload {
  const forward = network(tf, false);
  const x = filled(tf, [batch, 32, 32, 3], 1000);
  return workload(tf, () => forward(x));
}

/** Without the weight decay, which its Adam does not have. */
function train(tf: TensorFlow, batch: number): PeerWorkload {
  const forward = network(tf, true);
  const x = filled(tf, [batch, 32, 32, 3], 1000);
  const labels = tf.oneHot(
    tf.tensor(
      Int32Array.from({ length: batch }, (_, i) => i % 10),
      [batch],
      "int32",
    ),
    10,
  );
  const share = tf.tensor([-1 / batch], [1]);
  const optimizer = tf.train.adam(1e-3);
  const loss = () => tf.sum(tf.mul(tf.mul(labels, tf.logSoftmax(forward(x))), share));
  const step = () =>
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss);
      optimizer.applyGradients(grads);
      return value.dataSync()[0]!;
    });
  return { run: () => void step(), values: async () => [step()] };
}
