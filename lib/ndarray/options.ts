/**
 * Options come last, as one object. What is no object, and a name that nobody reads, would silently mean the defaults: both
 * are refused, by every function that takes options.
 */
import { ArgumentError } from "../native/errors.ts";
import { describe } from "./operands.ts";

/** `options` itself. @throws ArgumentError unless it is an object that has no other names than those `known`. */
export function checkOptions<O extends object>(operation: string, options: O, known: readonly (keyof O & string)[]): O {
  const names: readonly string[] = known;
  const refuse = (problem: string): never => {
    throw new ArgumentError(operation, problem, { hint: `The options are ${names.join(", ")}` });
  };
  if (typeof options !== "object" || options === null || Array.isArray(options))
    refuse(`options must be an object, not ${Array.isArray(options) ? "a list" : describe(options)}`);
  for (const name in options) {
    if (names.includes(name)) continue;
    const isPlain = options.constructor === undefined || options.constructor === Object;
    refuse(isPlain ? `there is no option '${name}'` : `options must be an object, not ${describe(options)}`);
  }
  return options;
}
