/**
 * Gradients against central differences. The output is projected on random weights, in float64, and all inputs move
 * along a random direction; the step is what float32 makes of it, and two step sizes cancel the third-order error.
 */
import { NDArray, Tensor } from "thimble";

import { dot } from "./oracle.ts";
import { Random } from "./random.ts";

export interface DifferenceOptions {
  /** Half of the distance between the two points, for each element. */
  step?: number;
  /** Allowed error relative to |gradient| · |step|. */
  tolerance?: number;
  directions?: number;
  seed?: number;
  device?: NDArray["device"];
}

/** Throws unless the gradients of `operation` at `inputs` agree with its differences there. */
export function checkGradients(
  operation: (...inputs: Tensor[]) => Tensor,
  inputs: readonly { shape: readonly number[]; values: ArrayLike<number> }[],
  { step = 1e-2, tolerance = 2e-3, directions = 4, seed = 1, device }: DifferenceOptions = {},
): void {
  const random = new Random(seed);
  const points = inputs.map(({ values }) => Float32Array.from(values));
  const make = (values: readonly Float32Array[], requiresGrad: boolean): Tensor[] =>
    values.map((data, at) => new Tensor(NDArray.from(data, { shape: inputs[at]!.shape, device }), { requiresGrad }));
  const leaves = make(points, true);
  const output = operation(...leaves);
  const weights = random.uniform(output.size);
  output.backward(NDArray.from(weights, { shape: output.shape, device }));
  const gradients = leaves.map((leaf, at) => leaf.grad?.toTypedArray() ?? new Float32Array(points[at]!.length));

  const project = (values: readonly Float32Array[]): number =>
    dot(operation(...make(values, false)).toTypedArray(), weights);

  for (let i = 0; i < directions; i++) {
    const direction = points.map((point) => random.uniform(point.length));
    /** The change along the direction minus the one that the gradient foretells, and the scale of both. */
    const measure = (width: number): [error: number, scale: number] => {
      const move = (sign: number) => points.map((p, k) => p.map((x, at) => x + sign * width * direction[k]![at]!));
      const [up, down] = [move(1), move(-1)];
      let foretold = 0;
      let scale = 0;
      gradients.forEach((gradient, k) =>
        gradient.forEach((g, at) => {
          const moved = up[k]![at]! - down[k]![at]!;
          foretold += g * moved;
          scale += (g * moved) ** 2;
        }),
      );
      return [project(up) - project(down) - foretold, Math.sqrt(scale)];
    };
    const [narrow, scale] = measure(step);
    const [wide] = measure(2 * step);
    const error = Math.abs(narrow - (wide - 2 * narrow) / 6);
    if (!(error <= tolerance * scale + 1e-6)) {
      throw new Error(`the gradient is off by ${error} along direction ${i}, where it is about ${scale}`);
    }
  }
}
