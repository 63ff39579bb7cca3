/** Images kept as bytes: 3 KB for a 32 × 32 image instead of 12 KB, and one native call for a whole batch. */
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { check } from "../native/status.ts";
import { cpu, type Device } from "../ndarray/device.ts";
import type { DType } from "../ndarray/dtype.ts";
import { checkShape } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkOptions } from "../ndarray/options.ts";
import { collate } from "./collate.ts";
import { checkIndex, type Dataset } from "./dataset.ts";
import { RandomSource } from "./random.ts";
import {
  compose,
  type Placement,
  PlacementTransform,
  toTransforms,
  type Transform,
  type TransformLike,
} from "./transforms.ts";

export interface ImageDatasetOptions {
  /** What the images are, for logs. */
  name: string;
  /** Bytes of all images one after another, each (channels, height, width). */
  pixels: Uint8Array;
  /** A label for each image. */
  labels: Uint8Array;
  /** (channels, height, width). */
  shape: readonly [number, number, number];
  /** Applied in order to every image that is read. */
  transforms?: readonly TransformLike[] | undefined;
}

const STILL: Placement = { flip: false, dy: 0, dx: 0 };

/** A dataset of labelled images: `get(i)` is [NDArray (channels, height, width), float32 in [0, 1]; label]. */
export class ImageDataset implements Dataset<readonly [NDArray, number]> {
  readonly name: string;
  readonly length: number;
  readonly shape: readonly [number, number, number];
  readonly transforms: readonly Transform[];
  private readonly pixels: Uint8Array;
  private readonly labels: Uint8Array;
  /** The transforms, if a batch's can be drawn up as one placement for each image. */
  private readonly placements: readonly PlacementTransform[] | null;

  /** @throws ArgumentError for bytes that are no Uint8Array, ShapeError where they are not `labels.length` images. */
  constructor(options: ImageDatasetOptions) {
    const names = ["name", "pixels", "labels", "shape", "transforms"] as const;
    const { name, pixels, labels, shape, transforms = [] } = checkOptions("ImageDataset", options, names);
    if (typeof name !== "string") throw new ArgumentError("ImageDataset", "name must be a string");
    if (!(pixels instanceof Uint8Array && labels instanceof Uint8Array))
      throw new ArgumentError(name, "pixels and labels must each be a Uint8Array");
    if (checkShape(name, shape).length !== 3)
      throw new ShapeError(name, "the shape must be (channels, height, width)", { shapes: [shape] });
    if (pixels.length !== labels.length * shape[0] * shape[1] * shape[2]) {
      const problem = `${pixels.length} bytes are not ${labels.length} images`;
      throw new ShapeError(name, problem, { shapes: [shape] });
    }
    this.name = name;
    this.length = labels.length;
    this.shape = [shape[0], shape[1], shape[2]]; // the caller may write into the list
    this.transforms = toTransforms(name, transforms);
    this.pixels = pixels;
    this.labels = labels;
    this.placements = placementsOf(this.transforms);
  }

  get(i: number, random?: RandomSource): [NDArray, number] {
    checkIndex(this.name, i, this.length);
    const { placements, transforms } = this;
    const source = transforms.length === 0 ? null : (random ?? RandomSource.fresh());
    const plan = Int32Array.of(i, 0, 0, 0);
    if (source !== null && placements !== null) this.draw(placements, plan, 0, source);
    using images = this.gather(plan, cpu());
    let image = images.slice(0);
    if (source !== null && placements === null) {
      for (const transform of transforms) image = transform.apply(image, source);
    }
    return [image, this.labels[i]!];
  }

  /**
   * Images (N, channels, height, width), a view of memory in the order N, height, width, channels; and labels (N)
   * int32, unless `numbers` says otherwise.
   */
  batch(indices: Int32Array, random: RandomSource, device: Device, numbers: DType = "int32"): [NDArray, NDArray] {
    for (const i of indices) checkIndex(this.name, i, this.length);
    const { placements } = this;
    if (placements === null) {
      const examples = Array.from(indices, (i) => this.get(i, random.at(i)));
      return collate(examples, device, numbers);
    }
    const plan = new Int32Array(4 * indices.length);
    const labels = new Int32Array(indices.length);
    for (let row = 0; row < indices.length; row++) {
      const i = indices[row]!;
      plan[4 * row] = i;
      labels[row] = this.labels[i]!;
      if (placements.length > 0) this.draw(placements, plan, row, random.at(i));
    }
    return [this.gather(plan, device), NDArray.from(labels, { device, dtype: numbers })];
  }

  /** Draws one image's placement into its row of the plan. */
  private draw(placements: readonly PlacementTransform[], plan: Int32Array, row: number, random: RandomSource): void {
    let placement = STILL;
    for (const transform of placements) placement = compose(placement, transform.draw(random));
    plan[4 * row + 1] = placement.flip ? 1 : 0;
    plan[4 * row + 2] = placement.dy;
    plan[4 * row + 3] = placement.dx;
  }

  private gather(plan: Int32Array, device: Device): NDArray {
    const [channels, height, width] = this.shape;
    const count = plan.length / 4;
    if (this.pixels.length !== this.length * channels * height * width) {
      const problem = "the memory of the pixels was transferred or resized since the dataset was made";
      throw new ShapeError(this.name, problem, { shapes: [this.shape] });
    }
    using images = NDArray.empty([count, height, width, channels], { device });
    const { backend } = device;
    if (count > 0) {
      const status = backend.th_gather_images(images.pointer, this.pixels, plan, count, channels, height, width);
      check(status, backend, this.name);
    }
    return images.permute([0, 3, 1, 2]);
  }
}

/** All transforms, if each only moves pixels and at most one shifts them (see {@link compose}); else null. */
function placementsOf(transforms: readonly Transform[]): readonly PlacementTransform[] | null {
  const placements = transforms.filter(
    (transform): transform is PlacementTransform =>
      transform instanceof PlacementTransform && transform.apply === PlacementTransform.prototype.apply,
  );
  const shifts = placements.filter((transform) => transform.shifts).length;
  return placements.length === transforms.length && shifts <= 1 ? placements : null;
}
