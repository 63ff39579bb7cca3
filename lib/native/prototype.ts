/**
 * Which class gave an object what it has: a fast path that describes an inherited method must not stand for an
 * overriding one.
 */

/** The object in a chain of prototypes, from `start` on, that has the property itself; null where none has. */
export function definer(start: object, property: PropertyKey): object | null {
  for (let type: unknown = start; typeof type === "object" && type !== null; type = Object.getPrototypeOf(type))
    if (Object.hasOwn(type, property)) return type;
  return null;
}

/**
 * Whether `derived`, a method that stands for `original` where that is slower, knows the `original` that the object
 * has: it is of the same class, or of a subclass of it. An inherited one may stand for another.
 */
export function standsFor(object: object, derived: PropertyKey, original: PropertyKey): boolean {
  const type = definer(object, original);
  for (let of: unknown = definer(object, derived); of !== null; of = Object.getPrototypeOf(of))
    if (of === type) return true;
  return false;
}
