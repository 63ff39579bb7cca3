/**
 * Recording operations for backward: what an operation computed becomes a tensor whose edge leads to the operation's
 * node.
 */
import type { NDArray } from "../ndarray/ndarray.ts";
import { gradEnabled } from "./mode.ts";
import { type Backward, type BackwardOfAll, type Edge, Node } from "./tape.ts";
import { Tensor } from "./tensor.ts";

/**
 * The result of an operation as a tensor, recorded for backward if an input requires a gradient.
 * @param inputs in the order of the gradients that `backward` gives; null for an operand that was left out.
 * @param saved arrays that `backward` needs; they stay valid until it has run, whatever the user disposes.
 */
export function record<const S extends readonly NDArray[]>(
  name: string,
  output: NDArray,
  inputs: readonly (Tensor | null)[],
  saved: S,
  backward: Backward<S>,
): Tensor {
  if (!gradEnabled() || !anyRequiresGrad(inputs)) return new Tensor(output);
  return new Tensor(
    output,
    {},
    node(name, [output], inputs, saved, ([g], context) => backward(g!, context)),
  );
}

/** The same for an operation with several outputs. */
export function recordAll<const S extends readonly NDArray[]>(
  name: string,
  outputs: readonly NDArray[],
  inputs: readonly (Tensor | null)[],
  saved: S,
  backward: BackwardOfAll<S>,
): Tensor[] {
  if (!gradEnabled() || !anyRequiresGrad(inputs)) return outputs.map((output) => new Tensor(output));
  const made = node(name, outputs, inputs, saved, backward);
  return outputs.map((output, i) => new Tensor(output, {}, made.output(i)));
}

function node<const S extends readonly NDArray[]>(
  name: string,
  outputs: readonly NDArray[],
  inputs: readonly (Tensor | null)[],
  saved: S,
  backward: BackwardOfAll<S>,
): Node {
  const sinks = new Array<Edge | null>(inputs.length);
  const needs = new Array<boolean>(inputs.length);
  for (let i = 0; i < inputs.length; i++) {
    sinks[i] = inputs[i]?.sink ?? null;
    needs[i] = sinks[i] !== null;
  }
  const own = new Array<NDArray>(saved.length);
  for (let i = 0; i < saved.length; i++) own[i] = saved[i]!.alias().keep();
  const context = { saved: own as readonly NDArray[] as S, needs }; // as many as were given
  const shapes = outputs.map((output) => output.shape);
  return new Node(name, shapes, sinks, own, (gradients) => backward(gradients, context));
}

function anyRequiresGrad(inputs: readonly (Tensor | null)[]): boolean {
  for (let i = 0; i < inputs.length; i++) if (inputs[i]?.requiresGrad) return true;
  return false;
}
