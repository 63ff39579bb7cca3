/**
 * `bun run train-lm`: trains a word-level language model on the Penn Treebank or another text, shows how it goes, and
 * lets a saved one speak. The training loop itself is lib/training/ptb.ts; this is the command around it.
 */
import { batchify, type Dictionary } from "../datasets/index.ts";
import { loadCheckpoint } from "../lib/checkpoint/index.ts";
import { CheckpointError, DatasetError, type Device, manualSeed, type NDArray, optim } from "../lib/index.ts";
import { type ChunkReport, chunksOf, epochGeneralPtb, evaluatePtb } from "../lib/training/index.ts";
import type { LanguageModel } from "../models/index.ts";
import {
  freeOptions,
  makeModel,
  modelNames,
  nextEpoch,
  pickRun,
  readRun,
  type RunOptions,
  saveRun,
  startAt,
  type TextPosition,
} from "./cli/lm-run.ts";
import { commandLine, hyphenated, usageError } from "./cli/options.ts";
import { followEpoch, type Position } from "./cli/position.ts";
import { duration } from "./cli/progress.ts";
import { mergeOptions } from "./cli/saved-state.ts";
import { sayWords } from "./cli/say.ts";
import { stopOnSignal } from "./cli/stop.ts";
import { findTexts, type Texts } from "./cli/texts.ts";
import { commonOptions, type EpochEnd, pickDevice, runCommand, runTraining } from "./cli/training-run.ts";

const PROGRAM = "bun run train-lm";
const { values: options, given } = commandLine(
  PROGRAM,
  "Trains a word-level language model on the Penn Treebank. Without data on this machine, the official archive (35 MB) is\n" +
    "downloaded; without a network it trains on a generated text, and says so. Ctrl-C stops after the running step, and\n" +
    "saves if --checkpoint was given; a second Ctrl-C quits at once. With --resume FILE --generate N it trains nothing, and\n" +
    "prints N words as the model in FILE goes on after --prompt.",
  {
    data: {
      type: "text",
      value: "DIR",
      help: "Folder with train.txt, valid.txt and test.txt; else $THIMBLE_DATA, else the cache folder",
    },
    text: {
      type: "text",
      value: "FILE",
      help: "Train on a UTF-8 text: 90% of its lines, 5% validate, the last 5% test",
    },
    vocabSize: { type: "integer", default: 10_000, min: 3, help: "Most frequent words of --text that are kept" },
    generated: { type: "flag", default: false, help: "Train on a generated text, which is not the Penn Treebank" },
    limit: { type: "integer", min: 1, help: "Use only the first N lines of each file" },
    model: { type: "choice", of: modelNames, default: "lstm", help: "The recurrent layers" },
    embed: { type: "integer", default: 200, min: 1, max: 65536, help: "Numbers that stand for a word" },
    hidden: { type: "integer", default: 200, min: 1, max: 65536, help: "Hidden units of a layer" },
    layers: { type: "integer", default: 2, min: 1, max: 64, help: "Recurrent layers" },
    dropout: { type: "number", default: 0, min: 0, max: 1, help: "On words, between layers and before the output" },
    tieWeights: { type: "flag", default: false, help: "One table for words in and out; needs --embed = --hidden" },
    epochs: { type: "integer", default: 6, min: 1, help: "Epochs in all, also when resumed" },
    batchSize: { type: "integer", default: 20, min: 1, max: 65536, help: "Columns of the text, read side by side" },
    bptt: { type: "integer", default: 35, min: 1, max: 65536, help: "Words of a column in a step" },
    lr: { type: "number", default: 20, min: 0, help: "Learning rate of SGD in the first epoch" },
    lrDecay: {
      type: "number",
      default: 4,
      min: 1,
      help: "Divides the rate after an epoch that did not lower the validation loss",
    },
    clip: { type: "number", default: 0.25, min: 0, help: "Largest common norm of the gradients; 0 leaves them alone" },
    resume: {
      type: "text",
      value: "FILE",
      help: "Go on from a checkpoint with its options; --epochs, --lr, --lr-decay and --clip may differ",
    },
    generate: { type: "integer", min: 1, max: 1_000_000, help: "Print N words from the model in --resume" },
    prompt: { type: "text", help: "What they follow; else the beginning of a sentence" },
    temperature: { type: "number", default: 1, min: 0, help: "Below 1, likelier words; 0, always the likeliest" },
    topK: { type: "integer", min: 1, help: "Draw among the so many likeliest words" },
    topP: {
      type: "number",
      default: 1,
      min: 0,
      max: 1,
      help: "Draw among the likeliest whose probabilities add up to it",
    },
    ...commonOptions,
  },
);

/** Columns in which the other two texts are read: what no longer fits a row is not counted. */
const EVALUATED_COLUMNS = 10;
const stop = stopOnSignal();
const perplexity = (loss: number) => Math.exp(loss);

async function main(): Promise<void> {
  const device = pickDevice(options);
  const { generate: count, resume } = options;
  if (count === undefined || resume === undefined) return train(device);
  return sayWords(resume, device, { ...options, count, signal: stop.signal });
}

async function train(device: Device): Promise<void> {
  const saved = options.resume === undefined ? null : readRun(options.resume, device);
  const run =
    saved === null ? pickRun(options) : mergeOptions(options.resume!, saved.run, pickRun(options), given, freeOptions);
  const texts = await findTexts({ ...options, signal: stop.signal });
  const identity = { name: texts.name, words: texts.train.length };
  const vocabulary = wordsOf(texts.dictionary);
  if (saved !== null && !Bun.deepEquals([saved.data, saved.vocabulary], [identity, vocabulary])) {
    const used = ({ name, words }: typeof identity, kinds: number) => `${words} words (${kinds} different) of ${name}`;
    const problem = `the run used ${used(saved.data, saved.vocabulary.length)}, not ${used(identity, vocabulary.length)}`;
    throw new CheckpointError(options.resume!, problem);
  }

  manualSeed(run.seed);
  const model = makeModel(run, vocabulary.length, device);
  const opt = new optim.SGD(model.parameters(), { lr: run.lr });
  if (options.resume !== undefined) loadCheckpoint(options.resume, { model, optimizer: opt });
  const columns = (part: "train" | "valid" | "test", most: number) => {
    const ids = texts[part];
    if (ids.length < 2) throw new DatasetError(texts.name, `its ${part} text has fewer than 2 words`);
    return batchify(ids, Math.min(most, Math.floor(ids.length / 2)), { device }); // so that there are two rows
  };
  const training: Training = {
    run,
    model,
    opt,
    train: columns("train", run.batchSize),
    valid: columns("valid", EVALUATED_COLUMNS),
    test: columns("test", EVALUATED_COLUMNS),
  };
  console.log(describeTexts(texts));
  console.log(`${device}, ${device.isa}, threads: ${device.threads}; ${describe(run)}`);

  const start = saved?.position ?? startAt(run.lr);
  await runTraining<TextPosition>({
    start: given.has("lr") ? { ...start, lr: run.lr } : start,
    epochs: run.epochs,
    steps: chunksOf(training.train, run.bptt),
    device,
    signal: stop.signal,
    checkpoint: options.checkpoint,
    log: options.log,
    profile: options.profile,
    train: (from, onStep) => trainEpoch(from, training, onStep),
    finish: (trained) => finishEpoch(trained, training, texts.name),
    save: (file, position) => saveRun(file, { model, optimizer: opt }, { run, position, data: identity, vocabulary }),
  });
}

interface Training {
  run: RunOptions;
  model: LanguageModel;
  opt: optim.Optimizer;
  train: NDArray;
  valid: NDArray;
  test: NDArray;
}

/** Trains what is left of an epoch after `start`, and calls `onStep` with each new position and that chunk's loss. */
async function trainEpoch(
  start: TextPosition,
  { run, model, opt, train: text }: Training,
  onStep: (position: TextPosition, batchLoss: number) => void,
): Promise<void> {
  const { lr, best } = start;
  opt.lr = lr;
  const followed = {
    start,
    title: `epoch ${start.epoch + 1}/${run.epochs}`,
    unit: "words",
    total: text.size - text.shape[1]!,
    progress: options.progress,
    figures: ({ loss }: Position) => `loss ${loss.toFixed(3)}  perplexity ${perplexity(loss).toFixed(1)}`,
  };
  const advance = (position: Position, { batchLoss, hidden: carried }: ChunkReport) =>
    onStep({ ...position, lr, best, carried }, batchLoss);
  await followEpoch(followed, advance, (onReport) =>
    epochGeneralPtb(text, model, {
      opt,
      seqLen: run.bptt,
      clip: run.clip === 0 ? undefined : run.clip,
      start: { chunk: start.step, hidden: start.carried },
      signal: stop.signal,
      onStep: onReport,
    }),
  );
}

/** The validation text after every epoch, the test text after the last one. */
async function finishEpoch(
  trained: TextPosition,
  { run, model, valid, test }: Training,
  data: string,
): Promise<EpochEnd<TextPosition>> {
  const { loss: trainLoss, seconds, examples, lr: learningRate } = trained;
  const epoch = trained.epoch + 1;
  const evaluate = async (text: NDArray) =>
    (await evaluatePtb(model, text, { seqLen: run.bptt, signal: stop.signal })).loss;
  const validLoss = await evaluate(valid);
  const testLoss = epoch >= run.epochs ? await evaluate(test) : null;
  const wordsPerSecond = examples / seconds;
  const figures = (loss: number) => `loss ${loss.toFixed(4)} perplexity ${perplexity(loss).toFixed(2)}`;
  const parts = [
    `train ${figures(trainLoss)}`,
    `valid ${figures(validLoss)}`,
    ...(testLoss === null ? [] : [`test ${figures(testLoss)}`]),
    `lr ${learningRate}`,
    `${duration(seconds)}, ${Math.round(wordsPerSecond).toLocaleString("en")} words/s`,
  ];
  const tested = testLoss === null ? {} : { testLoss, testPerplexity: perplexity(testLoss) };
  const entry = {
    epoch,
    trainLoss,
    trainPerplexity: perplexity(trainLoss),
    validLoss,
    validPerplexity: perplexity(validLoss),
    ...tested,
    seconds,
    wordsPerSecond,
    learningRate,
    data,
  };
  return { next: nextEpoch(trained, validLoss, run.lrDecay), entry, line: parts.join("  ") };
}

const wordsOf = (dictionary: Dictionary): string[] =>
  Array.from({ length: dictionary.length }, (_, id) => dictionary.word(id));

function describeTexts({ name, train: training, valid, test, dictionary }: Texts): string {
  const [a, b, c, d] = [training, valid, test, dictionary].map(({ length }) => length.toLocaleString("en"));
  return `Language model on ${name}: ${a} training, ${b} validation and ${c} test words, ${d} different ones`;
}

function describe(run: RunOptions): string {
  const network = `${run.layers} × ${run.model} ${run.hidden} on ${run.embed}${run.tieWeights ? ", tied" : ""}`;
  const parts = [network, `batches of ${run.batchSize} × ${run.bptt}`, `sgd, lr ${run.lr} / ${run.lrDecay}`];
  return [...parts, `clip ${run.clip}`, `dropout ${run.dropout}`, `seed ${run.seed}`].join(", ");
}

if (options.generate === undefined) {
  for (const name of ["prompt", "temperature", "topK", "topP"] as const) {
    if (given.has(name)) usageError(PROGRAM, `--${hyphenated(name)} needs --generate`);
  }
} else if (options.resume === undefined) {
  usageError(PROGRAM, "--generate needs --resume FILE, a checkpoint of train-lm");
}
if (Number(given.has("data")) + Number(given.has("text")) + Number(options.generated) > 1) {
  usageError(PROGRAM, "--data, --text and --generated exclude one another");
}
await runCommand(stop, main);
