/** Datasets: `import { CIFAR10Dataset } from "thimble/datasets"`. */
export { CIFAR10Dataset, type CIFAR10Options } from "./cifar10.ts";
export { downloadCifar10, locateCifar10 } from "./cifar10-download.ts";
export { type ArchiveOptions, cacheFolder, DownloadError, type DownloadOptions } from "./download.ts";
export { GeneratedImages, type GeneratedImagesOptions } from "./generated.ts";
export { batchify, getBatch } from "../lib/data/chunks.ts";
export { Corpus, type CorpusOptions } from "./corpus.ts";
export { Dictionary } from "./dictionary.ts";
export { GeneratedText, type GeneratedTextOptions } from "./generated-text.ts";
export { downloadPtb, isPtb, locatePtb, type PtbDownloadOptions } from "./ptb.ts";
export { END_OF_SENTENCE, type TextSet, UNKNOWN } from "./text.ts";
export { TextCorpus, type TextCorpusOptions } from "./text-corpus.ts";
