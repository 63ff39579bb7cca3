/** What the machine can do at best, measured: the roofline that times are compared with (Williams et al., 2009). */
import { output } from "../toolchain.ts";
import { compile } from "./peers.ts";

export interface Machine {
  /** Peak of multiply-adds in registers, all threads together. */
  gflops: number;
  /** [bytes of the working set, GB/s read and written], by growing working set. */
  bandwidth: [bytes: number, gigabytes: number][];
}

/** Null without a C compiler. */
export function measureMachine(threads: number): Machine | null {
  const program = compile("machine.c", ["-O3", "-march=native", "-fopenmp"], ["-lm"]);
  const line = program === null ? null : output(program, [String(threads)]);
  return line === null ? null : JSON.parse(line);
}

/** The time that the machine would need at its peaks for that arithmetic and traffic, in milliseconds. */
export function rooflineMs({ gflops, bandwidth }: Machine, flops: number, bytes: number): number {
  const level = bandwidth.find(([size]) => size >= bytes) ?? bandwidth.at(-1);
  const traffic = level === undefined ? 0 : bytes / level[1];
  return Math.max(flops / gflops, traffic) / 1e6;
}
