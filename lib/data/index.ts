/** Datasets, transforms, and the loader: the namespace `data`. */
export { collate } from "./collate.ts";
export { DataLoader, type DataLoaderOptions } from "./data-loader.ts";
export type { Dataset, Example, Item, Stacked } from "./dataset.ts";
export { ImageDataset, type ImageDatasetOptions } from "./image-dataset.ts";
export { type Column, NDArrayDataset } from "./ndarray-dataset.ts";
export { RandomSource } from "./random.ts";
export { randomSplit, Subset } from "./subset.ts";
export { RandomCrop, RandomFlipHorizontal, type Transform, type TransformLike } from "./transforms.ts";
