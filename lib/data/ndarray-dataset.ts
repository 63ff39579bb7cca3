/** Arrays in memory as a dataset. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import type { Device } from "../ndarray/device.ts";
import { isInt32 } from "../ndarray/dtype.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import type { Values } from "../ndarray/values.ts";
import { checkIndex, type Dataset, type Stacked } from "./dataset.ts";
import type { RandomSource } from "./random.ts";

/**
 * What a dataset's column can be made from. Integer typed arrays, and lists of integers, labels, become int32, others
 * float32.
 */
export type Column = NDArray | Tensor | Exclude<Values, number>;

type Rows<C extends readonly Column[]> = { -readonly [K in keyof C]: NDArray };

/**
 * The rows of arrays of equal length: `get(i)` is [arrays[0][i], arrays[1][i], …], each a view of its array.
 * Labels are best given as an Int32Array, since losses take integers.
 */
export class NDArrayDataset<C extends readonly Column[] = readonly Column[]> implements Dataset<Rows<C>> {
  readonly length: number;
  readonly arrays: readonly NDArray[];

  /** @throws ShapeError when the lengths differ or an array is a scalar. */
  constructor(...arrays: C) {
    if (arrays.length === 0) throw new ArgumentError("NDArrayDataset", "expected at least one array");
    this.arrays = arrays.map(toArray);
    const shapes = this.arrays.map((array) => array.shape);
    const length = shapes[0]?.[0];
    if (length === undefined || shapes.some((shape) => shape[0] !== length)) {
      throw new ShapeError("NDArrayDataset", "the arrays must have first axes of one length", { shapes });
    }
    this.length = length;
  }

  get(i: number): Rows<C> {
    checkIndex("NDArrayDataset", i, this.length);
    return this.arrays.map((array) => array.slice(i)) as Rows<C>;
  }

  /** The rows of each array, copied. */
  batch(indices: Int32Array, _random: RandomSource, device: Device): Stacked<Rows<C>, NDArray> {
    for (const i of indices) checkIndex("NDArrayDataset", i, this.length);
    const rows = this.arrays.map((array) => {
      const own = takeRows(array, indices);
      if (device === array.device) return own;
      using before = own;
      return before.to(device);
    });
    return rows as Stacked<Rows<C>, NDArray>;
  }
}

/** Rows of an array along its first axis, on its device. */
function takeRows(array: NDArray, indices: Int32Array): NDArray {
  const [length, ...shape] = array.shape;
  const out = NDArray.empty([indices.length, ...shape], array);
  if (!array.isCompact()) {
    for (const [row, i] of indices.entries()) {
      using from = array.slice(i);
      out.set(row, from);
    }
  } else if (out.size > 0) {
    // Rows of a table; the kernel moves elements of 4 bytes, whatever they are.
    const { backend } = array.device;
    using ids = NDArray.from(indices, { device: array.device });
    const width = out.size / indices.length;
    const status = backend.th_embedding(out.pointer, array.pointer, ids.pointer, indices.length, width, length!);
    check(status, backend, "NDArrayDataset");
  }
  return out;
}

function toArray(column: Column): NDArray {
  if (column instanceof NDArray) return column;
  if (column instanceof Tensor) return column.data;
  if (!ArrayBuffer.isView(column) && !Array.isArray(column)) {
    throw new ArgumentError("NDArrayDataset", `takes arrays, tensors, typed arrays and lists, not ${describe(column)}`);
  }
  const isLabels = Array.isArray(column) && column.every(isInt32);
  return NDArray.make("NDArrayDataset", column, isLabels ? { dtype: "int32" } : {});
}
