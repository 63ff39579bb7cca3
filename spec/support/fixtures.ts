/** Numbers recorded from PyTorch by spec/fixtures/generate.py. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** An array as the fixtures have it. "NaN", "Infinity" and "-Infinity" stand for themselves. */
export interface Recorded {
  readonly shape: readonly number[];
  readonly values: readonly (number | string)[];
  readonly dtype?: "int32";
}

/** One operation on some inputs; gradients are those of sum(outputs · seeds), null for integer inputs. */
export interface OpCase<Options> {
  readonly op: string;
  readonly options: Options;
  readonly inputs: readonly Recorded[];
  readonly outputs: readonly Recorded[];
  readonly seeds?: readonly Recorded[];
  readonly gradients?: readonly (Recorded | null)[];
}

export function load<T>(family: string): T {
  return JSON.parse(readFileSync(join(import.meta.dir, `../fixtures/${family}.json`), "utf8"));
}

/** The recorded values as numbers. */
export const numbers = (record: Recorded): number[] => record.values.map(Number);
