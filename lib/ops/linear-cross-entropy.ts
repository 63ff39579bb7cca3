/** A linear layer and the cross-entropy of its logits in one. */
import { gradEnabled } from "../autograd/mode.ts";
import { record } from "../autograd/record.ts";
import { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { matrixOperand } from "../ndarray/matmul.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { checkFloat, checkIds, checkShapeIs, contiguous, releaseCopy } from "./support.ts";

export interface LinearLoss {
  /** The mean over rows, a scalar. */
  loss: Tensor;
  /** How many rows have their first largest logit at the label: a scalar without gradient. */
  correct: Tensor;
}

/**
 * crossEntropy(linear(x, weight, bias), labels): x (N, in), weight (in, K), bias (K) or none, labels (N) int32 in [0,
 * K).
 *
 * The N × K logits are made, and turned into gradients, for some rows at a time. With many classes, such as the words
 * of a language, that saves most of a step's memory, and time: they never leave the processor's caches. The gradients
 * are computed in the same pass, so backward only scales them.
 * @throws ArgumentError for a label outside [0, K), naming the row.
 */
export function linearCrossEntropy(x: Tensor, weight: Tensor, bias: Tensor | null, labels: Tensor): LinearLoss {
  const name = "linearCrossEntropy";
  checkFloat(name, x, "the input");
  checkFloat(name, weight, "the weight");
  checkIds(name, labels, x, "labels");
  sameDevice(name, x.data, weight.data);
  const shapes = [x.shape, weight.shape, labels.shape];
  const [rows, features] = x.shape;
  const [inputs, classes] = weight.shape;
  if (x.ndim !== 2 || weight.ndim !== 2 || labels.ndim !== 1 || features !== inputs || labels.shape[0] !== rows) {
    throw new ShapeError(name, "takes x (N, in), weight (in, K) and labels (N)", { shapes });
  }
  if (rows === 0 || features === 0 || classes === 0) {
    throw new ShapeError(name, "there is no mean over no rows, features or classes", { shapes });
  }
  if (bias !== null) {
    checkFloat(name, bias, "the bias");
    checkShapeIs(name, "the bias", bias, [classes!]);
    sameDevice(name, x.data, bias.data);
  }
  const { backend } = x.device;
  const input = contiguous(x.data);
  const ids = contiguous(labels.data);
  const offset = bias && contiguous(bias.data);
  const { array: matrix, ld, transposed } = matrixOperand(weight.data);
  const loss = NDArray.empty([], input);
  const correct = NDArray.empty([], input);
  const operands = [x, weight, bias];
  // A gradient (0) stands for one that nobody needs: what the tape saves are arrays.
  const gradients = operands.map((operand) =>
    NDArray.empty(gradEnabled() && operand?.requiresGrad ? operand.shape : [0], input),
  );
  const [dx, dweight, dbias] = gradients.map((gradient) => (gradient.size > 0 ? gradient.pointer : null));
  const status = backend.th_linear_cross_entropy(
    loss.pointer, correct.pointer, dx!, dweight!, dbias!, input.pointer, matrix.pointer, offset?.pointer ?? null,
    ids.pointer, rows!, features!, classes!, ld, transposed,
  ); // prettier-ignore
  check(status, backend, name);
  const result = record(name, loss, operands, gradients, (g, { saved }) =>
    saved.map((gradient) => {
      if (gradient.size === 0) return null;
      check(backend.th_scale(gradient.pointer, g.pointer, gradient.size), backend, name);
      return gradient.alias();
    }),
  );
  for (const gradient of gradients) gradient.dispose(); // the tape has them now
  releaseCopy(input, x.data);
  releaseCopy(ids, labels.data);
  releaseCopy(matrix, weight.data);
  if (offset !== null) releaseCopy(offset, bias!.data);
  return { loss: result, correct: new Tensor(correct) };
}
