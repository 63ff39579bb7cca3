/** Tensors by name, and loading them: nothing is written unless all of it fits. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, CheckpointError, DTypeError, ShapeError } from "../native/errors.ts";
import { isInt32 } from "../ndarray/dtype.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";

/** The tensors of a module by name: what a checkpoint holds. */
export type StateDict = Record<string, Tensor>;

/** What {@link Module.loadStateDict} left alone. */
export interface LeftAlone {
  /** Names of the module's that were not given. */
  missing: string[];
  /** Given names that the module does not have. */
  unexpected: string[];
}

/** Copies what is given into the tensors of `owner`: see {@link Module.loadStateDict}. */
export function load(
  owner: string,
  state: StateDict,
  given: Readonly<Record<string, Tensor | NDArray>>,
  strict: boolean,
): LeftAlone {
  const dict = withOwnNames(given, state);
  const missing = Object.keys(state).filter((name) => !Object.hasOwn(dict, name));
  const unexpected = Object.keys(dict).filter((name) => !Object.hasOwn(state, name));
  const misfits = strict ? misfit(owner, { missing, unexpected }) : null;
  if (misfits !== null) throw new CheckpointError("loadStateDict", misfits);
  const own = Object.entries(state).filter(([name]) => Object.hasOwn(dict, name));
  for (const [name, target] of own) {
    const source = dict[name];
    if (!(source instanceof Tensor || source instanceof NDArray)) {
      throw new ArgumentError("loadStateDict", `${name} must be a tensor or an array, not ${String(source)}`);
    }
    if (!sameShape(source.shape, target.shape)) {
      const problem = `${name} of ${owner} has the first of these shapes, and what is loaded the second`;
      throw new ShapeError("loadStateDict", problem, {
        shapes: [target.shape, source.shape],
        ...turned(source, target),
      });
    }
    (source instanceof Tensor ? source.data : source).assertUsable();
    if (target.dtype === "int32" && !source.toTypedArray().every(isInt32))
      throw new DTypeError("loadStateDict", `${name} is int32, and not all its values are such integers`);
  }
  for (const [name, target] of own) target.set(dict[name]!);
  return { missing, unexpected };
}

/** What an error says of names that only one side has; null where there are none. */
export function misfit(owner: string, { missing, unexpected }: LeftAlone): string | null {
  if (missing.length === 0 && unexpected.length === 0) return null;
  const parts = [
    missing.length > 0 ? `missing ${missing.join(", ")}` : "",
    unexpected.length > 0 ? `unknown ${unexpected.join(", ")}` : "",
  ];
  return `does not fit ${owner}: ${parts.filter(Boolean).join("; ")}`;
}

/** Whether it is PyTorch's name for the number of batches that a norm has seen, which nothing here counts. */
export const isBatchCount = (name: string): boolean => /(^|\.)num_batches_tracked$/.test(name);

/** A dictionary of PyTorch's under the names that thimble has. */
function withOwnNames<T>(dict: Readonly<Record<string, T>>, own: Readonly<Record<string, unknown>>): Record<string, T> {
  const named = Object.entries(dict).map(([name, value]): [string, T] => {
    const renamed = name.replace(/(^|\.)running_mean$/, "$1runningMean").replace(/(^|\.)running_var$/, "$1runningVar");
    return [Object.hasOwn(own, renamed) ? renamed : name, value];
  });
  return Object.fromEntries(named.filter(([name]) => !isBatchCount(name) || Object.hasOwn(own, name)));
}

/** A hint where `source` is the target as PyTorch has it. */
function turned({ shape }: Tensor | NDArray, target: Tensor): { hint?: string } {
  for (const axes of [
    [1, 0],
    [2, 3, 1, 0],
  ])
    // prettier-ignore
    if (axes.length === shape.length && sameShape(axes.map((axis) => shape[axis]!), target.shape))
      return { hint: `PyTorch's weights lie the other way round: permute([${axes.join(", ")}]) turns this one, loadPyTorch a whole file` };
  return {};
}
