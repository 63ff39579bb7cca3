/**
 * Data augmentation on images (channels, height, width).
 *
 * The transforms here only move pixels. So each first draws a {@link Placement}, which says where the pixels go, and a
 * dataset may draw those of a whole batch and leave the moving to one native call; `apply` does it for one image.
 */
import { ArgumentError, ShapeError } from "../native/errors.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { checkOptions } from "../ndarray/options.ts";
import { RandomSource } from "./random.ts";

/** Anything with this method is a transform. */
export interface Transform {
  /** @param random where to draw from; without it, from a generator that `manualSeed` determines. */
  apply(image: NDArray, random?: RandomSource): NDArray;
}

/** A transform, or a plain function of the image. */
export type TransformLike = Transform | ((image: NDArray, random?: RandomSource) => NDArray);

/** The list as transforms. @throws ArgumentError for what is neither a transform nor a function. */
export function toTransforms(operation: string, list: readonly TransformLike[]): Transform[] {
  const refuse = (): never => {
    throw new ArgumentError(
      operation,
      "transforms must be a list of functions, or of objects with a method apply(image)",
    );
  };
  if (!Array.isArray(list)) return refuse();
  return list.map((item: TransformLike) => {
    if (typeof item === "function") return { apply: item };
    return typeof item?.apply === "function" ? item : refuse();
  });
}

/**
 * The image is first mirrored left to right if `flip`; then pixel [y, x] of the result is [y + dy, x + dx] of it, or
 * zero outside.
 */
export interface Placement {
  flip: boolean;
  dy: number;
  dx: number;
}

/** A transform that only moves pixels. */
export abstract class PlacementTransform implements Transform {
  /** Whether it may shift the image, and so lose pixels. */
  abstract readonly shifts: boolean;

  /** Draws where the pixels go. */
  abstract draw(random: RandomSource): Placement;

  /** A new array with the pixels of `image` (channels, height, width) moved. */
  apply(image: NDArray, random: RandomSource = RandomSource.fresh()): NDArray {
    return place(image, this.draw(random));
  }
}

/** Mirrors the image left to right with probability `p`. */
export class RandomFlipHorizontal extends PlacementTransform {
  readonly shifts = false;

  readonly p: number;

  constructor(p = 0.5) {
    super();
    this.p = p;
    checkProbability("RandomFlipHorizontal", p);
  }

  draw(random: RandomSource): Placement {
    return { flip: random.uniform() < this.p, dy: 0, dx: 0 };
  }
}

/** Pads the image with `padding` zeros on all sides and crops it to its size again, at a uniformly random place. */
export class RandomCrop extends PlacementTransform {
  readonly shifts = true;
  readonly padding: number;

  constructor(options: { padding?: number | undefined } = {}) {
    super();
    const { padding = 3 } = checkOptions("RandomCrop", options, ["padding"]);
    if (!Number.isInteger(padding) || padding < 0 || padding > 2 ** 20) {
      throw new ArgumentError("RandomCrop", `padding must be an integer from 0 on, not ${String(padding)}`);
    }
    this.padding = padding;
  }

  draw(random: RandomSource): Placement {
    const dy = random.integer(-this.padding, this.padding);
    const dx = random.integer(-this.padding, this.padding);
    return { flip: false, dy, dx };
  }
}

/**
 * `second` after `first` as one placement. Exact unless both shift: then pixels that left the image would come back.
 */
export function compose(first: Placement, second: Placement): Placement {
  return {
    flip: first.flip !== second.flip,
    dy: first.dy + second.dy,
    dx: (second.flip ? -first.dx : first.dx) + second.dx,
  };
}

function place(image: NDArray, { flip, dy, dx }: Placement): NDArray {
  if (!(image instanceof NDArray)) throw new ArgumentError("transform", `expected an NDArray, not ${typeof image}`);
  if (image.ndim !== 3) {
    throw new ShapeError("transform", "expected an image (channels, height, width)", { shapes: [image.shape] });
  }
  const [, height, width] = image.shape as readonly [number, number, number];
  const out = NDArray.zeros(image.shape, image);
  const [fromY, toY, rows] = overlap(height, dy);
  const [fromX, toX, columns] = overlap(width, dx);
  if (rows <= 0 || columns <= 0) return out;
  using mirrored = flip ? image.flip(2) : image.alias();
  using part = mirrored.slice(null, [fromY, fromY + rows], [fromX, fromX + columns]);
  return out.set([null, [toY, toY + rows], [toX, toX + columns]], part);
}

/** Where a shift along an axis reads from, where it writes to, and how many. */
function overlap(size: number, shift: number): [from: number, to: number, count: number] {
  return [Math.max(shift, 0), Math.max(-shift, 0), size - Math.abs(shift)];
}

/** Throws ArgumentError unless `p` is in [0, 1]. */
export function checkProbability(operation: string, p: number): void {
  if (!(p >= 0 && p <= 1)) throw new ArgumentError(operation, `p must be a probability in [0, 1], not ${String(p)}`);
}
