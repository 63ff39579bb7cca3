/** Dropout (Srivastava et al., 2014). */
import { record } from "../autograd/record.ts";
import type { Tensor } from "../autograd/tensor.ts";
import { check } from "../native/status.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { defaultGenerator } from "../ndarray/random.ts";
import { checkFloat, checkNumber } from "./support.ts";

/**
 * Zeroes each element with probability p and scales the others by 1 / (1 - p). No mask is kept: which elements stay is
 * a function of the generator's stream, so backward is the same call on the gradient.
 */
export function dropout(a: Tensor, p: number): Tensor {
  checkFloat("dropout", a);
  checkNumber("dropout", "p", p, 0, 1);
  const drop = dropper("dropout", p);
  return record("dropout", drop(a.data), [a], [], (g) => [drop(g)]);
}

/** Zeroes the same elements, drawn now, of every array of one shape that it is given. */
export function dropper(operation: string, p: number): (x: NDArray) => NDArray {
  const { seed, stream } = defaultGenerator.next();
  return (x) => {
    const input = x.compact();
    const out = NDArray.empty(x.shape, x);
    const { backend } = x.device;
    if (x.size > 0) check(backend.th_dropout(out.pointer, input.pointer, x.size, p, seed, stream), backend, operation);
    input.dispose();
    return out;
  };
}
