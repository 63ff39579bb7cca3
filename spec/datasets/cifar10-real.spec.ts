/** The real set, where it is at hand: in $THIMBLE_DATA, in the cache folder, or in ~/.cache/thimble-data. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { cacheFolder, CIFAR10Dataset } from "thimble/datasets";

import { locateFiles } from "../../datasets/cifar10-files.ts";

const local = join(homedir(), ".cache/thimble-data");
const root = [process.env["THIMBLE_DATA"], cacheFolder(), local].find((path) => path && locateFiles(path)) ?? null;
const small = join(root ?? local, "cifar-10-small.tar.gz");

function describeWhere(there: boolean, what: string, body: () => void): void {
  if (there) describe(what, body);
  else console.log(`Skipped, since the files are not in $THIMBLE_DATA, the cache folder, or ${local}: ${what}`);
}

/** Images of each class, and the mean of each channel over all of them. */
function summary(dataset: CIFAR10Dataset): { counts: number[]; means: number[] } {
  const counts = new Array<number>(10).fill(0);
  const sums = [0, 0, 0];
  const stride = Math.ceil(dataset.length / 2000);
  for (let i = 0; i < dataset.length; i += stride) {
    const [image, label] = dataset.get(i);
    counts[label]!++;
    image.toTypedArray().forEach((value, k) => (sums[k >> 10]! += value));
    image.dispose();
  }
  const images = Math.ceil(dataset.length / stride);
  return { counts, means: sums.map((sum) => sum / (images * 1024)) };
}

/** The published means of CIFAR-10's channels; a sample's are within 0.02 of them. */
function expectUsualImages(dataset: CIFAR10Dataset): void {
  const { counts, means } = summary(dataset);
  [0.4914, 0.4822, 0.4465].forEach((mean, c) => expect(Math.abs(means[c]! - mean)).toBeLessThan(0.02));
  for (const count of counts) expect(count).toBeGreaterThan(50);
}

describeWhere(root !== null, "CIFAR-10", () => {
  test("has five training images for each test image, and the channel means that are published", () => {
    const train = new CIFAR10Dataset(root!);
    const held = new CIFAR10Dataset(root!, { train: false });
    expect([50_000, 5000]).toContain(train.length);
    expect(held.length).toBe(train.length / 5);
    expectUsualImages(train);
    expectUsualImages(held);
  });
});

describeWhere(existsSync(small), "the archive with 1,000 images a batch", () => {
  test("is read as the whole one is", () => {
    const dataset = new CIFAR10Dataset(small);
    expect(dataset.length).toBe(5000);
    expectUsualImages(dataset);
    expect(new CIFAR10Dataset(small, { train: false }).length).toBe(1000);
  });
});
