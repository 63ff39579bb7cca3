/**
 * How long the threads of a kernel wait for each other before they sleep.
 *
 * GNU's OpenMP lets them spin for milliseconds, so that a thread that another program keeps from its processor holds up
 * all the others, and they in turn use up their share of time waiting: beside one busy neighbour, an LSTM's training
 * step took 776 ms instead of 33. Waiting for about 0.1 ms costs nothing on a quiet machine; that step then took 124
 * ms.
 */
import { dlopen } from "bun:ffi";

/** Turns of libgomp's waiting loop, about 10 ns each. */
const SPIN_COUNT = "10000";

/**
 * Sets it, unless the user did, for a run-time library that is loaded after this. libgomp reads the environment of the
 * process, which assigning to process.env does not change.
 */
export function limitSpinning(): void {
  if (process.platform !== "linux" || process.env["GOMP_SPINCOUNT"] || process.env["OMP_WAIT_POLICY"]) return;
  const cString = (text: string) => new TextEncoder().encode(`${text}\0`);
  let libc;
  try {
    libc = dlopen("libc.so.6", { setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" } });
  } catch {
    return; // another C library: only the time to wait stays as it was
  }
  libc.symbols.setenv(cString("GOMP_SPINCOUNT"), cString(SPIN_COUNT), 0);
}
