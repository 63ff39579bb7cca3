/** Texts and language models. */
import { NDArray } from "thimble";
import { batchify, Corpus, Dictionary, GeneratedText, getBatch, TextCorpus } from "thimble/datasets";
import { generate, LanguageModel } from "thimble/models";

import { add, ids, notNumbers, notTensors, show, t, wrong } from "./table.ts";

const words = (): NDArray => NDArray.zeros([4, 2], { dtype: "int32" });
const model = (seqModel: "rnn" | "lstm" = "rnn") => new LanguageModel(3, 5, 4, { seqModel });
const sequence = () => ids(0, 1, 2, 3).reshape([2, 2]);

for (const value of notNumbers) {
  add(`batchify into ${show(value)} columns`, () => batchify(new Int32Array(9), wrong(value)), /^batchify: batchSize/);
  add(`getBatch from row ${show(value)}`, () => getBatch(words(), wrong(value), 1), /^getBatch: row/);
  if (value !== 1) add(`getBatch of ${show(value)} rows`, () => getBatch(words(), 0, wrong(value)), /^getBatch: bptt/);
  add(`LanguageModel with embeddingSize ${show(value)}`, () => new LanguageModel(wrong(value), 5, 4), /dim must be/);
  add(
    `LanguageModel with outputSize ${show(value)}`,
    () => new LanguageModel(3, wrong(value), 4),
    /must be a positive integer/,
  );
  add(
    `LanguageModel with hiddenSize ${show(value)}`,
    () => new LanguageModel(3, 5, wrong(value)),
    /must be a positive integer/,
  );
  add(`Corpus in ${show(value)}`, () => new Corpus(wrong(value === "1" ? "" : value)), /^Corpus: root must be a path/);
  add(
    `TextCorpus in ${show(value)}`,
    () => new TextCorpus(wrong(value === "1" ? "" : value)),
    /^TextCorpus: file must be/,
  );
  if (value !== undefined) {
    add(
      `GeneratedText of ${show(value)} sentences`,
      () => new GeneratedText({ sentences: wrong(value) }),
      /^GeneratedText/,
    );
    const seqModel = wrong(value);
    add(`LanguageModel of ${show(value)}`, () => new LanguageModel(3, 5, 4, { seqModel }), /^LanguageModel: seqModel/);
    add(
      `generate at ${show(value)}`,
      () => generate(model(), [1], { temperature: wrong(value === 1.5 ? -1 : value) }).next(),
      /temperature/,
    );
  }
  if (value !== "1") add(`addWord of ${show(value)}`, () => new Dictionary().addWord(wrong(value)), /^addWord/);
}
for (const value of notTensors) {
  add(`LanguageModel of words ${show(value)}`, () => model().forward(wrong(value)), /Tensor/);
  if (!(Array.isArray(value) && value.length === 2))
    add(`batchify of ${show(value)}`, () => batchify(wrong(value), 1), /^batchify|^from/);
  add(`getBatch of ${show(value)}`, () => getBatch(wrong(value), 0, 1), /^getBatch: takes the array/);
  if (value === undefined || value === null) continue; // no state
  add(
    `an RNN's state ${show(value)}`,
    () => model().forward(sequence(), wrong(value)),
    /LanguageModel: the state of an RNN/,
  );
  add(`an LSTM's state ${show(value)}`, () => model("lstm").forward(sequence(), wrong(value)), /LSTM.*(pair|Tensor)/);
  if (Array.isArray(value)) continue; // a prompt
  add(`generate after ${show(value)}`, () => generate(model(), wrong(value)).next(), /generate|from/);
}
add("LanguageModel of float words", () => model().forward(t(2, 2)), /int32.*\(5, 3\).*\(2, 2\)/);
add("LanguageModel of one axis", () => model().forward(ids(1)), /^LanguageModel.*\(1,\)/);
add("LanguageModel of an unknown word", () => model().forward(ids(5).reshape([1, 1])), /^embedding.*5/);
add("LanguageModel of no words", () => model().forward(ids().reshape([0, 2])), /RNN/);
add("LanguageModel with another batch's state", () => model().forward(sequence(), t(1, 3, 4)), /\(1, 3, 4\)/);
add("generate after no word", () => generate(model(), []).next(), /^generate: the prompt/);
