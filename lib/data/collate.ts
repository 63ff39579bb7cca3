/** Stacking examples into a batch. */
import { Tensor } from "../autograd/tensor.ts";
import { ArgumentError, DTypeError, ShapeError } from "../native/errors.ts";
import { standsFor } from "../native/prototype.ts";
import type { Device } from "../ndarray/device.ts";
import { type DType, isInt32 } from "../ndarray/dtype.ts";
import { sameShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { describe } from "../ndarray/operands.ts";
import { isPromise } from "../ndarray/scope.ts";
import type { Dataset, Example, Item, Stacked } from "./dataset.ts";
import type { RandomSource } from "./random.ts";

/** The examples at `indices`, stacked: in one go where the dataset can. */
export function readBatch<E extends Example>(
  dataset: Dataset<E>,
  indices: Int32Array,
  random: RandomSource,
  device: Device,
  numbers: DType | undefined,
): Stacked<E, NDArray> {
  if (dataset.batch !== undefined && standsFor(dataset, "batch", "get"))
    return dataset.batch(indices, random, device, numbers);
  const examples = Array.from(indices, (i) => dataset.get(i, random.at(i)));
  return collate(examples, device, numbers);
}

/**
 * The items of the examples, each stacked along a new first axis: arrays of one shape and dtype give an array
 * (N, …shape), and numbers give (N).
 * @param numbers the dtype of what numbers give. Default: int32 if all of an item are integers, else float32; so where
 * they may be any real numbers, say "float32": a batch in which all happen to be integers would be int32.
 * @throws ShapeError, DTypeError, ArgumentError for examples that do not stack.
 */
export function collate<E extends Example>(
  examples: readonly E[],
  device: Device,
  numbers?: DType,
): Stacked<E, NDArray> {
  const width = examples[0]?.length ?? 0;
  for (const example of examples) {
    if (Array.isArray(example) && example.length === width) continue;
    const found = Array.isArray(example) ? `lists of ${width} and of ${example.length}` : describe(example);
    const hint = isPromise(example) ? { hint: "get(i) must not be async" } : {};
    throw new ArgumentError("collate", `examples must be lists of items, such as [image, label], not ${found}`, hint);
  }
  const columns = Array.from({ length: width }, (_, k) =>
    stack(
      examples.map((example) => example[k]),
      device,
      numbers,
    ),
  );
  return columns as Stacked<E, NDArray>;
}

function stack(items: readonly (Item | undefined)[], device: Device, numbers: DType | undefined): NDArray {
  if (typeof items[0] === "number") return stackNumbers(items, device, numbers);
  return stackArrays(items.map(arrayOf), device);
}

function stackNumbers(items: readonly (Item | undefined)[], device: Device, dtype: DType | undefined): NDArray {
  const numbers = items.map((item) => {
    if (typeof item === "number") return item;
    throw new DTypeError("collate", `items of one batch must all be numbers or all be arrays, not ${describe(item)}`);
  });
  return NDArray.make("collate", numbers, { dtype: dtype ?? (numbers.every(isInt32) ? "int32" : "float32"), device });
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
