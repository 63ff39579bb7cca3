/** The matrix product: batches, broadcasting, and operands as the kernel takes them. */
import { DTypeError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { MAX_NDIM } from "../native/symbols.gen.ts";
import * as layout from "./layout.ts";
import { NDArray } from "./ndarray.ts";
import { sameDevice } from "./operands.ts";
import { tidy } from "./scope.ts";

/** a · b over the last two axes, with broadcast batch axes in front; plus `bias` on every row. */
export function matmul(a: NDArray, b: NDArray, bias: NDArray | null = null): NDArray {
  sameDevice("matmul", a, b);
  for (const { dtype } of [a, b]) {
    if (dtype !== "float32")
      throw new DTypeError("matmul", "takes float32", {
        shapes: [a.shape, b.shape],
        hint: 'Convert with to({ dtype: "float32" })',
      });
  }
  if (a.ndim < 2 || b.ndim < 2)
    throw new ShapeError("matmul", "both operands need at least two axes", { shapes: [a.shape, b.shape] });
  const [m, k] = [a.shape[a.ndim - 2]!, a.shape[a.ndim - 1]!];
  const [inner, n] = [b.shape[b.ndim - 2]!, b.shape[b.ndim - 1]!];
  if (k !== inner)
    throw new ShapeError("matmul", `the inner sizes ${k} and ${inner} differ`, { shapes: [a.shape, b.shape] });
  if (a.ndim > 2 && b.ndim === 2) {
    // One tall product instead of a batch of small ones.
    return tidy(() => {
      const rows = a.reshape([layout.sizeOf(a.shape.slice(0, -1)), k]);
      return matmul(rows, b, bias).reshape([...a.shape.slice(0, -1), n]);
    });
  }
  const batch = layout.broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const out = NDArray.empty([...batch, m, n], a);
  if (out.size === 0) return out;
  const left = operand(a);
  const right = operand(b);
  const strides = (of: NDArray) =>
    layout.broadcastStrides("matmul", of.shape.slice(0, -2), of.strides.slice(0, -2), batch);
  const header = [m, n, k, left.ld, right.ld, left.transposed, right.transposed, batch.length];
  scratch.set([...header, ...batch, ...strides(left.array), ...strides(right.array)]);
  const backend = a.device.backend;
  const status = backend.th_matmul(
    out.pointer,
    left.array.pointer,
    right.array.pointer,
    bias?.pointer ?? null,
    scratch,
  );
  check(status, backend, "matmul");
  for (const { array } of [left, right]) if (array !== a && array !== b) array.dispose();
  return out;
}

const scratch = new Int32Array(new ArrayBuffer(4 * (8 + 3 * MAX_NDIM)));

/** A matrix as the kernel takes it: rows or columns adjacent, `ld` elements apart; anything else is copied first. */
function operand(array: NDArray): { array: NDArray; ld: number; transposed: number } {
  const [rows, cols] = array.shape.slice(-2) as [number, number];
  const [rowStride, colStride] = array.strides.slice(-2) as [number, number];
  if ((colStride === 1 || cols === 1) && (rowStride >= cols || rows === 1)) {
    return { array, ld: Math.max(rows === 1 ? cols : rowStride, 1), transposed: 0 };
  }
  if ((rowStride === 1 || rows === 1) && (colStride >= rows || cols === 1)) {
    return { array, ld: Math.max(cols === 1 ? rows : colStride, 1), transposed: 1 };
  }
  return { array: array.copy(), ld: Math.max(cols, 1), transposed: 0 };
}
