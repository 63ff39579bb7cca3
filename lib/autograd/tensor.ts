/**
 * Tensor: an NDArray with autograd. Operations are in lib/ops, which installs them as methods; this file knows none.
 */
import { ArgumentError, AutogradError, DeviceError, DTypeError, formatShape } from "../native/errors.ts";
import { binary } from "../ndarray/arithmetic.ts";
import "../ndarray/methods.ts";
import type { Device } from "../ndarray/device.ts";
import type { DType, TypedArrayOf } from "../ndarray/dtype.ts";
import { formatElements, inspect } from "../ndarray/format.ts";
import type { Shape } from "../ndarray/layout.ts";
import type { ArrayOptions } from "../ndarray/array-options.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { handles, type HandleOwner, type Scoped, untracked } from "../ndarray/scope.ts";
import type { NestedNumbers, Values } from "../ndarray/values.ts";
import type { Range } from "../ndarray/views.ts";
import { gradEnabled } from "./mode.ts";
import { checkGradient, type Edge, type Node, runBackward } from "./tape.ts";

export interface TensorOptions extends ArrayOptions {
  /** Default: the nesting's, or (n,) for a typed array. One size may be -1. */
  shape?: Shape | undefined;
  /** Whether backward() computes a gradient for it. Default false. */
  requiresGrad?: boolean | undefined;
}

/** An array with autograd: operations on it are recorded where it requires a gradient, for {@link Tensor.backward}. */
export class Tensor implements HandleOwner {
  /** The elements. Writing into them is not recorded. */
  data: NDArray;
  private ownGradient: NDArray | null = null;
  private gradientRead: Tensor | null = null;
  private edge: Edge | null;
  private wantsGrad: boolean;

  /** Wraps `data`, which belongs to this tensor from now on. Most scripts use {@link tensor}. */
  constructor(
    data: NDArray,
    { requiresGrad = false }: { requiresGrad?: boolean | undefined } = {},
    edge: Edge | null = null,
  ) {
    if (!(data instanceof NDArray)) {
      const hint = "tensor(values) makes one of numbers, and copies tensors";
      throw new ArgumentError("Tensor", `takes an NDArray, not ${describe(data)}`, { hint });
    }
    this.data = data;
    this.edge = edge;
    this.wantsGrad = edge !== null;
    if (requiresGrad) this.requiresGrad = true;
  }

  get shape(): Shape {
    return this.data.shape;
  }

  get ndim(): number {
    return this.data.ndim;
  }

  get size(): number {
    return this.data.size;
  }

  get dtype(): DType {
    return this.data.dtype;
  }

  get device(): Device {
    return this.data.device;
  }

  /** Whether it takes part in backward: set on leaves, true for results of operations on tensors that require it. */
  get requiresGrad(): boolean {
    return this.wantsGrad;
  }

  set requiresGrad(value: boolean) {
    if (value && this.dtype !== "float32") {
      throw new DTypeError("requiresGrad", `only float32 tensors have gradients, not ${this.dtype}`, {
        shapes: [this.shape],
      });
    }
    if (!value && !this.isLeaf) {
      throw new AutogradError("requiresGrad", "cannot be turned off for the result of an operation", {
        hint: "Use detach()",
      });
    }
    this.wantsGrad = value;
  }

  /**
   * Whether it is not the recorded result of an operation: only leaves have a gradient after backward, and can be
   * trained.
   */
  get isLeaf(): boolean {
    return !this.edge?.node;
  }

  /** @internal The gradient. Where nobody has read it yet it may be written over and freed. */
  get gradient(): NDArray | null {
    const read = this.gradientRead;
    if (read !== null && read.data !== this.ownGradient) {
      this.checkAssignable(read); // `t.grad.data = …` was written
      this.ownGradient = read.data = contiguousAndKept(read.data);
    }
    return this.ownGradient;
  }

  /** The gradient that backward() has added up in this leaf; null before. It has the tensor's shape. */
  get grad(): Tensor | null {
    const { gradient } = this;
    if (gradient === null) return null;
    return (this.gradientRead ??= new Tensor(gradient));
  }

  set grad(value: Tensor | null) {
    if (value !== null) this.checkAssignable(value);
    this.clearGradient();
    if (value === null) return;
    this.ownGradient = contiguousAndKept(value.data);
    this.gradientRead = this.ownGradient === value.data ? value : null; // whom it belongs to as well: it is not freed, nor written over
  }

  private checkAssignable(gradient: unknown): void {
    if (!(gradient instanceof Tensor)) throw new ArgumentError("grad", "a gradient is a Tensor or null");
    checkGradient("grad", this.shape, gradient.data);
    if (gradient.dtype !== this.dtype) throw new DTypeError("grad", `must be ${this.dtype}, not ${gradient.dtype}`);
    if (gradient.device !== this.device)
      throw new DeviceError("grad", `must be on ${this.device}, not ${gradient.device}`);
  }

  /** @internal Forgets the gradient; frees its memory at once unless someone has read it and may still hold it. */
  clearGradient(): void {
    if (this.gradientRead === null) this.gradient?.dispose();
    this.ownGradient = null;
    this.gradientRead = null;
  }

  /** @internal Where gradients of this tensor go. */
  get sink(): Edge | null {
    if (!this.wantsGrad) return null;
    return (this.edge ??= { node: null, accept: (gradient) => this.accumulate(gradient) });
  }

  /**
   * Adds to the gradient of this leaf. It is kept contiguous and its own, since optimizers and clipping work on it in
   * place.
   */
  private accumulate(gradient: NDArray): void {
    if (!this.wantsGrad) return gradient.dispose(); // turned off since it was used
    const before = this.gradient;
    if (before === null) {
      const own = gradient.isCompact() && gradient.storage.exclusive;
      this.ownGradient = (own ? gradient : gradient.copy()).keep();
      if (!own) gradient.dispose();
    } else {
      using sum = binary("add", before, gradient, 0, { reuse: true });
      if (sum.storage !== before.storage) before.assign("backward", sum); // a view of it is held somewhere
      gradient.dispose();
    }
  }

  /**
   * Computes the gradients of this tensor with respect to every leaf that requires one, adds them to `grad`, and frees
   * what was saved on the way.
   * @param gradient of this tensor's shape; may be left out for a scalar, where it is 1.
   * @throws DisposedError after dispose(); AutogradError when called a second time, without recorded operations, or
   * after a saved array was modified.
   */
  backward(gradient?: Tensor | NDArray): void {
    this.data.assertUsable();
    if (!this.wantsGrad) {
      throw new AutogradError("backward", "this tensor does not require a gradient", {
        shapes: [this.shape],
        hint: "Set requiresGrad on the tensors it was computed from, and compute it outside noGrad(). What comes from detach() or from a grad has no history: there are no second-order gradients",
      });
    }
    if (gradient === undefined && this.size !== 1) {
      throw new AutogradError("backward", "a gradient is needed for a tensor that is not a scalar", {
        shapes: [this.shape],
      });
    }
    const seed = untracked(() => {
      if (gradient === undefined) return NDArray.ones(this.shape, { device: this.device });
      const given = gradient instanceof Tensor ? gradient.data : gradient;
      if (!(given instanceof NDArray)) {
        const hint = "It takes no options, such as createGraph: there are no second-order gradients";
        throw new ArgumentError("backward", "the gradient must be a tensor or an array", { hint });
      }
      checkGradient("backward", this.shape, given);
      return given.to({ dtype: "float32", device: this.device });
    });
    const { edge } = this;
    if (edge !== null && hasNode(edge)) runBackward(edge, seed);
    else untracked(() => this.accumulate(seed));
  }

  /** The same elements, sharing memory, without history or gradient. */
  detach(): Tensor {
    return new Tensor(this.data.alias());
  }

  /**
   * Replaces all values in place, keeping shape, dtype and device; typed arrays are row-major. With ranges as
   * {@link slice} takes them, those of a part. Not recorded.
   */
  set(value: Values | NDArray | Tensor): this;
  set(ranges: readonly Range[] | number | null, value: Values | NDArray | Tensor): this;
  set(...args: [Values | NDArray | Tensor] | [readonly Range[] | number | null, Values | NDArray | Tensor]): this {
    if (gradEnabled() && !this.isLeaf)
      throw new AutogradError("set", "cannot write into the recorded result of an operation", {
        shapes: [this.shape],
        hint: "Write inside noGrad(), or into detach() of it",
      });
    if (args.length > 1) {
      this.data.set(args[0] as readonly Range[] | number | null, args[1]!);
      return this;
    }
    const value = args[0] as Values | NDArray | Tensor;
    const source =
      value instanceof Tensor
        ? value.data
        : value instanceof NDArray
          ? value
          : NDArray.make("set", value, { dtype: this.dtype, shape: this.shapeOfFlat(value) });
    this.data.assign("set", source);
    if (source !== value && !(value instanceof Tensor)) source.dispose();
    return this;
  }

  /** A typed array with this tensor's number of elements has its shape. */
  private shapeOfFlat(value: Values): Shape | undefined {
    return ArrayBuffer.isView(value) && value.length === this.size ? this.shape : undefined;
  }

  /** A copy of the elements in row-major order. */
  toTypedArray(): TypedArrayOf {
    return this.data.toTypedArray();
  }

  /** The elements as nested lists; a number for a scalar. */
  toArray(): NestedNumbers {
    return this.data.toArray();
  }

  /** The only element. @throws ShapeError unless there is exactly one. */
  item(): number {
    return this.data.item();
  }

  /** Gives up the elements and the gradient. What the tape saved of them stays until backward. */
  dispose(): void {
    this.data.dispose();
    this.clearGradient();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Exempts this tensor from every tidy. */
  keep(): this {
    this.data.keep();
    return this;
  }

  [handles](): readonly Scoped[] {
    return this.gradient === null ? [this.data] : [this.data, this.gradient];
  }

  /** The elements as nested lists: what JSON.stringify writes. */
  toJSON(): NestedNumbers {
    return this.toArray();
  }

  toString(): string {
    if (this.data.disposed) return "Tensor(disposed)";
    const elements = formatElements(this.toTypedArray(), this.shape, this.dtype, "Tensor(".length);
    const grad = this.requiresGrad ? ", requiresGrad" : "";
    return `Tensor(${elements}, shape ${formatShape(this.shape)}, ${this.dtype}, ${this.device}${grad})`;
  }

  [inspect](): string {
    return this.toString();
  }
}

/**
 * A tensor of the given values: a number, nested lists, a typed array, an array or tensor (copied).
 * @throws ShapeError for ragged lists or a shape that does not fit; DTypeError for what is not a number of the dtype.
 */
export function tensor(values: Values | NDArray | Tensor, options: TensorOptions = {}): Tensor {
  checkOptions("tensor", options, ["shape", "dtype", "device", "requiresGrad"]);
  const { requiresGrad, ...rest } = options;
  const source = values instanceof Tensor ? values.data : values;
  return new Tensor(NDArray.make("tensor", source, rest), { requiresGrad });
}

/** Whether an edge leads to an operation, not to a leaf. */
const hasNode = (edge: Edge): edge is Edge & { node: Node } => edge.node !== null;

/** `array`, or a copy in row-major order, as a gradient that no tidy frees. */
const contiguousAndKept = (array: NDArray): NDArray => (array.isCompact() ? array : array.copy()).keep();
