/** Rows of a table by number. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkSize } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkFloat, checkIds, contiguous } from "./support.ts";

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
  const shape = [...ids.shape, dim];
  checkSize(operation, shape);
  const { backend } = table.device;
  const source = table.data.compact();
  const index = ids.data.compact();
  const count = index.size;
  const out = NDArray.empty(shape, source);
  if (count > 0)
    check(backend.th_embedding(out.pointer, source.pointer, index.pointer, count, dim, rows), backend, operation);
  const result = record(operation, out, [table], [index], (g, { saved: [used] }) => {
    const dy = contiguous(g);
    const dtable = NDArray.empty([rows, dim], dy);
    const status = backend.th_embedding_backward(dtable.pointer, dy.pointer, used.pointer, count, dim, rows);
    check(status, backend, operation);
    return [dtable];
  });
  source.dispose();
  index.dispose();
  return result;
}
