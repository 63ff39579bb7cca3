/** ResNet-9 as data, for the peers that do not have it: what models/resnet9.ts and torch_peer.py build. */
import { parameterValues } from "../parameter-values.ts";

/** A parameter with the numbers that every contestant gives it; weights are (k, k, in, out) or (in, out). */
export interface Parameter {
  shape: number[];
  values: Float32Array;
}

export interface ConvBlock {
  kernel: number;
  stride: number;
  weight: Parameter;
  bias: Parameter;
  normWeight: Parameter;
  normBias: Parameter;
}

export interface LinearLayer {
  weight: Parameter;
  bias: Parameter;
}

/** The convolutional blocks in order; blocks 2 and 3, and 6 and 7, are the residual ones. */
export interface ResNet9 {
  blocks: ConvBlock[];
  hidden: LinearLayer;
  logits: LinearLayer;
}

const BLOCKS = [
  [3, 16, 7, 4], [16, 32, 3, 2], [32, 32, 3, 1], [32, 32, 3, 1],
  [32, 64, 3, 2], [64, 128, 3, 2], [128, 128, 3, 1], [128, 128, 3, 1],
] as const; // prettier-ignore

/** Whether the input of block i is also added to the output of block i + 1. */
export const startsResidual = (i: number): boolean => i === 2 || i === 6;

export function resnet9(): ResNet9 {
  let count = 0;
  const parameter = (...shape: number[]): Parameter => ({ shape, values: parameterValues(shape, count++) });
  const blocks = BLOCKS.map(([a, b, kernel, stride]): ConvBlock => ({
    kernel,
    stride,
    weight: parameter(kernel, kernel, a, b),
    bias: parameter(b),
    normWeight: parameter(b),
    normBias: parameter(b),
  }));
  const linear = (a: number, b: number): LinearLayer => ({ weight: parameter(a, b), bias: parameter(b) });
  return { blocks, hidden: linear(128, 128), logits: linear(128, 10) };
}
