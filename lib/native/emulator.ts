/**
 * The CUDA variant on the CPU, for tests on machines without a graphics card: THIMBLE_CUDA=emulated makes cuda() load
 * it. THIMBLE_EMULATOR, a list with commas, says how it runs: "forward", "reverse" or "random" (or "random:SEED"),
 * the order of threads and blocks; "lazy", so that work waits for a synchronisation.
 */
import { dlopen } from "bun:ffi";

import { LibraryError } from "./errors.ts";

const orders = ["forward", "reverse", "random"];

/** Whether the environment asks for the emulated device. */
export function emulated(): boolean {
  const variant = process.env["THIMBLE_CUDA"];
  if (variant && variant !== "emulated") {
    throw new LibraryError("THIMBLE_CUDA", `'${variant}' is not 'emulated', the only variant to choose`);
  }
  return variant === "emulated";
}

/** Passes THIMBLE_EMULATOR to the loaded library. */
export function configureEmulator(path: string): void {
  let [order, seed, lazy] = [0, 1, 0];
  for (const option of (process.env["THIMBLE_EMULATOR"] ?? "").split(",").filter((text) => text !== "")) {
    const [name = "", value = "1"] = option.split(":");
    if (orders.includes(name) && /^\d+$/.test(value)) [order, seed] = [orders.indexOf(name), Number(value)];
    else if (option === "lazy") lazy = 1;
    else throw new LibraryError("THIMBLE_EMULATOR", `'${option}' is none of ${orders.join(", ")}, random:SEED, lazy`);
  }
  // csrc/emulator/emulator.h: this one function is not part of the ABI that all libraries share.
  const { symbols } = dlopen(path, { th_emulator_configure: { args: ["i32", "i32", "i32", "i32"], returns: "i32" } });
  symbols.th_emulator_configure(order, seed, lazy, 0);
}
