/** What convolution and its transpose share: the checks of their operands, and the numbers that kernels are told. */
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { checkSize, type Shape } from "../ndarray/layout.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkFloat, checkShapeIs } from "./support.ts";

/** What a convolution of checked operands is. A transposed one is told as that from its result back to x. */
export interface Geometry {
  /** n, h, w, c, f, kh, kw, stride, padding: what the kernels are told. */
  readonly numbers: Int32Array;
  /** (N, H', W', Cout). */
  readonly outShape: Shape;
}

/** Throws unless x and w have four axes each, w as many input channels as x, on axis `inputs`, and both are on one device. */
export function checkOperands(name: string, x: Tensor, w: Tensor, inputs: 2 | 3): void {
  sameDevice(name, x.data, w.data);
  const shapes = [x.shape, w.shape];
  if (x.ndim !== 4 || w.ndim !== 4) {
    const kernel = inputs === 2 ? "(k, k, Cin, Cout)" : "(k, k, Cout, Cin)";
    throw new ShapeError(name, `takes x (N, H, W, Cin) and w ${kernel}`, { shapes });
  }
  if (x.shape[3] !== w.shape[inputs])
    throw new ShapeError(name, `the channels ${x.shape[3]} and ${w.shape[inputs]} differ`, { shapes });
}

/** Throws unless there is no bias, or one for each channel of the result; and unless the result can be. */
export function checkResult(name: string, x: Tensor, bias: Tensor | null, outShape: Shape): void {
  if (bias !== null) {
    checkFloat(name, bias, "the bias");
    checkShapeIs(name, "the bias", bias, [outShape[3]!]);
    sameDevice(name, x.data, bias.data);
  }
  checkSize(name, outShape);
}

/** The numbers of a convolution of `images` (N, H, W, C) with f kernels of kh × kw. */
export function convNumbers(
  images: Shape,
  f: number,
  kh: number,
  kw: number,
  stride: number,
  padding: number,
): Int32Array {
  const numbers = new Int32Array(9); // Int32Array.of would take as long as a small kernel
  numbers[0] = images[0]!;
  numbers[1] = images[1]!;
  numbers[2] = images[2]!;
  numbers[3] = images[3]!;
  numbers[4] = f;
  numbers[5] = kh;
  numbers[6] = kw;
  numbers[7] = stride;
  numbers[8] = padding;
  return numbers;
}
