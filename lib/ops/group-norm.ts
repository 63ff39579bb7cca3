/** Normalisation over groups of channels (Wu and He, 2018). */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkFloat, checkInteger, checkNumber, checkShapeIs, contiguous, releaseCopy } from "./support.ts";

/**
 * (x - mean) / √(var + eps) · weight + bias for x (N, …, C): the C channels, the last axis, are cut into `numGroups`
 * groups, and each group of each of the N has its own mean and biased variance, over all axes between too. As
 * `torch.nn.functional.group_norm`, with the channels last.
 * @param weight (C); null for ones. @param bias (C); null for zeros.
 * @param options.eps added to the variance; default 1e-5.
 * @throws ShapeError unless x has two axes or more; ArgumentError unless numGroups divides C.
 */
export function groupNorm(
  x: Tensor,
  numGroups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  options: { eps?: number | undefined } = {},
): Tensor {
  const name = "groupNorm";
  const { eps = 1e-5 } = checkOptions(name, options, ["eps"]);
  checkFloat(name, x, "the input");
  const [images, channels] = [x.shape[0], x.shape.at(-1)];
  if (x.ndim < 2 || images === undefined || channels === undefined)
    throw new ShapeError(name, "takes (N, …, C)", { shapes: [x.shape] });
  checkGroups(name, numGroups, channels);
  for (const [what, t] of Object.entries({ weight, bias })) {
    if (t === null) continue;
    checkFloat(name, t, what);
    checkShapeIs(name, what, t, [channels]);
    sameDevice(name, x.data, t.data);
  }
  checkNumber(name, "eps", eps, 0);
  const { backend } = x.device;
  const input = contiguous(x.data);
  const rows = x.shape.slice(1, -1).reduce((m, n) => m * n, 1);
  const y = NDArray.empty(x.shape, input);
  const mean = NDArray.empty([images, numGroups], input);
  const istd = NDArray.empty([images, numGroups], input);
  const w = weight === null ? null : contiguous(weight.data);
  const b = bias === null ? null : contiguous(bias.data);
  const status = backend.th_group_norm(
    y.pointer, mean.pointer, istd.pointer, input.pointer, w?.pointer ?? null, b?.pointer ?? null,
    images, rows, channels, numGroups, eps,
  ); // prettier-ignore
  check(status, backend, name);
  const saved = [input, mean, istd, w ?? input] as const;
  const result = record(name, y, [x, weight, bias], saved, (g, { saved: [xs, m, s, scale], needs }) => {
    const dy = contiguous(g);
    const dx = needs[0] ? (dy.storage.exclusive ? dy.alias() : NDArray.empty(dy.shape, dy)) : null;
    const dw = needs[1] ? NDArray.empty([channels], dy) : null;
    const db = needs[2] ? NDArray.empty([channels], dy) : null;
    const code = backend.th_group_norm_backward(
      dx?.pointer ?? null, dw?.pointer ?? null, db?.pointer ?? null, dy.pointer, xs.pointer,
      weight === null ? null : scale.pointer, m.pointer, s.pointer, images, rows, channels, numGroups,
    ); // prettier-ignore
    check(code, backend, name);
    return [dx, dw, db];
  });
  releaseCopy(input, x.data);
  if (weight !== null && w !== null) releaseCopy(w, weight.data);
  if (bias !== null && b !== null) releaseCopy(b, bias.data);
  mean.dispose();
  istd.dispose();
  return result;
}

/** Throws unless the channels can be cut into so many groups of the same size. */
export function checkGroups(operation: string, numGroups: number, channels: number): void {
  checkInteger(operation, "numGroups", numGroups, 1);
  if (channels === 0 || channels % numGroups !== 0)
    throw new ArgumentError(operation, `numGroups must divide the number of channels, and ${numGroups} does not divide ${channels}`); // prettier-ignore
}
