/** Elements, or whole slices, along one axis by number. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkAxis, type Shape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { pack } from "../ndarray/pack.ts";
import { tidy } from "../ndarray/scope.ts";
import { lookUp } from "./embedding.ts";
import { permute, reshape } from "./shape.ts";
import { checkIds, checkTensor, contiguous } from "./support.ts";

/**
 * Elements along an axis, as torch.gather: along axis 1 out[i][j] = a[i][ids[i][j]]. `ids` int32 has as many axes as `a`
 * and is no longer than it on the other ones; the result has its shape. Gradient: each element's, added up over its uses
 * in order.
 * @throws ArgumentError for an id outside [0, size of the axis).
 */
export function gather(a: Tensor, axis: number, ids: Tensor): Tensor {
  return gatherAs("gather", a, axis, ids);
}

/** {@link gather} in the name of another operation, with a hint of its own for an id out of range. */
export function gatherAs(operation: string, a: Tensor, axis: number, ids: Tensor, hint?: string): Tensor {
  checkTensor(operation, a);
  checkIds(operation, ids, a, "ids");
  const shapes = [a.shape, ids.shape];
  if (ids.ndim !== a.ndim) throw new ShapeError(operation, "the ids must have as many axes as the tensor", { shapes });
  if (a.ndim === 0) {
    return tidy(() => reshape(gatherAs(operation, reshape(a, [1]), axis, reshape(ids, [1]), hint), []));
  }
  const { shape } = a;
  const at = checkAxis(operation, axis, a.ndim, shape);
  if (ids.shape.some((n, i) => i !== at && n > shape[i]!)) {
    const problem = `the ids must be no longer than the tensor on every axis but ${at}`;
    throw new ShapeError(operation, problem, { shapes });
  }
  const index = ids.data.compact();
  const result = record(operation, take(operation, a.data, at, index, hint), [a], [index], (g, { saved: [used] }) => [
    addByIndex(operation, g, at, used, shape),
  ]);
  index.dispose();
  return result;
}

/** out[…, i, …] = a[…, ids[…, i, …], …]; `ids` is compact. */
function take(operation: string, a: NDArray, axis: number, ids: NDArray, hint?: string): NDArray {
  const out = NDArray.empty(ids.shape, a);
  if (out.size === 0) return out;
  const { backend } = a.device;
  const layout = pack(ids.shape, placesOf(a.strides, axis));
  const [size, stride] = [a.shape[axis]!, a.strides[axis]!];
  check(backend.th_gather(out.pointer, a.pointer, ids.pointer, layout, size, stride), backend, operation, hint);
  return out;
}

/** An array of `shape` that has zeros, and the sums of all g[…, i, …] at […, ids[…, i, …], …]; `ids` is compact. */
export function addByIndex(operation: string, g: NDArray, axis: number, ids: NDArray, shape: Shape): NDArray {
  const from = contiguous(g);
  const out = NDArray.zeros(shape, g);
  if (g.size === 0) return out;
  const { backend } = g.device;
  const layout = pack(ids.shape, placesOf(out.strides, axis));
  const [size, stride] = [shape[axis]!, out.strides[axis]!];
  check(backend.th_scatter_add(out.pointer, from.pointer, ids.pointer, layout, size, stride), backend, operation);
  return out;
}

/** Strides that do not move along `axis`, where the ids say how far. */
const placesOf = (strides: Shape, axis: number): Shape => strides.map((stride, i) => (i === axis ? 0 : stride));

/**
 * The slices `ids` (n) int32 of `a` along an axis, as torch.index_select: the result has n of them there. Gradient: each
 * slice's, added up over its uses in order.
 * @throws ArgumentError for an id outside [0, size of the axis).
 */
export function indexSelect(a: Tensor, axis: number, ids: Tensor): Tensor {
  checkTensor("indexSelect", a);
  checkIds("indexSelect", ids, a, "ids");
  const shapes = [a.shape, ids.shape];
  if (a.ndim === 0) throw new ShapeError("indexSelect", "takes at least one axis", { shapes });
  if (ids.ndim !== 1) throw new ShapeError("indexSelect", "the ids must have one axis", { shapes });
  const at = checkAxis("indexSelect", axis, a.ndim, a.shape);
  const [before, after] = [a.shape.slice(0, at), a.shape.slice(at + 1)];
  const inFront = [at, ...a.shape.keys()].filter((n, i) => i === 0 || n !== at);
  const back = Array.from(a.shape.keys(), (i) => inFront.indexOf(i));
  return tidy(() => {
    const rest = [...before, ...after];
    const table = reshape(permute(a, inFront), [a.shape[at]!, rest.reduce((n, m) => n * m, 1)]);
    return permute(reshape(lookUp("indexSelect", table, ids), [ids.size, ...rest]), back);
  });
}
