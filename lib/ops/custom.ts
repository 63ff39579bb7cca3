/** Operations with a gradient of the user's own. */
import { noGrad } from "../autograd/mode.ts";
import { record } from "../autograd/record.ts";
import type { BackwardContext, Gradients } from "../autograd/tape.ts";
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, DTypeError, ShapeError } from "../native/errors.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe, sameDevice } from "../ndarray/operands.ts";
import { refusePromise, tidy } from "../ndarray/scope.ts";
import { checkTensor } from "./support.ts";

/** What a custom operation computed. */
export interface CustomResult<S extends readonly NDArray[]> {
  output: NDArray;
  /** What `backward` needs: of the inputs, the output or anything between. They stay valid until it has run. */
  saved: S;
}

/**
 * Turns the gradient of the output, of its shape, into one for each input, of the input's shape, or null for none. It may
 * return the gradient itself, or views of it, but must not write into it. `needs` tells which inputs' are used at all.
 */
export type CustomBackward<S extends readonly NDArray[]> = (
  gradient: NDArray,
  context: BackwardContext<S>,
) => readonly (NDArray | null)[];

/**
 * An operation whose gradient you give: PyTorch's `autograd.Function`, TensorFlow.js's `customGrad`. Both functions work
 * on arrays and record nothing; what they make and do not return is freed. int32 inputs and outputs have no gradient.
 *
 * @example A straight-through estimator (Bengio et al., 2013) rounds, and passes the gradient on as if it did not.
 * ```ts
 * const rounded = (x: Tensor) => ops.customGradient([x], (a) => a.round(), (g) => [g]);
 * ```
 * @example Gradient reversal (Ganin et al., 2016) does nothing, until gradients come back.
 * ```ts
 * const reversed = (x: Tensor, strength: number) => ops.customGradient([x], (a) => a, (g) => [g.mul(-strength)]);
 * ```
 * @example A cube that saves its input.
 * ```ts
 * const cube = (x: Tensor) =>
 *   ops.customGradient(
 *     [x],
 *     (a) => ({ output: a.pow(3), saved: [a] }),
 *     (g, { saved: [a] }) => [g.mul(a.pow(2).mul(3))],
 *   );
 * ```
 * @throws ArgumentError, ShapeError, DTypeError or DeviceError, in backward, unless `backward` gives one gradient for
 * each input, as the input is.
 */
export function customGradient<const S extends readonly NDArray[] = readonly []>(
  inputs: readonly Tensor[],
  forward: (...inputs: NDArray[]) => NDArray | CustomResult<S>,
  backward: CustomBackward<S>,
): Tensor {
  if (!Array.isArray(inputs)) throw new ArgumentError(NAME, `takes a list of tensors, not ${describe(inputs)}`);
  const own: readonly Tensor[] = inputs.slice();
  for (const input of own) checkTensor(NAME, input, "each input");
  for (const [what, given] of Object.entries({ forward, backward }))
    if (typeof given !== "function")
      throw new ArgumentError(NAME, `${what} must be a function, not ${describe(given)}`);
  return tidy(() => {
    const result = noGrad(() => synchronous(forward(...own.map((input) => input.data.alias()))));
    const { output, saved } = readResult(result);
    const y = output.alias(); // the user may go on with the array itself
    if (y.dtype === "int32") return new Tensor(y);
    const shapes = own.map((input) => input.shape);
    return record(NAME, y, own, saved, (g, context) => {
      const given = noGrad(() => synchronous(backward(g, context)));
      return readGradients(given, shapes, g, context.needs);
    });
  });
}

const NAME = "customGradient";

function synchronous<R>(result: R): R {
  refusePromise(NAME, result, "Use a synchronous function");
  return result;
}

function readResult<S extends readonly NDArray[]>(result: NDArray | CustomResult<S>): CustomResult<S> {
  if (result instanceof NDArray) return { output: result, saved: [] as readonly NDArray[] as S }; // nothing, as S says
  const fits = typeof result === "object" && result !== null && result.output instanceof NDArray;
  if (!fits || !Array.isArray(result.saved) || !result.saved.every((array) => array instanceof NDArray)) {
    throw new ArgumentError(NAME, `forward gave ${describe(result)}, not an array or { output, saved: [arrays] }`, {
      hint: "Of a tensor, give its data",
    });
  }
  return result;
}

/** The gradients that the user gave, as handles that the tape may free. */
function readGradients(
  given: unknown,
  shapes: readonly (readonly number[])[],
  g: NDArray,
  needs: readonly boolean[],
): Gradients {
  if (!Array.isArray(given) || given.length !== shapes.length) {
    const what = Array.isArray(given) ? `a list of ${given.length}` : describe(given);
    throw new ArgumentError(
      NAME,
      `backward gave ${what}, not a list of one gradient for each of ${shapes.length} inputs`,
    );
  }
  return shapes.map((shape, i) => {
    const gradient: unknown = given[i];
    if (gradient === null || !needs[i]) return null;
    if (!(gradient instanceof NDArray))
      throw new ArgumentError(NAME, `the gradient for input ${i} must be an array or null, not ${describe(gradient)}`);
    const both = { shapes: [shape, gradient.shape] };
    if (!sameShape(gradient.shape, shape))
      throw new ShapeError(NAME, `the gradient for input ${i} must have the input's shape`, both);
    if (gradient.dtype !== "float32")
      throw new DTypeError(NAME, `the gradient for input ${i} must be float32, not ${gradient.dtype}`, both);
    sameDevice(NAME, g, gradient);
    gradient.assertUsable();
    return gradient === g ? g : gradient.alias();
  });
}
