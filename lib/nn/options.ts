/** What the options of all modules have in common. */
import { ArgumentError, DTypeError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import { MAX_SIZE } from "../ndarray/layout.ts";
import { describe } from "../ndarray/operands.ts";
import { checkFlag, checkOptions } from "../ndarray/options.ts";

/** What every module's options take. */
export interface ModuleOptions {
  /** Of its parameters. Default cpu(). */
  device?: Device | undefined;
  /** Default, and all there is: "float32". */
  dtype?: "float32" | undefined;
}

/**
 * The options of a module that has those named `own` besides {@link ModuleOptions}. @throws ArgumentError,
 * DTypeError.
 */
export function checkModuleOptions<O extends ModuleOptions>(
  module: string,
  options: O,
  own: readonly (keyof O & string)[] = [],
): O {
  const { dtype } = checkOptions(module, options, [...own, "device", "dtype"]);
  if (dtype !== undefined && dtype !== "float32")
    throw new DTypeError(module, `dtype must be "float32", not ${describe(dtype)}`);
  if ("bias" in options) checkFlag(module, "bias", options.bias);
  return options;
}

/** Throws unless a module's size is a positive integer. */
export function checkSize(module: string, name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > MAX_SIZE) {
    throw new ArgumentError(module, `${name} must be a positive integer, not ${describe(value)}`);
  }
}
