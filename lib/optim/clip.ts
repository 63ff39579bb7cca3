import type { Tensor } from "../autograd/tensor.ts";
import { check } from "../native/status.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkNonNegative, checkParameters, ParameterTable } from "./optimizer.ts";

/**
 * Scales all gradients so that their common Euclidean norm is at most `maxNorm` (Pascanu et al., 2013).
 * @param maxNorm Infinity only measures.
 * @returns the norm before; 0 where there are no gradients.
 */
export function clipGradNorm(params: Iterable<Tensor>, maxNorm: number): number {
  const list = checkParameters("clipGradNorm", params);
  if (maxNorm !== Infinity) checkNonNegative("clipGradNorm", "maxNorm", maxNorm);
  const table = new ParameterTable(2, list.length);
  let norm = 0;
  table.run(
    list,
    (_, gradient) => [gradient],
    (device, rows, count) => {
      using out = NDArray.empty([], { device });
      check(device.backend.th_clip_grad_norm(out.pointer, rows, count, maxNorm), device.backend, "clipGradNorm");
      norm = out.item();
      if (!(norm <= maxNorm)) for (const { gradient } of list) if (gradient !== null) gradient.storage.version++;
    },
  );
  return norm;
}
