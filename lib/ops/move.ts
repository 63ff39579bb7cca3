/** Other devices and dtypes. */
import { record } from "../autograd/record.ts";
import { Tensor } from "../autograd/tensor.ts";
import type { Device } from "../ndarray/device.ts";
import { type ArrayOptions, readTarget } from "../ndarray/array-options.ts";
import { checkTensor } from "./support.ts";

/**
 * `a` on another device, or with { dtype, device }; `a` itself when nothing changes. Gradients flow back to where it
 * was.
 */
export function to(a: Tensor, target: Device | ArrayOptions): Tensor {
  checkTensor("to", a);
  const { dtype = a.dtype, device = a.device } = readTarget(target);
  if (dtype === a.dtype && device === a.device) return a;
  const origin = { dtype: a.dtype, device: a.device };
  const output = a.data.to({ dtype, device });
  if (dtype === "int32") return new Tensor(output); // integers have no gradient
  return record("to", output, [a], [], (g) => [g.to(origin)]);
}
