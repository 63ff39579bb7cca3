/**
 * The native calls that move elements: fill, copy, convert, and to and from host memory. Shapes and dtypes agree
 * already.
 */
import { check } from "../native/status.ts";
import { dtypeCode, ELEMENT_BYTES, type TypedArrayOf } from "./dtype.ts";
import type { Shape } from "./layout.ts";
import type { NDArray } from "./ndarray.ts";
import { pack } from "./pack.ts";

/** Writes `value` everywhere in `out`. */
export function fillElements(operation: string, out: NDArray, value: number): void {
  if (out.size === 0) return;
  const { backend } = out.device;
  check(backend.th_fill(out.pointer, pack(out.shape, out.strides), value, dtypeCode(out.dtype)), backend, operation);
}

/** Copies `source`, seen with `strides` in the shape of `out`, to `out`. */
export function copyElements(operation: string, out: NDArray, source: NDArray, strides: Shape = source.strides): void {
  if (out.size === 0) return;
  const { backend } = out.device;
  check(backend.th_copy(out.pointer, source.pointer, pack(out.shape, out.strides, strides)), backend, operation);
}

/** Copies `source` to `out`, an array of the same shape and another dtype. */
export function castElements(operation: string, out: NDArray, source: NDArray): void {
  if (out.size === 0) return;
  const { backend } = out.device;
  const packed = pack(out.shape, out.strides, source.strides);
  const status = backend.th_cast(out.pointer, source.pointer, packed, dtypeCode(source.dtype), dtypeCode(out.dtype));
  check(status, backend, operation);
}

/** Copies host memory to a contiguous array. */
export function upload(operation: string, out: NDArray, data: TypedArrayOf): void {
  const { backend } = out.device;
  if (out.size > 0) check(backend.th_upload(out.pointer, data, out.size * ELEMENT_BYTES), backend, operation);
}

/** Copies a contiguous array to host memory. */
export function download(operation: string, out: TypedArrayOf, source: NDArray): void {
  const { backend } = source.device;
  if (source.size > 0) check(backend.th_download(out, source.pointer, source.size * ELEMENT_BYTES), backend, operation);
}
