/** Other devices and dtypes. */
import { record, Tensor } from "../autograd/tensor.ts";
import { ArgumentError } from "../native/errors.ts";
import { Device } from "../ndarray/device.ts";
import type { ArrayOptions } from "../ndarray/ndarray.ts";
import { checkTensor } from "./support.ts";

/** `a` on another device, or with { dtype, device }; `a` itself when nothing changes. Gradients flow back to where it was. */
export function to(a: Tensor, target: Device | ArrayOptions): Tensor {
  checkTensor("to", a);
  if (typeof target !== "object" || target === null)
    throw new ArgumentError("to", "takes a device or { dtype, device }");
  const { dtype = a.dtype, device = a.device } = target instanceof Device ? { device: target } : target;
  if (!(device instanceof Device)) throw new ArgumentError("to", "device must be a Device, such as cpu()");
  if (dtype === a.dtype && device === a.device) return a;
  const origin = { dtype: a.dtype, device: a.device };
  const output = a.data.to({ dtype, device });
  if (dtype === "int32") return new Tensor(output); // integers have no gradient
  return record("to", output, [a], [], (g) => [g.to(origin)]);
}
