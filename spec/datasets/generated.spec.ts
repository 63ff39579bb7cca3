import { describe, expect, test } from "bun:test";
import { ArgumentError, cpu, data } from "thimble";
import { GeneratedImages } from "thimble/datasets";

import { thrown } from "../support/thrown.ts";

const everything = (dataset: GeneratedImages) => {
  const [x, y] = dataset.batch(
    Int32Array.from({ length: dataset.length }, (_, i) => i),
    new data.RandomSource(0),
    cpu(),
  );
  return { x: x.toTypedArray() as Float32Array, y: y.toTypedArray() as Int32Array };
};

describe("generated images", () => {
  test("have CIFAR-10's form and say what they are", () => {
    const dataset = new GeneratedImages({ count: 25 });
    const [image, label] = dataset.get(13);
    expect([dataset.length, image.shape, image.dtype, label]).toEqual([25, [3, 32, 32], "float32", 3]);
    expect(dataset.name).toContain("not CIFAR-10");
    expect(GeneratedImages.classes).toHaveLength(10);
    const values = image.toTypedArray();
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThanOrEqual(1);
  });

  test("are determined by the seed, and an image by its number alone", () => {
    const a = everything(new GeneratedImages({ count: 20, seed: 4 }));
    expect(everything(new GeneratedImages({ count: 20, seed: 4 }))).toEqual(a);
    expect(everything(new GeneratedImages({ count: 10, seed: 4 })).x).toEqual(a.x.slice(0, 10 * 3072));
    expect(everything(new GeneratedImages({ count: 20, seed: 5 })).x).not.toEqual(a.x);
  });

  test("can be learnt: the nearest of 400 others, by shape, is of the right class far more often than by chance", () => {
    const known = everything(new GeneratedImages({ count: 400, seed: 1 }));
    const asked = everything(new GeneratedImages({ count: 50, seed: 2 }));
    let right = 0;
    for (let i = 0; i < 50; i++) {
      const nearest = nearestImage(asked.x.subarray(i * 3072, (i + 1) * 3072), known.x);
      if (known.y[nearest] === asked.y[i]) right++;
    }
    expect(right).toBeGreaterThan(15);
  });

  test("arguments that make no sense are ArgumentErrors", () => {
    for (const options of [{ count: -1 }, { count: NaN }, { count: 1e9 }, { count: 1, seed: 0.5 }]) {
      expect(thrown(() => new GeneratedImages(options))).toBeInstanceOf(ArgumentError);
    }
  });
});

/** The most similar of `images`, where only what is light and what is dark in the first channel counts. */
function nearestImage(image: Float32Array, images: Float32Array): number {
  let best = -1;
  let least = Infinity;
  for (let j = 0; j < images.length / 3072; j++) {
    let different = 0;
    for (let k = 0; k < 1024; k++) different += image[k]! > 0.45 === images[j * 3072 + k]! > 0.45 ? 0 : 1;
    const distance = Math.min(different, 1024 - different); // light on dark is as good as dark on light
    if (distance < least) [least, best] = [distance, j];
  }
  return best;
}
