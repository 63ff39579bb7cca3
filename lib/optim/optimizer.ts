/**
 * What optimizers share: the list of parameters, and the table by which one native call updates all of them. The table
 * is made anew at each step, since gradients move; that costs a few microseconds.
 */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, DeviceError, DTypeError, ShapeError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { checkOptions } from "../ndarray/options.ts";
import { untracked } from "../ndarray/scope.ts";

/**
 * Arrays of an optimizer by name, such as `first.0`, the first moment of the first parameter: what a checkpoint
 * holds.
 */
export interface OptimizerState {
  lr: number;
  /** Steps that each parameter took. */
  steps: readonly number[];
  arrays: Record<string, NDArray>;
}

/** Parameters with options of their own, where they differ from the optimizer's. */
export interface ParameterGroup {
  params: Iterable<Tensor>;
  /** Stays in proportion to the optimizer's `lr` when that changes. */
  lr?: number | undefined;
  weightDecay?: number | undefined;
}

/** What an optimizer trains: parameters, or groups of them. */
export type Trained = Iterable<Tensor> | Iterable<ParameterGroup>;

/** A group as {@link Optimizer.step} takes it. */
interface Group {
  readonly params: readonly Tensor[];
  /** How many parameters the groups before it have. */
  readonly first: number;
  /** Times the optimizer's `lr`. */
  readonly scale: number;
  readonly weightDecay: number;
}

/** What trains parameters: it updates those that have a gradient. */
export abstract class Optimizer {
  /** Those of all groups. */
  readonly params: readonly Tensor[];
  protected readonly groups: readonly Group[];
  /** Steps that each parameter took: one without a gradient takes none. */
  protected readonly counts: number[];
  #rate = 0;

  /** Learning rate; may be changed between steps. @throws ArgumentError unless it is finite and not negative. */
  get lr(): number {
    return this.#rate;
  }

  set lr(value: number) {
    this.#rate = checkNonNegative(this.constructor.name, "lr", value);
  }

  constructor(name: string, params: Trained, lr: number, weightDecay: number) {
    this.lr = lr;
    this.groups = readGroups(name, params, lr, weightDecay);
    this.params = checkParameters(name, this.groups.flatMap((group) => group.params)); // prettier-ignore
    if (this.params.length === 0) throw new ArgumentError(name, "the list of parameters is empty");
    this.counts = this.params.map(() => 0);
  }

  /** Updates every parameter that has a gradient. */
  abstract step(): void;

  /** Counts the step, and marks the parameters as written, so that backward through an older use of them is refused. */
  protected markUpdated(): void {
    for (const [i, param] of this.params.entries()) {
      if (param.gradient === null) continue;
      this.counts[i]!++;
      param.data.storage.version++;
    }
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const param of this.params) param.clearGradient();
  }

  /** Arrays to save, by name: the arrays themselves, not copies. Default: none. */
  protected arrays(): Record<string, NDArray> {
    return {};
  }

  /** What must be saved to continue exactly. */
  state(): OptimizerState {
    return { lr: this.lr, steps: [...this.counts], arrays: this.arrays() };
  }

  /**
   * Copies a saved state into this optimizer; its learning rate too. Nothing is changed unless all of it fits.
   * @throws ArgumentError for the state of another kind of optimizer or number of parameters, ShapeError for other shapes.
   */
  loadState(state: OptimizerState): void {
    const { lr, steps, arrays } = state ?? {};
    if (typeof arrays !== "object" || arrays === null || !Object.values(arrays).every((a) => a instanceof NDArray))
      throw new ArgumentError("loadState", "takes what state() gave: { lr, steps, arrays }");
    const own = this.state().arrays;
    const [needs, has] = [Object.keys(own).sort().join(", "), Object.keys(arrays).sort().join(", ")];
    if (needs !== has) throw new ArgumentError("loadState", `the state has the arrays '${has}', not '${needs}'`);
    if (!Array.isArray(steps) || steps.length !== this.params.length || !steps.every(isCount))
      throw new ArgumentError("loadState", `steps must be a count for each of ${this.params.length} parameters`);
    for (const [name, target] of Object.entries(own)) {
      arrays[name]!.assertUsable();
      if (sameShape(target.shape, arrays[name]!.shape)) continue;
      const shapes = [target.shape, arrays[name]!.shape];
      throw new ShapeError("loadState", `'${name}' has another shape`, { shapes });
    }
    this.lr = lr;
    for (const [name, target] of Object.entries(own)) target.assign("loadState", arrays[name]!);
    steps.forEach((count, i) => (this.counts[i] = count));
  }
}

function readGroups(name: string, params: Trained, lr: number, weightDecay: number): Group[] {
  checkNonNegative(name, "weightDecay", weightDecay);
  const list = checkList(name, params);
  if (!list.some(isGroup)) return [{ params: checkParameters(name, list), first: 0, scale: 1, weightDecay }];
  let first = 0;
  return list.map((given) => {
    if (!isGroup(given)) throw new ArgumentError(name, "takes parameters or groups of them, not both");
    const group = checkOptions(name, given, ["params", "lr", "weightDecay"]);
    const own = checkNonNegative(name, "a group's lr", group.lr ?? lr);
    if (lr === 0 && own > 0) throw new ArgumentError(name, `a group's lr of ${own} has no proportion to an lr of 0`);
    const members = checkParameters(name, group.params);
    const decay = checkNonNegative(name, "a group's weightDecay", group.weightDecay ?? weightDecay);
    first += members.length;
    return { params: members, first: first - members.length, scale: own === lr ? 1 : own / lr, weightDecay: decay };
  });
}

const isGroup = (value: unknown): value is ParameterGroup =>
  typeof value === "object" && value !== null && !(value instanceof Tensor) && "params" in value;

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** Parameters and their gradients as rows of addresses and sizes, for one device's native call. */
export class ParameterTable {
  private rows: Float64Array;

  private readonly width: number;

  constructor(width: number, count: number) {
    this.width = width;
    this.rows = new Float64Array(new ArrayBuffer(Math.max(8, 8 * width * count)));
  }

  /**
   * Fills rows {arrays' addresses…, size} for each parameter with a gradient, but for those whose `arrays` are null;
   * calls
   * `run` with the table and its length.
   */
  run(
    params: readonly Tensor[],
    arrays: (param: Tensor, gradient: NDArray, index: number) => readonly (NDArray | null)[] | null,
    run: (device: Device, rows: Float64Array, count: number) => void,
  ): void {
    let count = 0;
    let device: Device | null = null;
    for (const [index, param] of params.entries()) {
      const { gradient } = param;
      if (gradient === null) continue;
      if (device !== null && device !== param.device)
        throw new DeviceError(
          "optimizer",
          `parameters are on ${device} and ${param.device}: all must be on one device`,
        );
      const row = arrays(param, gradient, index);
      if (row === null) continue;
      device = param.device;
      let at = this.width * count++;
      for (const array of row) {
        if (array !== null) checkFits(param, array);
        this.rows[at++] = array === null ? 0 : array.pointer;
      }
      this.rows[at] = param.size;
    }
    if (device !== null) run(device, this.rows, count);
  }
}

/** Native code takes a parameter's arrays as `size` floats each: a tensor's `data` may have been replaced since. */
function checkFits(param: Tensor, array: NDArray): void {
  if (array.size === param.size && array.dtype === "float32" && array.isCompact()) return;
  const problem = "a parameter, its gradient, and the optimizer's state must be contiguous float32 of one shape";
  throw new ShapeError("optimizer", problem, { shapes: [param.shape, array.shape] });
}

/** Zeros of each parameter's shape, made when first asked for. */
export class Moments {
  private readonly arrays: (NDArray | undefined)[] = [];

  private readonly name: string;
  private readonly params: readonly Tensor[];

  constructor(name: string, params: readonly Tensor[]) {
    this.name = name;
    this.params = params;
  }

  get(index: number): NDArray {
    const param = this.params[index]!;
    const before = this.arrays[index];
    if (before !== undefined && before.device === param.device) return before;
    const made = untracked(() => before?.to(param.device) ?? NDArray.zeros(param.shape, { device: param.device }));
    return (this.arrays[index] = made);
  }

  state(): Record<string, NDArray> {
    return Object.fromEntries(this.params.map((_, i) => [`${this.name}.${i}`, this.get(i)]));
  }
}

function checkList(name: string, params: Iterable<unknown>): unknown[] {
  if (typeof params === "object" && params !== null && Symbol.iterator in params) return [...params];
  throw new ArgumentError(name, "takes a list of parameters, such as model.parameters()");
}

export function checkParameters(name: string, params: Iterable<unknown>): Tensor[] {
  const list: Tensor[] = [];
  for (const param of checkList(name, params)) {
    if (!(param instanceof Tensor))
      throw new ArgumentError(name, `a parameter must be a Tensor, not ${describe(param)}`);
    param.data.assertUsable();
    if (param.dtype !== "float32") throw new DTypeError(name, `a parameter must be float32, not ${param.dtype}`);
    if (!param.isLeaf) {
      const hint = "Train the tensors that it was computed from, or detach() it";
      throw new ArgumentError(name, "the result of an operation cannot be a parameter", {
        shapes: [param.shape],
        hint,
      });
    }
    if (!param.data.isCompact())
      throw new ArgumentError(name, "a parameter must be contiguous: a view cannot be trained");
    list.push(param);
  }
  if (new Set(list).size !== list.length) throw new ArgumentError(name, "a parameter is listed twice");
  return list;
}

export function checkNonNegative(name: string, what: string, value: number): number {
  if (typeof value !== "number" || !(value >= 0) || value === Infinity) {
    throw new ArgumentError(name, `${what} must be a finite number of at least 0, not ${describe(value)}`);
  }
  return value;
}

/** A decay rate: in [0, 1). */
export function checkRate(name: string, what: string, value: number): number {
  if (!(checkNonNegative(name, what, value) < 1))
    throw new ArgumentError(name, `${what} must be below 1, not ${value}`);
  return value;
}
