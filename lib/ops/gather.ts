/** Elements, or whole slices, along one axis by number: read, and added to. */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { formatShape, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { checkAxis, sameShape, type Shape, sizeOf } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { sameDevice } from "../ndarray/operands.ts";
import { pack } from "../ndarray/pack.ts";
import { tidy } from "../ndarray/scope.ts";
import type { Range } from "../ndarray/views.ts";
import { add } from "./elementwise.ts";
import { lookUp, sumRows } from "./embedding.ts";
import { permute, reshape } from "./shape.ts";
import { checkFloat, checkIds, checkTensor, contiguous } from "./support.ts";

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
    addByIndex(operation, NDArray.zeros(shape, g), g, at, used),
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

/** Adds each g[…, i, …] to out[…, ids[…, i, …], …], in order; `ids` is compact. @returns `out`. */
export function addByIndex(operation: string, out: NDArray, g: NDArray, axis: number, ids: NDArray): NDArray {
  if (g.size === 0) return out;
  const from = contiguous(g);
  const { backend } = g.device;
  const layout = pack(ids.shape, placesOf(out.strides, axis));
  const [size, stride] = [out.shape[axis]!, out.strides[axis]!];
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
  const { inFront, back, rest } = asTable(a.shape, at);
  return tidy(() => {
    const table = reshape(permute(a, inFront), [a.shape[at]!, sizeOf(rest)]);
    return permute(reshape(lookUp("indexSelect", table, ids), [ids.size, ...rest]), back);
  });
}

/**
 * `a` with elements of `source` added along an axis, as torch.scatter_add: along axis 1 out[i][ids[i][j]] += source[i][j].
 * `ids` int32 has as many axes as both, and is no longer than `source` on any, nor than `a` on the other ones. Sums are
 * made in order, the same ones on every run. Gradient: that of `a` is the result's, that of `source` its elements at the ids.
 * @throws ArgumentError for an id outside [0, size of the axis).
 */
export function scatterAdd(a: Tensor, axis: number, ids: Tensor, source: Tensor): Tensor {
  const operation = "scatterAdd";
  checkFloat(operation, a);
  checkIds(operation, ids, a, "ids");
  checkFloat(operation, source, "the source");
  sameDevice(operation, a.data, source.data);
  const shapes = [a.shape, ids.shape, source.shape];
  if (ids.ndim !== a.ndim || source.ndim !== a.ndim)
    throw new ShapeError(operation, "the ids and the source must have as many axes as the tensor", { shapes });
  if (a.ndim === 0) {
    return tidy(() => reshape(scatterAdd(reshape(a, [1]), axis, reshape(ids, [1]), reshape(source, [1])), []));
  }
  const at = checkAxis(operation, axis, a.ndim, a.shape);
  if (ids.shape.some((n, i) => n > source.shape[i]! || (i !== at && n > a.shape[i]!))) {
    const problem = `the ids must be no longer than the source, and than the tensor on every axis but ${at}`;
    throw new ShapeError(operation, problem, { shapes });
  }
  const used = ids.shape.map((n): Range => [0, n]);
  const { shape } = source;
  return tidy(() => {
    const index = ids.data.compact();
    take(operation, a.data, at, index); // refuses ids that are outside
    const out = addByIndex(operation, a.data.copy(), source.data.slice(...used), at, index);
    return record(operation, out, [a, source], [index], (g, { saved: [places], needs }) => [
      g,
      needs[1] ? NDArray.zeros(shape, g).set(used, take(operation, g, at, places)) : null,
    ]);
  });
}

/**
 * `a` with the slices of `source` along an axis added to its slices `ids` (n) int32 there, as torch.index_add; `source` has
 * n of them, and the shape of `a` otherwise. Slices of one id are added up in order. Gradient: as {@link scatterAdd}'s.
 * @throws ArgumentError for an id outside [0, size of the axis).
 */
export function indexAdd(a: Tensor, axis: number, ids: Tensor, source: Tensor): Tensor {
  checkFloat("indexAdd", a);
  checkIds("indexAdd", ids, a, "ids");
  checkFloat("indexAdd", source, "the source");
  sameDevice("indexAdd", a.data, source.data);
  const shapes = [a.shape, ids.shape, source.shape];
  if (a.ndim === 0) throw new ShapeError("indexAdd", "takes at least one axis", { shapes });
  if (ids.ndim !== 1) throw new ShapeError("indexAdd", "the ids must have one axis", { shapes });
  const at = checkAxis("indexAdd", axis, a.ndim, a.shape);
  const expected = a.shape.map((n, i) => (i === at ? ids.size : n));
  if (!sameShape(source.shape, expected))
    throw new ShapeError("indexAdd", `the source must have shape ${formatShape(expected)}`, { shapes });
  const { inFront, back, rest } = asTable(a.shape, at);
  return tidy(() => {
    const index = ids.data.compact();
    const rows = a.shape[at]!;
    take("indexAdd", NDArray.empty([rows], a.data), 0, index); // refuses ids that are outside
    const table = reshape(permute(source, inFront), [ids.size, sizeOf(rest)]);
    return add(a, permute(reshape(sumRows("indexAdd", table, index, rows), [rows, ...rest]), back));
  });
}

/** How an array becomes a table of its slices along `axis`, and back: that axis goes in front of the rest. */
function asTable(shape: Shape, axis: number): { inFront: number[]; back: number[]; rest: number[] } {
  const inFront = [axis, ...shape.keys()].filter((n, i) => i === 0 || n !== axis);
  const back = Array.from(shape.keys(), (i) => inFront.indexOf(i));
  return { inFront, back, rest: shape.filter((_, i) => i !== axis) };
}
