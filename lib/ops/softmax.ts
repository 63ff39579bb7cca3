/** Softmax along an axis, its logarithm, and the cross-entropy of logits against labels. */
import { gradEnabled } from "../autograd/mode.ts";
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkAxis } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { tidy } from "../ndarray/scope.ts";
import { checkFloat, checkIds, contiguous } from "./support.ts";

/** exp(a) / Σ exp(a) along an axis, computed without overflow. Gradient: y · (g - Σ g · y). */
export function softmax(a: Tensor, axis = -1): Tensor {
  return normalized("softmax", a, axis, 0);
}

/** a - logSumExp(a) along an axis. Gradient: g - softmax(a) · Σ g. */
export function logSoftmax(a: Tensor, axis = -1): Tensor {
  return normalized("logSoftmax", a, axis, 1);
}

function normalized(name: string, a: Tensor, axis: number, logOutput: 0 | 1): Tensor {
  checkFloat(name, a);
  if (a.ndim === 0) return tidy(() => normalized(name, a.reshape([1]), axis, logOutput).reshape([]));
  const at = checkAxis(name, axis, a.ndim, a.shape);
  const { backend } = a.device;
  return tidy(() => {
    const x = a.data.transpose(at, -1).compact();
    const cols = x.shape.at(-1)!;
    const rows = x.size === 0 ? 0 : x.size / cols;
    const y = NDArray.empty(x.shape, x);
    if (rows > 0) check(backend.th_softmax(y.pointer, x.pointer, rows, cols, logOutput), backend, name);
    return record(name, y.transpose(at, -1), [a], [y], (g, { saved: [output] }) => {
      const dy = contiguous(g.transpose(at, -1));
      const dx = dy.storage.exclusive ? dy : NDArray.empty(dy.shape, dy);
      if (rows > 0) {
        const status = backend.th_softmax_backward(dx.pointer, dy.pointer, output.pointer, rows, cols, logOutput);
        check(status, backend, name);
      }
      return [dx.transpose(at, -1)];
    });
  });
}

/**
 * The mean over rows of -log softmax(logits)[label]: logits (N, K), labels (N) int32 in [0, K); a scalar.
 * The gradient is computed in the same pass, so backward only scales it.
 * @throws ArgumentError for a label outside [0, K), naming the row.
 */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  checkFloat("crossEntropy", logits, "the logits");
  checkIds("crossEntropy", labels, logits, "labels");
  const shapes = [logits.shape, labels.shape];
  const [rows, cols] = logits.shape;
  if (rows === undefined || cols === undefined || logits.ndim !== 2 || labels.ndim !== 1 || labels.shape[0] !== rows) {
    throw new ShapeError("crossEntropy", "takes logits (N, K) and labels (N)", { shapes });
  }
  if (rows === 0 || cols === 0)
    throw new ShapeError("crossEntropy", "there is no mean over no rows or classes", { shapes });
  const { backend } = logits.device;
  const x = logits.data.compact();
  const ids = labels.data.compact();
  const loss = NDArray.empty([], x);
  const dx = gradEnabled() && logits.requiresGrad ? NDArray.empty(x.shape, x) : null;
  const status = backend.th_cross_entropy(loss.pointer, dx?.pointer ?? null, x.pointer, ids.pointer, rows, cols);
  x.dispose();
  ids.dispose();
  check(status, backend, "crossEntropy");
  const saved = dx === null ? [] : [dx];
  const result = record("crossEntropy", loss, [logits], saved, (g, { saved: [gradient] }) => {
    if (gradient === undefined) return [null];
    check(backend.th_scale(gradient.pointer, g.pointer, gradient.size), backend, "crossEntropy");
    return [gradient.alias()];
  });
  dx?.dispose(); // the tape has it now
  return result;
}
