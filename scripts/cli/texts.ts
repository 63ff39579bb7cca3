/** Where train-lm gets its texts: a file, a folder, the cache, a download, or generated ones. */
import { basename, join } from "node:path";

import {
  Corpus,
  downloadPtb,
  GeneratedText,
  isPtb,
  locatePtb,
  TextCorpus,
  type TextSet,
} from "../../datasets/index.ts";
import { downloadOrNull } from "./download.ts";

export interface Texts extends TextSet {
  /** "Penn Treebank", or what says that it is not. */
  name: string;
}

export interface TextOptions {
  data?: string | undefined;
  text?: string | undefined;
  vocabSize: number;
  generated: boolean;
  limit?: number | undefined;
  progress: boolean;
  signal: AbortSignal;
}

/** The texts that the options ask for. @throws DatasetError when what is given cannot be read. */
export async function findTexts(options: TextOptions): Promise<Texts> {
  const { text, vocabSize, limit } = options;
  if (text !== undefined) {
    return named(`the text ${basename(text)}`, new TextCorpus(text, { vocabSize, maxLines: limit }));
  }
  const root = options.generated ? null : (locatePtb(options.data) ?? (await downloaded(options)));
  if (root === null) return new GeneratedText({ sentences: limit });
  return named(
    isPtb(root) ? "Penn Treebank" : `the corpus ${basename(join(root, "."))}`,
    new Corpus(root, { maxLines: limit }),
  );
}

const named = (name: string, { dictionary, train, valid, test }: TextSet): Texts => ({
  name,
  dictionary,
  train,
  valid,
  test,
});

const downloaded = (options: TextOptions): Promise<string | null> =>
  downloadOrNull(
    {
      ...options,
      name: "The Penn Treebank",
      megabytes: 35,
      instead: "a GENERATED TEXT: the perplexity below says nothing about the Penn Treebank",
    },
    downloadPtb,
  );
