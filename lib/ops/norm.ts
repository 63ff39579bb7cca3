/**
 * Normalisation over the batch (Ioffe and Szegedy, 2015) and over the features (Ba et al., 2016; Zhang and Sennrich,
 * 2019).
 */
import { gradEnabled } from "../autograd/mode.ts";
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { unary } from "../ndarray/arithmetic.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkFloat, checkNumber, checkPerChannel, checkShapeIs, contiguous, releaseCopy } from "./support.ts";

export interface BatchNormOptions {
  /** Moved by `momentum` towards the batch's statistics in training, used instead of them otherwise. Each (C). */
  runningMean: Tensor;
  runningVar: Tensor;
  /** Whether to use the batch's own statistics. */
  training: boolean;
  /** Default 0.1. */
  momentum?: number | undefined;
  /** Added to the variance. Default 1e-5. */
  eps?: number | undefined;
  /** Apply ReLU to the result in the same pass. Default false. */
  relu?: boolean | undefined;
}

/** Throws unless the operands fit; sizes, and options with their defaults. */
function checkBatchNorm(x: Tensor, weight: Tensor, bias: Tensor, options: BatchNormOptions) {
  const name = "batchNorm";
  checkOptions(name, options, ["runningMean", "runningVar", "training", "momentum", "eps", "relu"]);
  const { runningMean, runningVar, training, momentum = 0.1, eps = 1e-5, relu = false } = options;
  checkFloat(name, x, "the input");
  const channels = x.shape.at(-1);
  if (channels === undefined) throw new ShapeError(name, "the input needs a channel axis", { shapes: [x.shape] });
  checkPerChannel(name, x, channels, { weight, bias, runningMean, runningVar });
  checkNumber(name, "momentum", momentum, 0, 1);
  checkNumber(name, "eps", eps, 0);
  const rows = x.size === 0 ? 0 : x.size / channels;
  if (rows === 0 && (training || channels === 0))
    throw new ShapeError(name, "there are no statistics of no elements", { shapes: [x.shape] });
  if (training && rows === 1) {
    const hint = "Leave out a last batch of one (dropLast), or use eval()";
    throw new ShapeError(name, "training needs more than one value for each channel", { shapes: [x.shape], hint });
  }
  if (training && !(runningMean.data.isCompact() && runningVar.data.isCompact()))
    throw new ShapeError(name, "running statistics must be contiguous: they are written in place");
  return { rows, channels, runningMean, runningVar, training, momentum, eps, relu };
}

/**
 * (x - mean) / √(var + eps) · weight + bias for each channel, the last axis of x (…, C); weight and bias (C).
 * In training the variance is the biased one, and the running variance moves towards the unbiased one.
 * @throws ShapeError in training on a single value for each channel, which has no variance.
 */
export function batchNorm(x: Tensor, weight: Tensor, bias: Tensor, options: BatchNormOptions): Tensor {
  const name = "batchNorm";
  const checked = checkBatchNorm(x, weight, bias, options);
  const { rows, channels, runningMean, runningVar, training, momentum, eps, relu } = checked;
  const input = contiguous(x.data);
  const { backend } = x.device;
  const fused = relu ? 1 : 0;
  const y = NDArray.empty(x.shape, input);
  // Running statistics move on when the same layer trains before this is differentiated: what is recorded has its own.
  const held = (statistics: Tensor) => (gradEnabled() ? statistics.data.copy() : contiguous(statistics.data));
  const mean = training ? NDArray.empty([channels], input) : held(runningMean);
  const scale = contiguous(weight.data);
  const shift = contiguous(bias.data);
  // In training 1/√(var + eps) of the batch; else the variance, from which only a backward pass computes that.
  const spread = training ? NDArray.empty([channels], input) : held(runningVar);
  if (training) {
    const [movingMean, movingVar] = [runningMean.data, runningVar.data];
    const status = backend.th_batch_norm(
      y.pointer, mean.pointer, spread.pointer, movingMean.pointer, movingVar.pointer, input.pointer,
      scale.pointer, shift.pointer, rows, channels, eps, momentum, fused,
    ); // prettier-ignore
    check(status, backend, name);
    movingMean.storage.version++;
    movingVar.storage.version++;
  } else {
    const status = backend.th_batch_norm_inference(
      y.pointer, input.pointer, scale.pointer, shift.pointer, mean.pointer, spread.pointer,
      rows, channels, eps, fused,
    ); // prettier-ignore
    check(status, backend, name);
  }
  const saved = [input, scale, shift, mean, spread] as const;
  const result = record(name, y, [x, weight, bias], saved, (g, { saved: [xs, w, b, m, v], needs }) => {
    const dy = contiguous(g);
    const s = training ? v : unary("powScalar", unary("addScalar", v, eps), -0.5);
    const dx = needs[0] ? (dy.storage.exclusive ? dy.alias() : NDArray.empty(dy.shape, dy)) : null;
    const dw = NDArray.empty([channels], dy);
    const db = NDArray.empty([channels], dy);
    const status = backend.th_batch_norm_backward(
      dx?.pointer ?? null, dw.pointer, db.pointer, dy.pointer, xs.pointer, w.pointer, b.pointer, m.pointer, s.pointer,
      rows, channels, fused, training ? 0 : 1,
    ); // prettier-ignore
    check(status, backend, name);
    return [dx, dw, db];
  });
  releaseCopy(input, x.data); // the tape has what it needs
  releaseCopy(scale, weight.data);
  releaseCopy(shift, bias.data);
  releaseCopy(mean, runningMean.data);
  releaseCopy(spread, runningVar.data);
  return result;
}

/** Throws unless x has rows, the last axis, and the others a number for each column; their length. */
function checkRows(name: string, x: Tensor, others: Record<string, Tensor>): number {
  checkFloat(name, x, "the input");
  const cols = x.shape.at(-1);
  if (cols === undefined || cols === 0)
    throw new ShapeError(name, "the last axis must not be empty", { shapes: [x.shape] });
  for (const [what, t] of Object.entries(others)) {
    checkFloat(name, t, what);
    checkShapeIs(name, what, t, [cols]);
    sameDevice(name, x.data, t.data);
  }
  return cols;
}

/** (x - mean) / √(var + eps) · weight + bias over the last axis of x (…, F), each row with its own statistics. */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, options: { eps?: number | undefined } = {}): Tensor {
  const name = "layerNorm";
  const { eps = 1e-5 } = checkOptions(name, options, ["eps"]);
  const cols = checkRows(name, x, { weight, bias });
  checkNumber(name, "eps", eps, 0);
  const { backend } = x.device;
  const input = contiguous(x.data);
  const rows = input.size / cols;
  const y = NDArray.empty(x.shape, input);
  const mean = NDArray.empty([rows], input);
  const istd = NDArray.empty([rows], input);
  const [w, b] = [contiguous(weight.data), contiguous(bias.data)];
  const status = backend.th_layer_norm(
    y.pointer,
    mean.pointer,
    istd.pointer,
    input.pointer,
    w.pointer,
    b.pointer,
    rows,
    cols,
    eps,
  );
  check(status, backend, name);
  const result = record(name, y, [x, weight, bias], [input, w, mean, istd], (g, { saved: [xs, scale, m, s] }) => {
    const dy = contiguous(g);
    const dx = NDArray.empty(dy.shape, dy);
    const dw = NDArray.empty([cols], dy);
    const db = NDArray.empty([cols], dy);
    const code = backend.th_layer_norm_backward(
      dx.pointer, dw.pointer, db.pointer, dy.pointer, xs.pointer, scale.pointer, m.pointer, s.pointer, rows, cols,
    ); // prettier-ignore
    check(code, backend, name);
    return [dx, dw, db];
  });
  releaseCopy(input, x.data);
  releaseCopy(w, weight.data);
  releaseCopy(b, bias.data);
  mean.dispose();
  istd.dispose();
  return result;
}

/**
 * x / √(mean(x²) + eps) · weight over the last axis of x (…, F), each row by its own root mean square; weight (F)
 * (Zhang and Sennrich, 2019).
 * @param options.eps default 2^-23, float32's machine epsilon, as PyTorch's.
 */
export function rmsNorm(x: Tensor, weight: Tensor, options: { eps?: number | undefined } = {}): Tensor {
  const name = "rmsNorm";
  const { eps = 2 ** -23 } = checkOptions(name, options, ["eps"]);
  const cols = checkRows(name, x, { weight });
  checkNumber(name, "eps", eps, 0);
  const { backend } = x.device;
  const input = contiguous(x.data);
  const rows = input.size / cols;
  const y = NDArray.empty(x.shape, input);
  const irms = NDArray.empty([rows], input);
  const w = contiguous(weight.data);
  check(backend.th_rms_norm(y.pointer, irms.pointer, input.pointer, w.pointer, rows, cols, eps), backend, name);
  const result = record(name, y, [x, weight], [input, w, irms], (g, { saved: [xs, scale, r] }) => {
    const dy = contiguous(g);
    const dx = NDArray.empty(dy.shape, dy);
    const dw = NDArray.empty([cols], dy);
    const code = backend.th_rms_norm_backward(
      dx.pointer, dw.pointer, dy.pointer, xs.pointer, scale.pointer, r.pointer, rows, cols,
    ); // prettier-ignore
    check(code, backend, name);
    return [dx, dw];
  });
  releaseCopy(input, x.data);
  releaseCopy(w, weight.data);
  irms.dispose();
  return result;
}
