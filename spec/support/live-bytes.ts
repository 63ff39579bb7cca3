/** Bytes that a device's arrays hold, when what earlier specs have left is collected. */
import { type Device } from "thimble";

/**
 * Collects until nothing more is found, so that a later count can only be larger for what the spec itself did. Compare
 * with at most, never for equality: the collector sees the stack only approximately, and may find something later on.
 */
export function liveBytes(device: Device): number {
  let live = Infinity;
  for (;;) {
    Bun.gc(true);
    const now = device.memory().live;
    if (now >= live) return now;
    live = now;
  }
}
