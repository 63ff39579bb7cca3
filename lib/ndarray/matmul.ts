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
  if (a.dtype !== "float32" || b.dtype !== "float32")
    throw new DTypeError("matmul", "takes float32", {
      shapes: [a.shape, b.shape],
      hint: 'Convert with to({ dtype: "float32" })',
    });
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
  const plain = a.ndim === 2 && b.ndim === 2; // by far the most frequent
  const batch = plain
    ? []
    : layout.broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2), [a.shape, b.shape]);
  const out = NDArray.allocate("matmul", plain ? [m, n] : [...batch, m, n], a, [a.shape, b.shape]);
  const left = matrixOperand(a);
  const right = matrixOperand(b);
  if (out.size > 0) {
    header[0] = m;
    header[1] = n;
    header[2] = k;
    header[3] = left.ld;
    header[4] = right.ld;
    header[5] = left.transposed;
    header[6] = right.transposed;
    header[7] = batch.length;
    if (!plain) header.set([...batch, ...batchStrides(left.array, batch), ...batchStrides(right.array, batch)], 8);
    const { backend } = a.device;
    const [x, y] = [left.array, right.array];
    check(backend.th_matmul(out.pointer, x.pointer, y.pointer, bias?.pointer ?? null, header), backend, "matmul");
  }
  if (left.array !== a) left.array.dispose();
  if (right.array !== b) right.array.dispose();
  return out;
}

/** What has the shape and the reshape of an array: arrays and tensors. */
interface Shaped<T> {
  readonly ndim: number;
  readonly shape: layout.Shape;
  reshape(shape: layout.Shape): T;
}

/** A product in which a vector is a row on the left and a column on the right, whose axis the result lacks. */
export function vectorProduct<T extends Shaped<T>>(a: T, b: T, product: (a: T, b: T) => T): T {
  const [k, inner] = [a.shape.at(-1), b.shape.at(b.ndim === 1 ? -1 : -2)];
  if (k !== inner && a.ndim > 0 && b.ndim > 0)
    throw new ShapeError("matmul", `the inner sizes ${k} and ${inner} differ`, { shapes: [a.shape, b.shape] });
  const y = product(a.ndim === 1 ? a.reshape([1, -1]) : a, b.ndim === 1 ? b.reshape([-1, 1]) : b);
  const shape = [...y.shape];
  if (b.ndim === 1) shape.pop();
  if (a.ndim === 1) shape.splice(b.ndim === 1 ? -1 : -2, 1);
  return y.reshape(shape);
}

/**
 * What the kernel is told: sizes, leading dimensions, orientations; the batch's sizes and both operands' strides in
 * it.
 */
const header = new Int32Array(new ArrayBuffer(4 * (8 + 3 * MAX_NDIM)));

const batchStrides = (of: NDArray, batch: layout.Shape): number[] =>
  layout.broadcastStrides("matmul", of.shape.slice(0, -2), of.strides.slice(0, -2), batch);

/** A matrix as kernels take it: rows or columns adjacent, `ld` elements apart; anything else is copied first. */
export function matrixOperand(array: NDArray): { array: NDArray; ld: number; transposed: number } {
  const { shape, strides, ndim } = array;
  const [rows, cols] = [shape[ndim - 2]!, shape[ndim - 1]!];
  const [rowStride, colStride] = [strides[ndim - 2]!, strides[ndim - 1]!];
  if ((colStride === 1 || cols === 1) && (rowStride >= cols || rows === 1)) {
    return { array, ld: Math.max(rows === 1 ? cols : rowStride, 1), transposed: 0 };
  }
  if ((rowStride === 1 || rows === 1) && (colStride >= rows || cols === 1)) {
    return { array, ld: Math.max(cols === 1 ? rows : colStride, 1), transposed: 1 };
  }
  return { array: array.copy(), ld: Math.max(cols, 1), transposed: 0 };
}
