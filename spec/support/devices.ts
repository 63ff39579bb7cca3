/** The devices that every operation's spec runs on. */
import { describe } from "bun:test";
import { cpu, cuda } from "thimble";

type Device = ReturnType<typeof cpu>;

export const devices: readonly Device[] = cuda.isAvailable() ? [cpu(), cuda()] : [cpu()];

if (devices.length === 1) console.log("There is no CUDA device here: the specs run on the CPU only.");

/** A `describe` for each device. */
export function onEachDevice(name: string, body: (device: Device) => void): void {
  for (const device of devices) describe(`${name} on ${device}`, () => body(device));
}
