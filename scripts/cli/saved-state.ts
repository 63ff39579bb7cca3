/** Reading the state that a training script saved in a checkpoint: what is not as it must be is named. */
import { type Json, readCheckpointState } from "../../lib/checkpoint/index.ts";
import { CheckpointError } from "../../lib/index.ts";
import { hyphenated } from "./options.ts";

type JsonObject = { readonly [key: string]: Json | undefined };

/** An object of a saved state. Every reader throws CheckpointError when the value is missing or another one. */
export class SavedState {
  private readonly file: string;
  private readonly command: string;
  private readonly values: JsonObject;

  private constructor(file: string, command: string, values: JsonObject) {
    this.file = file;
    this.command = command;
    this.values = values;
  }

  /** The state in a file of `command`, which is `train-resnet` or another script. */
  static read(file: string, command: string): SavedState {
    const state = readCheckpointState(file);
    return new SavedState(file, command, isObject(state) ? state : {});
  }

  child(key: string): SavedState {
    const value = this.values[key];
    return new SavedState(this.file, this.command, isObject(value) ? value : this.refuse(key));
  }

  has(key: string): boolean {
    return this.values[key] !== undefined;
  }

  /** Any number: a loss may have become NaN. */
  figure(key: string): number {
    const value = this.values[key];
    return typeof value === "number" ? value : this.refuse(key);
  }

  /** A number of at least 0. */
  number(key: string): number {
    const value = this.values[key];
    return typeof value === "number" && value >= 0 ? value : this.refuse(key);
  }

  figureOrNull(key: string): number | null {
    return this.values[key] === null ? null : this.figure(key);
  }

  /** An integer of at least `low`. */
  count(key: string, low = 0): number {
    const value = this.number(key);
    return Number.isSafeInteger(value) && value >= low ? value : this.refuse(key);
  }

  text(key: string): string {
    const value = this.values[key];
    return typeof value === "string" ? value : this.refuse(key);
  }

  texts(key: string): string[] {
    const value = this.values[key];
    const list: readonly Json[] = Array.isArray(value) ? value : this.refuse(key);
    return list.map((item) => (typeof item === "string" ? item : this.refuse(key)));
  }

  flag(key: string): boolean {
    const value = this.values[key];
    return typeof value === "boolean" ? value : this.refuse(key);
  }

  choice<const Name extends string>(key: string, names: readonly Name[]): Name {
    return names.find((name) => name === this.values[key]) ?? this.refuse(key);
  }

  private refuse(key: string): never {
    throw new CheckpointError(this.file, `its state has no usable '${key}'`, {
      hint: `It must be a file of ${this.command}`,
    });
  }
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The options of a resumed run: the saved ones, but those of `free` as on the command line if given.
 * @throws CheckpointError when another option was given and differs: the steps would not fit together.
 */
export function mergeOptions<Run extends object>(
  file: string,
  saved: Run,
  options: Run,
  given: ReadonlySet<string>,
  free: readonly (keyof Run)[],
): Run {
  const merged = { ...saved };
  for (const key of Object.keys(saved) as (keyof Run & string)[]) {
    if (!given.has(key) || options[key] === saved[key]) continue;
    if (free.includes(key)) merged[key] = options[key];
    else {
      const option = `--${hyphenated(key)}`;
      throw new CheckpointError(file, `the run was made with ${option} ${saved[key]}, not ${options[key]}`, {
        hint: "Leave the option out, or start anew without --resume",
      });
    }
  }
  return merged;
}
