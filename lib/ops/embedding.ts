/** Rows of a table by number. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkSize } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkFloat, checkIds, contiguous, releaseCopy } from "./support.ts";

/**
 * The rows `ids` (…) int32 of `table` (rows, dim): (…, dim). Gradient: each row's, added up over its uses in order.
 * @throws ArgumentError for an id outside [0, rows).
 */
export function embedding(table: Tensor, ids: Tensor): Tensor {
  checkFloat("embedding", table, "the table");
  checkIds("embedding", ids, table, "ids");
  return lookUp("embedding", table, ids);
}

/** The rows `ids` int32 of a table of any dtype, in the name of an operation. */
export function lookUp(operation: string, table: Tensor, ids: Tensor): Tensor {
  const shapes = [table.shape, ids.shape];
  const [rows, dim] = table.shape;
  if (rows === undefined || dim === undefined || table.ndim !== 2) {
    throw new ShapeError(operation, "the table must be (rows, dim)", { shapes });
  }
  checkSize(operation, [...ids.shape, dim]);
  const index = ids.data.compact();
  const result = record(operation, rowsAt(operation, table.data, index), [table], [index], (g, { saved: [used] }) => [
    sumsAt(operation, g, used, rows),
  ]);
  index.dispose();
  return result;
}

/**
 * What has the rows of x (n, dim) at `ids` (n), those of one id added up in order: (rows, dim), with zeros elsewhere. The
 * ids are inside.
 */
export function sumRows(operation: string, x: Tensor, ids: NDArray, rows: number): Tensor {
  return record(operation, sumsAt(operation, x.data, ids, rows), [x], [ids], (g, { saved: [used] }) => [
    rowsAt(operation, g, used),
  ]);
}

/** The rows of `table` (rows, dim) at `ids`, which are compact: (…, dim). */
function rowsAt(operation: string, table: NDArray, ids: NDArray): NDArray {
  const [rows, dim] = table.shape as [number, number];
  const out = NDArray.empty([...ids.shape, dim], table);
  if (ids.size === 0) return out;
  const { backend } = table.device;
  const source = contiguous(table);
  check(backend.th_embedding(out.pointer, source.pointer, ids.pointer, ids.size, dim, rows), backend, operation);
  releaseCopy(source, table);
  return out;
}

/** The sums of the rows of x (…, dim) that have the same id: (rows, dim). */
function sumsAt(operation: string, x: NDArray, ids: NDArray, rows: number): NDArray {
  const dim = x.shape.at(-1)!;
  const out = NDArray.empty([rows, dim], x);
  const { backend } = x.device;
  const from = contiguous(x);
  const status = backend.th_embedding_backward(out.pointer, from.pointer, ids.pointer, ids.size, dim, rows);
  check(status, backend, operation);
  releaseCopy(from, x);
  return out;
}
