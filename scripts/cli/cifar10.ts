/** Where the training script gets its images: a folder, the cache, a download, or generated ones. */
import { statSync } from "node:fs";

import type { data } from "../../lib/index.ts";
import {
  CIFAR10Dataset,
  downloadCifar10,
  DownloadError,
  GeneratedImages,
  locateCifar10,
} from "../../datasets/index.ts";
import { showProgress, silent } from "./progress.ts";

type ImageSet = data.ImageDataset | Limited;

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
