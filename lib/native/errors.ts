/**
 * Errors are data: a class for each cause, the operation that failed, the shapes it was given, and what to do.
 * All extend {@link ThimbleError}; nothing reachable from the public API crashes the process.
 */

/** What an error carries besides its message. */
export interface ErrorDetails {
  /** Shapes of the operands, in order. */
  shapes?: readonly (readonly number[])[];
  /** What to do about it: a sentence. */
  hint?: string;
  cause?: unknown;
}

/** The base of every error that thimble throws. */
export class ThimbleError extends Error {
  /** The operation, module or file that failed, as the user named it. */
  readonly operation: string;
  readonly shapes: readonly (readonly number[])[];

  constructor(operation: string, problem: string, { shapes = [], hint, cause }: ErrorDetails = {}) {
    const given = shapes.length === 0 ? "" : `; given ${shapes.map(formatShape).join(" and ")}`;
    super(`${operation}: ${problem}${given}${hint === undefined ? "" : `. ${hint}`}`, { cause });
    this.name = new.target.name;
    this.operation = operation;
    this.shapes = shapes;
  }
}

/** Shapes, axes, ranges, or sizes that do not fit the operation. */
export class ShapeError extends ThimbleError {}

/** An element type that the operation does not take, or a value that is not a number. */
export class DTypeError extends ThimbleError {}

/** An argument outside what it may be: a probability above 1, a negative learning rate, a NaN. */
export class ArgumentError extends ThimbleError {}

/** Arrays on different devices in one operation. */
export class DeviceError extends ThimbleError {}

/** The device asked for is not there: says what was looked for and what to do. */
export class DeviceUnavailableError extends ThimbleError {}

/** A native library that was never built, cannot be loaded, or is of another version. */
export class LibraryError extends ThimbleError {}

/** Use of an array after `dispose`, or outside the `tidy` that freed it. */
export class DisposedError extends ThimbleError {}

/** Neither the pool, nor the garbage collector, nor the system had the memory. */
export class OutOfMemoryError extends ThimbleError {}

/** Backward twice, from a tensor without gradient, or through an array that was modified in place. */
export class AutogradError extends ThimbleError {}

/** What is wrong with a file, and where. */
abstract class FileError extends ThimbleError {
  readonly file: string;
  /** Byte offset of the problem in the file, where there is one. */
  readonly offset: number | undefined;

  constructor(file: string, problem: string, { offset, ...details }: ErrorDetails & { offset?: number } = {}) {
    super(offset === undefined ? file : `${file}, byte ${offset}`, problem, details);
    this.file = file;
    this.offset = offset;
  }
}

/** A data set file that is missing, truncated, or something else than it should be. */
export class DatasetError extends FileError {}

/** A checkpoint that is truncated, malformed, or of another model. */
export class CheckpointError extends FileError {}

/** `(2, 3)`, and `(5,)` for one axis, `()` for a scalar, as NumPy prints shapes. */
export function formatShape(shape: readonly number[]): string {
  return shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
}
