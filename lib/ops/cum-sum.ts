/** Running sums. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { check } from "../native/status.ts";
import { dtypeCode } from "../ndarray/dtype.ts";
import { checkAxis } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { pack } from "../ndarray/pack.ts";
import { tidy } from "../ndarray/scope.ts";
import { reshape } from "./shape.ts";
import { checkTensor } from "./support.ts";

/**
 * Running sums along an axis: element i is the sum of the elements up to and with i. Those of int32 are int32, and wrap.
 * Gradient: the running sums from the other end.
 */
export function cumSum(a: Tensor, axis: number): Tensor {
  checkTensor("cumSum", a);
  if (a.ndim === 0) return tidy(() => reshape(cumSum(reshape(a, [1]), axis), []));
  const at = checkAxis("cumSum", axis, a.ndim, a.shape);
  return record("cumSum", runningSums(a.data, at), [a], [], (g) => [runningSums(g.flip(at), at).flip(at)]);
}

function runningSums(a: NDArray, axis: number): NDArray {
  const out = NDArray.empty(a.shape, a);
  if (out.size === 0) return out;
  const { backend } = a.device;
  const last = (list: readonly number[]): number[] => [...list.filter((_, i) => i !== axis), list[axis]!];
  const layout = pack(last(a.shape), last(out.strides), last(a.strides));
  check(backend.th_cum_sum(out.pointer, a.pointer, layout, dtypeCode(a.dtype)), backend, "cumSum");
  return out;
}
