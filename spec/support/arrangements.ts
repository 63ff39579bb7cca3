/**
 * The same elements in memory in different ways. Every operation must give the same result for all of them; the
 * surroundings of a slice are NaN (a huge index for integers), so that reading beside the view is noticed.
 */
import { type cpu, NDArray, Tensor } from "thimble";

import { numbers, type Recorded } from "./fixtures.ts";
import { Oracle } from "./oracle.ts";

/** What an NDArray, a Tensor and an Oracle have in common. */
interface Viewable<T> {
  readonly shape: readonly number[];
  permute(axes: readonly number[]): T;
  flip(axes: readonly number[]): T;
  slice(...ranges: readonly [number, number, number][]): T;
}

export interface Arrangement {
  readonly name: string;
  /** The array to store, such that `view` of it is `wanted`. */
  store(wanted: Oracle, surroundings: number): Oracle;
  view<T extends Viewable<T>>(stored: T): T;
}

const axesOf = (array: { readonly shape: readonly number[] }): number[] => array.shape.map((_, axis) => axis);
const reversed = <T extends Viewable<T>>(array: T): T => array.permute(axesOf(array).reverse());
const flipped = <T extends Viewable<T>>(array: T): T => array.flip(axesOf(array));
/** Every second element, from the second on. */
const spaced = <T extends Viewable<T>>(array: T): T =>
  array.slice(...array.shape.map((size): [number, number, number] => [1, size, 2]));

export const compact: Arrangement = { name: "compact", store: (wanted) => wanted, view: (stored) => stored };

export const arrangements: readonly Arrangement[] = [
  compact,
  { name: "permuted", store: reversed, view: reversed },
  { name: "flipped", store: flipped, view: flipped },
  {
    name: "spaced",
    store(wanted, surroundings) {
      const stored = Oracle.make(
        wanted.shape.map((size) => 2 * size + 1),
        () => surroundings,
      );
      spaced(stored).write(wanted);
      return stored;
    },
    view: spaced,
  },
];

/** A leaf that stores `record` as arranged, and the view of it that has the recorded elements. */
export function arrange(
  record: Recorded,
  arrangement: Arrangement,
  device: ReturnType<typeof cpu>,
  requiresGrad: boolean,
): { leaf: Tensor; view: Tensor } {
  const dtype = record.dtype ?? "float32";
  const stored = arrangement.store(Oracle.of(record.shape, numbers(record)), dtype === "int32" ? 2 ** 30 : NaN);
  const data = NDArray.from(stored.read(), { shape: stored.shape, dtype, device });
  const leaf = new Tensor(data, { requiresGrad });
  return { leaf, view: arrangement.view(leaf) };
}
