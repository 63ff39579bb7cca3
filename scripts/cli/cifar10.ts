/** Where the training script gets its images: a folder, the cache, a download, or generated ones. */
import { CIFAR10Dataset, downloadCifar10, GeneratedImages, locateCifar10 } from "../../datasets/index.ts";
import { data, type NDArray } from "../../lib/index.ts";
import { downloadOrNull } from "./download.ts";

export type ImageSet = data.Dataset<readonly [NDArray, number]>;

export interface Images {
  /** "CIFAR-10", or what says that it is not. */
  name: string;
  train: ImageSet;
  test: ImageSet;
}

export interface ImageOptions {
  data?: string | undefined;
  generated: boolean;
  limit?: number | undefined;
  augment: boolean;
  seed: number;
  progress: boolean;
  signal: AbortSignal;
}

/** Generated sets are smaller than the real ones, so that making them takes a few seconds. */
const GENERATED = { train: 10_000, test: 2_000 };

/** The images that the options ask for. @throws DatasetError when what is given cannot be read. */
export async function findImages(options: ImageOptions): Promise<Images> {
  const root = options.generated ? null : (locateCifar10(options.data) ?? (await downloaded(options)));
  const images = root === null ? generatedImages(options) : officialImages(root, options);
  const { limit = Infinity } = options;
  return { ...images, train: firstOf(images.train, limit), test: firstOf(images.test, limit) };
}

function officialImages(root: string, { augment }: ImageOptions): Images {
  const train = new CIFAR10Dataset(root, { train: true, transforms: augment ? "standard" : [] });
  return { name: "CIFAR-10", train, test: new CIFAR10Dataset(root, { train: false }) };
}

function generatedImages({ augment, limit = Infinity }: ImageOptions): Images {
  const transforms = augment ? [new data.RandomFlipHorizontal(), new data.RandomCrop({ padding: 4 })] : [];
  const train = new GeneratedImages({ count: Math.min(limit, GENERATED.train), seed: 1, transforms });
  const test = new GeneratedImages({ count: Math.min(limit, GENERATED.test), seed: 2 });
  return { name: train.name, train, test };
}

const downloaded = (options: ImageOptions): Promise<string | null> =>
  downloadOrNull(
    {
      ...options,
      name: "CIFAR-10",
      megabytes: 170,
      instead: "GENERATED IMAGES: the accuracy below says nothing about CIFAR-10",
    },
    downloadCifar10,
  );

/** The first `count` examples of a dataset. */
function firstOf(dataset: ImageSet, count: number): ImageSet {
  if (dataset.length <= count) return dataset;
  const get: ImageSet["get"] = (i, random) => dataset.get(i, random);
  if (dataset.batch === undefined) return { length: count, get };
  return { length: count, get, batch: dataset.batch.bind(dataset) };
}
