/**
 * Handle = one owner of a Storage + the layout in which it sees the elements: what an NDArray is made of. Each handle, views
 * included, is disposed by itself; the memory is freed with the last one.
 */
import type { Pointer } from "bun:ffi";

import { DisposedError, ShapeError } from "../native/errors.ts";
import type { Storage } from "../native/storage.ts";
import type { Device } from "./device.ts";
import { type DType, ELEMENT_BYTES } from "./dtype.ts";
import * as layout from "./layout.ts";
import { handles, type Scoped, track } from "./scope.ts";
import type { Layout } from "./views.ts";

/** What arrays have before there is anything to do with their elements. */
export class Handle implements Scoped, Layout {
  /** Lengths of the axes; () for a scalar. */
  readonly shape: layout.Shape;
  /** Elements between neighbours along each axis; zero where broadcast, negative where flipped. */
  readonly strides: layout.Shape;
  /** Elements before the first one in the storage. */
  readonly offset: number;
  readonly size: number;
  readonly dtype: DType;
  readonly device: Device;
  /** @internal */
  readonly storage: Storage;
  /** True after {@link keep}: no tidy frees this array. */
  kept = false;
  /** @internal See Scoped. */
  returnedFrom = 0;
  private freed = false;

  /** @internal Takes over one ownership of `storage`. */
  constructor(
    device: Device,
    storage: Storage,
    dtype: DType,
    shape: layout.Shape,
    strides: layout.Shape,
    offset: number,
  ) {
    this.device = device;
    this.storage = storage;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    this.size = layout.sizeOf(shape);
    track(this);
  }

  get ndim(): number {
    return this.shape.length;
  }

  /** Whether the elements lie one after another in row-major order. */
  isCompact(): boolean {
    return layout.isContiguous(this.shape, this.strides);
  }

  /** @internal Address of the first element, for the length of a native call. */
  get pointer(): Pointer {
    this.assertUsable();
    this.assertInside();
    return (this.storage.pointer + this.offset * ELEMENT_BYTES) as Pointer;
  }

  get disposed(): boolean {
    return this.freed;
  }

  /** Gives up this handle; the memory is used again once all handles and the tape have. A second call does nothing. */
  dispose(): void {
    if (this.freed) return;
    this.freed = true;
    this.storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Exempts this array from every tidy: it lives until it is disposed or forgotten. */
  keep(): this {
    this.kept = true;
    return this;
  }

  [handles](): readonly Scoped[] {
    return [this];
  }

  /** @internal */
  assertUsable(): void {
    if (this.freed) {
      throw new DisposedError("NDArray", "this array was disposed, or made inside a tidy that did not return it", {
        shapes: [this.shape],
        hint: "Return it from the tidy, or call keep() on it",
      });
    }
  }

  /** Shapes are readonly for TypeScript alone: native code never sees a layout that JavaScript wrote over. */
  private assertInside(): void {
    const { shape, strides, offset, size, storage } = this;
    if (layout.liesWithin(shape, strides, offset, size, storage.bytes / ELEMENT_BYTES)) return;
    throw new ShapeError("NDArray", "shape, strides and offset may not be written to", { shapes: [shape] });
  }

  /** Before every write: it counts as one. */
  protected assertWritable(operation: string): void {
    this.assertUsable();
    if (this.size > 0 && this.strides.some((stride, i) => stride === 0 && this.shape[i]! > 1)) {
      throw new ShapeError(operation, "several elements of a broadcast view share one place", {
        shapes: [this.shape],
        hint: "Write into compact() of it",
      });
    }
    this.storage.version++;
  }
}
