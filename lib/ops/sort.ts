/**
 * Elements in order along an axis: all of them, or the first k. Elements that are equal keep their order, in descending
 * order too; NaN is greater than all numbers, as PyTorch's. Gradient: each element's goes back to where it was.
 */
import { record } from "../autograd/record.ts";
import { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { dtypeCode } from "../ndarray/dtype.ts";
import { checkAxis } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";
import { addByIndex } from "./gather.ts";
import { reshape } from "./shape.ts";
import { checkInteger, checkTensor } from "./support.ts";

export interface SortOptions {
  /** Default -1, the last. */
  axis?: number | undefined;
  /** The largest first. Default false. */
  descending?: boolean | undefined;
}

export interface TopKOptions {
  /** Default -1, the last. */
  axis?: number | undefined;
  /** The k largest, the largest first; false: the k smallest, the smallest first. Default true. */
  largest?: boolean | undefined;
}

/** The elements along an axis in order, and the int32 index along the axis that each had. */
export function sort(a: Tensor, options: SortOptions = {}): [values: Tensor, indices: Tensor] {
  return sorted("sort", a, null, readSort("sort", options));
}

/** The int32 indices along an axis of its elements in order. They have no gradient. */
export function argSort(a: Tensor, options: SortOptions = {}): Tensor {
  const [values, indices] = sorted("argSort", a, null, readSort("argSort", options));
  values.dispose();
  return indices;
}

/** The k largest elements along an axis, in order, and the int32 index along the axis that each had. */
export function topK(a: Tensor, k: number, options: TopKOptions = {}): [values: Tensor, indices: Tensor] {
  const { axis = -1, largest = true } = checkOptions("topK", options, ["axis", "largest"]);
  checkInteger("topK", "k", k);
  checkFlag("topK", "largest", largest);
  return sorted("topK", a, k, { axis, descending: largest });
}

function readSort(operation: string, options: SortOptions): Order {
  const { axis = -1, descending = false } = checkOptions(operation, options, ["axis", "descending"]);
  checkFlag(operation, "descending", descending);
  return { axis, descending };
}

interface Order {
  axis: number;
  descending: boolean;
}

/** The first k elements in order; null for all. */
function sorted(operation: string, a: Tensor, k: number | null, options: Order): [Tensor, Tensor] {
  checkTensor(operation, a);
  if (a.ndim === 0) {
    return tidy(() => {
      const [values, indices] = sorted(operation, reshape(a, [1]), k, options);
      const shape = k === 0 ? [0] : [];
      return [reshape(values, shape), reshape(indices, shape)];
    });
  }
  const at = checkAxis(operation, options.axis, a.ndim, a.shape);
  const cols = a.shape[at]!;
  const count = k ?? cols;
  if (count > cols) {
    throw new ShapeError(operation, `k is ${count}, and axis ${at} has ${cols} elements`, { shapes: [a.shape] });
  }
  return tidy(() => {
    const x = a.data.transpose(at, -1).compact();
    const shape = [...x.shape.slice(0, -1), count];
    const values = NDArray.empty(shape, x);
    const indices = NDArray.empty(shape, { dtype: "int32", device: x.device });
    if (values.size > 0) {
      const { backend } = a.device;
      const rows = values.size / count;
      const [order, dtype] = [options.descending ? 1 : 0, dtypeCode(x.dtype)];
      const status = backend.th_sort(values.pointer, indices.pointer, x.pointer, rows, cols, count, order, dtype);
      check(status, backend, operation);
    }
    const from = x.shape;
    const result = record(operation, values.transpose(at, -1), [a], [indices], (g, { saved: [places] }) => [
      addByIndex(operation, NDArray.zeros(from, g), g.transpose(at, -1), from.length - 1, places).transpose(at, -1),
    ]);
    return [result, new Tensor(indices.transpose(at, -1))];
  });
}
