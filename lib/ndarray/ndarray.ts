/**
 * NDArray: a strided array on a device, without gradients. What it holds is in handle.ts; here it is made, viewed, written
 * and read.
 *
 * Views (reshape where strides allow, permute, transpose, broadcastTo, slice, flip) share the storage and copy nothing.
 * Arithmetic is installed by methods.ts.
 */
import { DTypeError, formatShape, ShapeError } from "../native/errors.ts";
import { Storage } from "../native/storage.ts";
import { castElements, copyElements, download, fillElements, upload } from "./copy.ts";
import { type ArrayOptions, ARRAY_OPTIONS, checkDevice, type FromOptions, readTarget } from "./array-options.ts";
import { cpu, type Device } from "./device.ts";
import { checkDType, ELEMENT_BYTES, makeTypedArray, type TypedArrayOf } from "./dtype.ts";
import { formatElements, inspect } from "./format.ts";
import { Handle } from "./handle.ts";
import { flatten, type NestedNumbers, nest, type Values } from "./values.ts";
import * as layout from "./layout.ts";
import { checkOptions } from "./options.ts";
import {
  diagonalLayout,
  flipLayout,
  type Layout,
  permuteLayout,
  type Range,
  sliceLayout,
  squeezeLayout,
  unsqueezeLayout,
} from "./views.ts";

/** A strided array on a device, without gradients: of float32 or int32, with at most 2^31 - 1 elements. */
export class NDArray extends Handle {
  // ------------------------------------------------------------------------------------------------ creation

  /**
   * An array of the given values: a number, nested lists (all of one shape), a typed array, or another array (a copy).
   * @param options.shape reshapes the values; by default the nesting's shape, or (n,) for a typed array.
   * @throws ShapeError for ragged lists or a shape that does not fit; DTypeError for what is not a number of the dtype.
   */
  static from(values: Values | NDArray, options: FromOptions = {}): NDArray {
    return NDArray.make("from", values, options);
  }

  /** @internal {@link from} in the name of another operation. */
  static make(operation: string, values: Values | NDArray, options: FromOptions): NDArray {
    const { shape, dtype, device } = checkOptions(operation, options, ["shape", ...ARRAY_OPTIONS]);
    if (values instanceof NDArray) {
      const alike = (dtype ?? values.dtype) === values.dtype && (device ?? values.device) === values.device;
      if (alike && shape === undefined) return values.copy();
      return NDArray.make(operation, values.toTypedArray(), {
        shape: shape ?? values.shape,
        dtype: dtype ?? values.dtype,
        device: device ?? values.device,
      });
    }
    if (dtype !== undefined) checkDType(operation, dtype);
    const flat = flatten(operation, values, dtype);
    const target = shape === undefined ? flat.shape : layout.inferShape(operation, shape, flat.shape);
    const array = NDArray.allocate(operation, target, { dtype: flat.dtype, device });
    upload(operation, array, flat.data);
    return array;
  }

  /**
   * An array whose elements are whatever the memory holds.
   * @param options here and below may be another array, whose dtype and device the new one then has.
   * @throws ShapeError for a shape that is none; OutOfMemoryError.
   */
  static empty(shape: layout.Shape, options: ArrayOptions = {}): NDArray {
    return NDArray.allocate("empty", shape, options);
  }

  /** An array of zeros. */
  static zeros(shape: layout.Shape, options: ArrayOptions = {}): NDArray {
    return NDArray.allocate("zeros", shape, options).fill("zeros", 0);
  }

  /** An array of ones. */
  static ones(shape: layout.Shape, options: ArrayOptions = {}): NDArray {
    return NDArray.allocate("ones", shape, options).fill("ones", 1);
  }

  /** An array with `value` everywhere. @throws DTypeError if it is not a number of the dtype. */
  static full(shape: layout.Shape, value: number, options: ArrayOptions = {}): NDArray {
    return NDArray.allocate("full", shape, options).fill("full", value);
  }

  /** @internal {@link empty} in the name of another operation, with the shapes of its operands for errors. */
  static allocate(
    operation: string,
    shape: layout.Shape,
    options: ArrayOptions,
    operands: readonly layout.Shape[] = [],
  ): NDArray {
    const given = options instanceof NDArray ? options : checkOptions(operation, options, ARRAY_OPTIONS);
    const { dtype = "float32", device = cpu() } = given;
    const checked = layout.checkShape(operation, shape, operands);
    checkDType(operation, dtype);
    checkDevice(operation, device);
    const storage = new Storage(device.pool, layout.sizeOf(checked) * ELEMENT_BYTES);
    return new NDArray(device, storage, dtype, checked, layout.contiguousStrides(checked), 0);
  }

  // --------------------------------------------------------------------------------------------------- views

  /** This array with its elements one after another: a view of itself if they are, else a copy. */
  compact(): NDArray {
    return this.isCompact() ? this.view(this) : this.copy();
  }

  /** @internal The same elements one after another in memory of their own. */
  copy(): NDArray {
    this.assertUsable();
    const out = NDArray.empty(this.shape, this);
    copyElements("copy", out, this);
    return out;
  }

  /**
   * The same elements in row-major order under another shape; one size may be -1. Copies only when strides demand it.
   */
  reshape(shape: layout.Shape): NDArray {
    const target = layout.inferShape("reshape", shape, this.shape);
    const strides = layout.reshapeStrides(this.shape, this.strides, target);
    if (strides !== null) return this.view({ shape: target, strides, offset: this.offset });
    using out = this.copy();
    return out.view({ shape: target, strides: layout.contiguousStrides(target), offset: 0 });
  }

  /** Axis i of the result is axis `axes[i]` of this array. */
  permute(axes: readonly number[]): NDArray {
    return this.view(permuteLayout(this, axes));
  }

  /** Swaps two axes, by default the last two. */
  transpose(a = -2, b = -1): NDArray {
    const order = this.shape.map((_, i) => i);
    const first = layout.checkAxis("transpose", a, this.ndim, this.shape);
    const second = layout.checkAxis("transpose", b, this.ndim, this.shape);
    [order[first], order[second]] = [second, first];
    return this.permute(order);
  }

  /** Drops the axes of size 1: all, or those named, of which others stay. */
  squeeze(axes?: number | readonly number[]): NDArray {
    return this.view(squeezeLayout(this, axes));
  }

  /** A new axis of size 1, which is axis `axis` of the result; -1 is the last. */
  unsqueeze(axis: number): NDArray {
    return this.view(unsqueezeLayout(this, axis));
  }

  /** A view stretched to `shape` by NumPy's rules: axes of size 1, and new axes in front. */
  broadcastTo(shape: layout.Shape): NDArray {
    const target = layout.checkShape("broadcastTo", shape);
    const strides = layout.broadcastStrides("broadcastTo", this.shape, this.strides, target);
    return this.view({ shape: target, strides, offset: this.offset });
  }

  /**
   * A part of the array, one range for each axis (fewer allowed): an integer drops the axis, null takes all of it,
   * [start, stop] and [start, stop, step] are as in Python, negative numbers counting from the end, null for an open end.
   */
  slice(...ranges: readonly Range[]): NDArray {
    return this.view(sliceLayout(this, ranges));
  }

  /**
   * The diagonal of two axes, by default the first, as the last axis instead of them: elements (i, i + offset), or
   * (i - offset, i) for a negative offset.
   */
  diagonal(offset = 0, first = 0, second = 1): NDArray {
    return this.view(diagonalLayout(this, offset, [first, second]));
  }

  /** Reverses axes, by default all, by negative strides. */
  flip(axes?: number | readonly number[]): NDArray {
    return this.view(flipLayout(this, axes));
  }

  /** Another handle on the same elements. */
  alias(): NDArray {
    return this.view(this);
  }

  private view({ shape, strides, offset }: Layout): NDArray {
    this.assertUsable();
    return new NDArray(this.device, this.storage.retain(), this.dtype, shape, strides, offset);
  }

  // ------------------------------------------------------------------------------------- writing and reading

  /** Writes into a part of this array: a number, an array or tensor that broadcasts to the part, or nested numbers. */
  set(ranges: readonly Range[] | number | null, value: Values | NDArray | { readonly data: NDArray }): this {
    using target = this.view(sliceLayout(this, Array.isArray(ranges) ? ranges : [ranges as number | null], "set"));
    const source = typeof value === "object" && value !== null && "data" in value ? value.data : value;
    if (typeof source === "number") target.fill("set", source);
    else if (source instanceof NDArray) target.assign("set", source);
    else {
      // A typed array of as many elements has the part's shape.
      const shape = ArrayBuffer.isView(source) && source.length === target.size ? target.shape : undefined;
      using made = NDArray.make("set", source, { dtype: this.dtype, device: this.device, shape });
      target.assign("set", made);
    }
    return this;
  }

  /** @internal Writes `value` everywhere. */
  fill(operation: string, value: number): this {
    if (typeof value !== "number") throw new DTypeError(operation, `the value must be a number, not ${String(value)}`);
    flatten(operation, value, this.dtype); // refuses what is not a number of this dtype
    this.assertWritable(operation);
    fillElements(operation, this, value);
    return this;
  }

  /** @internal Copies `source`, broadcast to this shape and converted to this dtype, into this array. */
  assign(operation: string, source: NDArray): void {
    source.assertUsable();
    const strides = layout.broadcastStrides(operation, source.shape, source.strides, this.shape);
    this.assertWritable(operation); // last: it counts as a write
    const fits = source.dtype === this.dtype && source.device === this.device && source.storage !== this.storage;
    if (fits) return copyElements(operation, this, source, strides);
    // Through a copy of its own: of this dtype, on this device, sharing no memory.
    using copy = NDArray.make(operation, source, { dtype: this.dtype, device: this.device });
    copyElements(operation, this, copy, layout.broadcastStrides(operation, copy.shape, copy.strides, this.shape));
  }

  /** A copy with another dtype or on another device; another handle on this array if it has both already. */
  to(target: Device | ArrayOptions): NDArray {
    const { dtype = this.dtype, device = this.device } = readTarget(target);
    checkDType("to", dtype);
    checkDevice("to", device);
    if (device !== this.device) {
      using converted = this.to({ dtype });
      return NDArray.make("to", converted.toTypedArray(), { shape: this.shape, dtype, device });
    }
    if (dtype === this.dtype) return this.alias();
    const out = NDArray.empty(this.shape, { dtype, device });
    castElements("to", out, this);
    return out;
  }

  /** A copy of the elements in row-major order. */
  toTypedArray(): TypedArrayOf {
    this.assertUsable();
    using source = this.compact();
    const out = makeTypedArray(this.dtype, this.size);
    download("toTypedArray", out, source);
    return out;
  }

  /** The elements as nested lists; a number for a scalar. */
  toArray(): NestedNumbers {
    return nest(this.toTypedArray(), this.shape);
  }

  /** The only element. */
  item(): number {
    if (this.size !== 1) throw new ShapeError("item", "there must be exactly one element", { shapes: [this.shape] });
    return this.toTypedArray()[0]!;
  }

  /** The elements as nested lists: what JSON.stringify writes. */
  toJSON(): NestedNumbers {
    return this.toArray();
  }

  override toString(): string {
    if (this.disposed) return "NDArray(disposed)";
    const elements = formatElements(this.toTypedArray(), this.shape, this.dtype, "NDArray(".length);
    return `NDArray(${elements}, shape ${formatShape(this.shape)}, ${this.dtype}, ${this.device})`;
  }

  [inspect](): string {
    return this.toString();
  }
}
