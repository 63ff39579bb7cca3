/**
 * Generated images in CIFAR-10's form, for trying things out and for tests where the real set is not at hand.
 *
 * Each class is a pattern (disc, ring, square, triangle, cross, and gratings in four directions and a checkerboard)
 * of random place, size and colours under noise, so a small network learns it in a minute, and not from one pixel.
 * They say nothing about accuracy on photographs.
 */
import { ImageDataset } from "../lib/data/image-dataset.ts";
import { RandomSource } from "../lib/data/random.ts";
import type { TransformLike } from "../lib/data/transforms.ts";
import { ArgumentError } from "../lib/native/errors.ts";
import { checkOptions } from "../lib/ndarray/options.ts";

export interface GeneratedImagesOptions {
  /** How many; class i mod 10 for image i. */
  count: number;
  /** Determines every pixel; an integer. Other seeds give other images of the same classes. Default 0. */
  seed?: number | undefined;
  transforms?: readonly TransformLike[] | undefined;
}

const SIDE = 32;
const NOISE = 40;

/** Whether the pattern covers the point (x, y), relative to its centre, in units of its size. */
type Pattern = (x: number, y: number) => boolean;

const stripe = (t: number): boolean => t - Math.floor(t) < 0.5;

const patterns: readonly (readonly [name: string, covers: Pattern])[] = [
  ["disc", (x, y) => x * x + y * y < 1],
  ["ring", (x, y) => x * x + y * y < 1.2 && x * x + y * y > 0.4],
  ["square", (x, y) => Math.max(Math.abs(x), Math.abs(y)) < 0.9],
  ["triangle", (x, y) => y < 0.8 && y > 2 * Math.abs(x) - 1],
  ["cross", (x, y) => Math.min(Math.abs(x), Math.abs(y)) < 0.3 && Math.max(Math.abs(x), Math.abs(y)) < 1.1],
  ["horizontal stripes", (_, y) => stripe(y)],
  ["vertical stripes", (x) => stripe(x)],
  ["rising stripes", (x, y) => stripe((x + y) * 0.7)],
  ["falling stripes", (x, y) => stripe((x - y) * 0.7)],
  ["checkerboard", (x, y) => stripe(x) !== stripe(y)],
];

/** Images (3, 32, 32) of ten simple patterns in random colours and places: what trains where there is no CIFAR-10. */
export class GeneratedImages extends ImageDataset {
  /** The classes' names, by label. */
  static readonly classes: readonly string[] = patterns.map(([name]) => name);

  constructor(options: GeneratedImagesOptions) {
    checkOptions("GeneratedImages", options, ["count", "seed", "transforms"]);
    const { count, seed = 0, transforms } = options;
    if (!Number.isInteger(count) || count < 0 || count > 1e6) {
      throw new ArgumentError("GeneratedImages", `count must be an integer in [0, 1000000], not ${String(count)}`);
    }
    if (!Number.isInteger(seed))
      throw new ArgumentError("GeneratedImages", `seed must be an integer, not ${String(seed)}`);
    const random = new RandomSource(seed);
    const imageBytes = 3 * SIDE * SIDE;
    const pixels = new Uint8Array(count * imageBytes);
    const labels = Uint8Array.from({ length: count }, (_, i) => i % patterns.length);
    labels.forEach((label, i) => {
      draw(pixels.subarray(i * imageBytes, (i + 1) * imageBytes), patterns[label]![1], random.at(i));
    });
    super({ name: "generated images (not CIFAR-10)", pixels, labels, shape: [3, SIDE, SIDE], transforms });
  }
}

function draw(image: Uint8Array, covers: Pattern, random: RandomSource): void {
  const size = 5 + 5 * random.uniform();
  const centerX = SIDE / 2 + random.integer(-5, 5);
  const centerY = SIDE / 2 + random.integer(-5, 5);
  // Light on dark or dark on light, at least 90 levels apart in every channel.
  const light = [0, 1, 2].map(() => random.integer(150, 255));
  const dark = [0, 1, 2].map(() => random.integer(0, 60));
  const [inside, outside] = random.uniform() < 0.5 ? [light, dark] : [dark, light];
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const color = covers((x - centerX) / size, (y - centerY) / size) ? inside : outside;
      for (let channel = 0; channel < 3; channel++) {
        const value = color[channel]! + random.integer(-NOISE, NOISE);
        image[(channel * SIDE + y) * SIDE + x] = Math.min(255, Math.max(0, value));
      }
    }
  }
}
