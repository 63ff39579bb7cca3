/** Checks that operations on several arrays share. */
import { DeviceError } from "../native/errors.ts";
import type { NDArray } from "./ndarray.ts";

/** Throws unless both arrays are on one device. */
export function sameDevice(operation: string, a: NDArray, b: NDArray): void {
  if (a.device !== b.device) {
    throw new DeviceError(operation, `arrays are on ${a.device} and ${b.device}`, {
      shapes: [a.shape, b.shape],
      hint: "Move one with to(device)",
    });
  }
}

/** What an argument of the wrong kind is, for an error message. */
export function describe(value: unknown): string {
  if (typeof value === "function") return value.name === "" ? "a function" : `the function ${value.name}`;
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "object" && value !== null ? (value.constructor?.name ?? "an object") : String(value);
}
