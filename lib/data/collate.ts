/** Stacking examples into a batch. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, DTypeError, ShapeError } from "../native/errors.ts";
import type { Device } from "../ndarray/device.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import type { Example, Item, Stacked } from "./dataset.ts";

/**
 * The items of the examples, each stacked along a new first axis: arrays of one shape and dtype give an array
 * (N, …shape), integers give int32 (N).
 * @throws ShapeError, DTypeError, ArgumentError for examples that do not stack.
 */
export function collate<E extends Example>(examples: readonly E[], device: Device): Stacked<E, NDArray> {
  const width = examples[0]?.length ?? 0;
  for (const example of examples) {
    if (!Array.isArray(example) || example.length !== width) {
      throw new ArgumentError("collate", `every example must be a list of ${width} items, such as [image, label]`);
    }
  }
  const columns = Array.from({ length: width }, (_, k) =>
    stack(
      examples.map((example) => example[k]),
      device,
    ),
  );
  return columns as Stacked<E, NDArray>;
}

function stack(items: readonly (Item | undefined)[], device: Device): NDArray {
  return typeof items[0] === "number" ? stackLabels(items, device) : stackArrays(items.map(arrayOf), device);
}

function stackLabels(items: readonly (Item | undefined)[], device: Device): NDArray {
  const out = new Int32Array(items.length);
  for (let i = 0; i < items.length; i++) {
    const label = items[i];
    if (typeof label !== "number" || label !== (label | 0)) {
      throw new DTypeError("collate", `a label must be a 32-bit integer, not ${String(label)}`, {
        hint: "Give real-valued targets as arrays: NDArray.from([0.5])",
      });
    }
    out[i] = label;
  }
  return NDArray.from(out, { device });
}

function stackArrays(arrays: readonly NDArray[], device: Device): NDArray {
  const { shape, dtype } = arrays[0]!;
  const out = NDArray.empty([arrays.length, ...shape], { dtype, device });
  arrays.forEach((array, i) => {
    if (!sameShape(array.shape, shape)) {
      throw new ShapeError("collate", "examples of one batch must have one shape", { shapes: [shape, array.shape] });
    }
    if (array.dtype !== dtype) {
      throw new DTypeError("collate", `examples of one batch must have one dtype, not ${dtype} and ${array.dtype}`);
    }
    out.set(i, array);
  });
  return out;
}

function arrayOf(item: Item | undefined): NDArray {
  if (item instanceof NDArray) return item;
  if (item instanceof Tensor) return item.data;
  if (ArrayBuffer.isView(item) || Array.isArray(item)) return NDArray.from(item);
  throw new ArgumentError(
    "collate",
    `an item of an example must be an array, a tensor, numbers, or an integer, not ${typeof item}`,
  );
}
