/** The options with which arrays are made and moved: a dtype and a device. */
import { ArgumentError } from "../native/errors.ts";
import { Device } from "./device.ts";
import type { DType } from "./dtype.ts";
import type { Shape } from "./layout.ts";
import { checkOptions } from "./options.ts";

/** Where and as what an array is made. Defaults: float32, or int32 for integer typed arrays, on the CPU. */
export interface ArrayOptions {
  dtype?: DType | undefined;
  device?: Device | undefined;
}

/** Those of arrays made of values, whose shape may be another. */
export interface FromOptions extends ArrayOptions {
  shape?: Shape | undefined;
}

export const ARRAY_OPTIONS = ["dtype", "device"] as const;

/** Throws ArgumentError unless it is one. */
export function checkDevice(operation: string, device: unknown): asserts device is Device {
  if (!(device instanceof Device)) throw new ArgumentError(operation, "device must be a Device, such as cpu()");
}

/** What `to` was given, as options. */
export function readTarget(target: Device | ArrayOptions): ArrayOptions {
  if (target instanceof Device) return { device: target };
  if (typeof target === "object" && target !== null) return checkOptions("to", target, ARRAY_OPTIONS);
  throw new ArgumentError("to", `takes a device, such as cpu(), or { dtype, device }, not ${String(target)}`);
}
