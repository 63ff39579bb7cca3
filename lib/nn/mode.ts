/** Training and inference behaviour of whole models. */
import { type Module, partsOf } from "./module.ts";

/** Runs `fn` with a module, and all inside, in training or in inference behaviour; then each of them is as it was. */
export function inMode<R>(module: Module, training: boolean, fn: () => R): R {
  const modes = modesOf(module);
  const before = modes.read();
  module.train(training);
  try {
    return fn();
  } finally {
    modes.write(before);
  }
}

/** The modes of a module and of all inside: whether each behaves as in training. */
export function modesOf(module: Module): { read(): boolean[]; write(modes: readonly boolean[]): void } {
  const all = new Set([module]);
  for (const each of all) for (const [, child] of partsOf(each).modules) all.add(child); // the set grows as it is read
  const modules = [...all];
  return {
    read: () => modules.map(({ training }) => training),
    write: (modes) => modules.forEach((each, i) => (each.training = modes[i]!)),
  };
}
