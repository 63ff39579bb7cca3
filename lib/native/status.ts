/** Turns the status of a native call into the typed error of its cause. */
import { ArgumentError, LibraryError, OutOfMemoryError } from "./errors.ts";
import { type Backend, Status } from "./symbols.gen.ts";

/**
 * Throws when `status` is not success. The error's text is fetched only then: it costs more than most kernels. `hint` is
 * what to do about an index out of range.
 */
export function check(status: number, backend: Backend, operation: string, hint?: string): void {
  if (status === Status.ok) return;
  const text = backend.th_last_error() ?? "the native call failed";
  if (status === Status.outOfMemory) throw new OutOfMemoryError(operation, text);
  if (status === Status.index) throw new ArgumentError(operation, text, hint === undefined ? {} : { hint });
  throw new LibraryError(operation, text);
}
