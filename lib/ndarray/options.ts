/**
 * Options come last, as one object. What is no object, and a name that nobody reads, would silently mean the
 * defaults: both are refused, by every function that takes options.
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
    if (names.includes(name) || (options as Record<string, unknown>)[name] === undefined) continue; // as if left out
    refuse(
      hasMethods(options) ? `options must be an object, not ${describe(options)}` : `there is no option '${name}'`,
    );
  }
  return options;
}

/** Throws unless a switch is true or false, or left out: what merely counts as true would be a mistake. */
export function checkFlag(operation: string, name: string, value: unknown): void {
  if (typeof value === "boolean" || value === undefined) return;
  throw new ArgumentError(operation, `${name} must be true or false, not ${describe(value)}`);
}

/**
 * Whether it has methods, as a device, an array or a module: somebody took the options' place for that of another
 * argument.
 */
function hasMethods(value: object): boolean {
  const type: unknown = Object.getPrototypeOf(value);
  return type !== null && type !== Object.prototype && Object.getOwnPropertyNames(type).length > 1;
}
