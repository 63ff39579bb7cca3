/** Arrays in memory as a dataset. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { isInt32 } from "../ndarray/dtype.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import type { Values } from "../ndarray/values.ts";
import { checkIndex, type Dataset } from "./dataset.ts";

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
