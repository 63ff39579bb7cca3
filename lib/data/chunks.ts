/** A long text cut into columns that are read side by side, and those into chunks for truncated backpropagation. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, ShapeError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { tidy } from "../ndarray/scope.ts";

/**
 * Cuts a text into `batchSize` columns of consecutive words: (floor(n / batchSize), batchSize) int32. What does not
 * fill a row is dropped.
 * @param text ids (n).
 * @throws ArgumentError unless there is a word for each column.
 */
export function batchify(
  text: Int32Array | readonly number[] | NDArray,
  batchSize: number,
  options: { device?: Device | undefined; dtype?: "int32" | undefined } = {},
): NDArray {
  const { device } = checkOptions("batchify", options, ["device", "dtype"]);
  const ids = readIds(text);
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > ids.length) {
    const problem = `batchSize must be an integer from 1 to the ${ids.length} ids, not ${String(batchSize)}`;
    throw new ArgumentError("batchify", problem);
  }
  const rows = Math.floor(ids.length / batchSize);
  const columns = ids.subarray(0, rows * batchSize);
  return tidy(() =>
    NDArray.from(columns, { shape: [batchSize, rows], device })
      .transpose()
      .compact(),
  );
}

function readIds(text: unknown): Int32Array {
  const ids = Array.isArray(text) ? NDArray.make("batchify", text, { dtype: "int32" }) : text;
  const elements = ids instanceof NDArray && ids.ndim === 1 ? ids.toTypedArray() : ids;
  if (elements instanceof Int32Array) return elements;
  throw new ArgumentError("batchify", `takes a list of int32 ids, not ${describe(text)}`);
}

/**
 * The chunk from row `i` on: x (L, B) int32 and y (L · B) int32, the words one row later, where
 * L = min(bptt, rows - 1 - i). Both are views.
 * @throws ShapeError unless the array has two axes; ArgumentError for a row outside [0, rows - 1).
 */
export function getBatch(batches: NDArray, i: number, bptt: number): [x: Tensor, y: Tensor] {
  const [rows, columns] = batches instanceof NDArray ? batches.shape : [];
  if (rows === undefined || columns === undefined || batches.ndim !== 2) {
    const shapes = batches instanceof NDArray ? [batches.shape] : [];
    throw new ShapeError("getBatch", "takes the array (rows, N) that batchify made", { shapes });
  }
  if (!Number.isInteger(bptt) || bptt < 1) {
    throw new ArgumentError("getBatch", `bptt must be a positive integer, not ${String(bptt)}`);
  }
  if (!Number.isInteger(i) || i < 0 || i >= rows - 1) {
    throw new ArgumentError("getBatch", `row ${String(i)} is outside [0, ${rows - 1})`);
  }
  const length = Math.min(bptt, rows - 1 - i);
  return tidy(() => [
    new Tensor(batches.slice([i, i + length])),
    new Tensor(batches.slice([i + 1, i + 1 + length]).reshape([length * columns])),
  ]);
}
