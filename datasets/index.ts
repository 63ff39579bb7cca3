/** Datasets: `import { CIFAR10Dataset } from "thimble/datasets"`. */
export { CIFAR10Dataset, type CIFAR10Options } from "./cifar10.ts";
export { cacheFolder, downloadCifar10, DownloadError, type DownloadOptions, locateCifar10 } from "./download.ts";
export { GeneratedImages, type GeneratedImagesOptions } from "./generated.ts";
export { batchify, Corpus, type CorpusOptions, END_OF_SENTENCE, getBatch } from "./corpus.ts";
export { Dictionary } from "./dictionary.ts";
