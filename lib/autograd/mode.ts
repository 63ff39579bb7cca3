/** Whether operations are recorded for backward. */
import { ArgumentError } from "../native/errors.ts";
import { refusePromise } from "../ndarray/scope.ts";

let enabled = true;

export const gradEnabled = (): boolean => enabled;

/**
 * Runs `fn` without recording operations for backward, as PyTorch's `no_grad`.
 * @throws ArgumentError if `fn` returns a promise: what runs after its first await would be recorded.
 */
export function noGrad<R>(fn: () => R): R {
  if (typeof fn !== "function") throw new ArgumentError("noGrad", `takes a function, not ${String(fn)}`);
  const outer = enabled;
  enabled = false;
  try {
    const result = fn();
    refusePromise("noGrad", result, "Use a synchronous function");
    return result;
  } finally {
    enabled = outer;
  }
}
