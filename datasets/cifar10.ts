/**
 * CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009): 50,000 training and 10,000 test
 * images of 32 × 32 pixels in 10 classes.
 */
import { ImageDataset } from "../lib/data/image-dataset.ts";
import { checkProbability, RandomCrop, RandomFlipHorizontal, type TransformLike } from "../lib/data/transforms.ts";
import { ArgumentError } from "../lib/native/errors.ts";
import { checkFlag, checkOptions } from "../lib/ndarray/options.ts";
import { type Batch, IMAGE_BYTES, readBatches } from "./cifar10-files.ts";

export interface CIFAR10Options {
  /** The training images, or the test images. Default true. */
  train?: boolean | undefined;
  /**
   * Applied in order to every image that is read. "standard" stands for the usual augmentation of CIFAR-10 (He et al.,
   * "Deep Residual Learning", 2016): mirrored with probability `p`, then padded by 4 and cropped at a random place.
   * Default: none, images are as they are in the file.
   */
  transforms?: readonly TransformLike[] | "standard" | undefined;
  /** The probability of mirroring in the "standard" augmentation; nothing else is touched by it. Default 0.5. */
  p?: number | undefined;
}

/**
 * CIFAR-10 (Krizhevsky, 2009): 50,000 training or 10,000 test images of ten classes, `get(i)`: `[NDArray (3, 32, 32)
 * in [0, 1], label]`.
 */
export class CIFAR10Dataset extends ImageDataset {
  /** The classes' names, by label. */
  static readonly classes = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
  ] as const;

  /**
   * Reads the files, which takes a second and 180 MB for the whole set; an archive is unpacked in memory.
   * @param root a folder that holds `cifar-10-batches-py` or `cifar-10-batches-bin`, or is one of them, or holds the
   * official archive of either; or the archive. A set with fewer images in the same format is read as well.
   * @throws DatasetError with file, byte offset and what was expected, when a file is missing or not as it should be.
   */
  constructor(root: string, options: CIFAR10Options = {}) {
    checkOptions("CIFAR10Dataset", options, ["train", "transforms", "p"]);
    const { train = true, transforms = [], p = 0.5 } = options;
    if (typeof root !== "string" || root === "") throw new ArgumentError("CIFAR10Dataset", "root must be a path");
    checkFlag("CIFAR10Dataset", "train", train);
    checkProbability("CIFAR10Dataset", p);
    super({
      ...join(readBatches(root, train)),
      name: `CIFAR-10 ${train ? "train" : "test"}`,
      shape: [3, 32, 32],
      transforms:
        transforms === "standard" ? [new RandomFlipHorizontal(p), new RandomCrop({ padding: 4 })] : transforms,
    });
    Bun.gc(true); // an archive leaves 350 MB of garbage, which would still be there while the next one is unpacked
  }
}

/** All batches in one. */
function join(batches: readonly Batch[]): Batch {
  const count = batches.reduce((sum, { labels }) => sum + labels.length, 0);
  const pixels = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  let at = 0;
  for (const batch of batches) {
    pixels.set(batch.pixels, at * IMAGE_BYTES);
    labels.set(batch.labels, at);
    at += batch.labels.length;
  }
  return { pixels, labels };
}
