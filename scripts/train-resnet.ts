/**
 * `bun run train-resnet`: trains ResNet-9 on CIFAR-10 and shows how it goes. The training loop itself is
 * lib/training/cifar10.ts; this is the command around it: options, data, progress, log, checkpoints.
 */
import { loadCheckpoint, saveCheckpoint } from "../lib/checkpoint/index.ts";
import { CheckpointError, data, manualSeed, type NDArray, optim } from "../lib/index.ts";
import { epochGeneralCifar10, type EpochResult, evaluateCifar10, type StepReport } from "../lib/training/index.ts";
import { ResNet9 } from "../models/index.ts";
import { findImages } from "./cli/cifar10.ts";
import { commandLine } from "./cli/options.ts";
import { followEpoch, type Position, START } from "./cli/position.ts";
import { duration } from "./cli/progress.ts";
import { pickRun, readRun, type RunOptions, scheduleNames, toJson } from "./cli/resnet-run.ts";
import { mergeOptions } from "./cli/saved-state.ts";
import { stopOnSignal } from "./cli/stop.ts";
import { commonOptions, pickDevice, runCommand, runTraining } from "./cli/training-run.ts";

const { values: options, given } = commandLine(
  "bun run train-resnet",
  "Trains ResNet-9 on CIFAR-10. Without data on this machine, the official archive (170 MB) is downloaded; without a\n" +
    "network it trains on generated images, and says so. Ctrl-C stops after the running step, and saves if --checkpoint\n" +
    "was given; a second Ctrl-C quits at once.",
  {
    data: {
      type: "text",
      value: "DIR",
      help: "CIFAR-10's folder or archive; else $THIMBLE_DATA, else the cache folder",
    },
    generated: { type: "flag", default: false, help: "Train on generated images, which are not CIFAR-10" },
    limit: { type: "integer", min: 1, help: "Use only the first N training and the first N test images" },
    epochs: { type: "integer", default: 10, min: 1, help: "Epochs in all, also when resumed" },
    batchSize: { type: "integer", default: 128, min: 2, max: 65536, help: "Images in a step" },
    optimizer: { type: "choice", of: ["adam", "sgd"], default: "adam", help: "SGD has momentum 0.9" },
    lr: { type: "number", default: 1e-3, min: 0, help: "Learning rate, at its highest" },
    weightDecay: { type: "number", default: 1e-3, min: 0, help: "Times the weight is added to its gradient" },
    schedule: {
      type: "choice",
      of: scheduleNames,
      default: "constant",
      help: "How the learning rate changes over all steps",
    },
    augment: { type: "flag", default: false, help: "Mirror and shift training images at random" },
    resume: {
      type: "text",
      value: "FILE",
      help: "Go on from a checkpoint with its options; --epochs, --lr and --weight-decay may differ",
    },
    ...commonOptions,
  },
);

const { constant, cosine, oneCycle } = optim.schedules;
const schedules = { constant, cosine, "one-cycle": oneCycle };
const stop = stopOnSignal();
const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

async function main(): Promise<void> {
  const device = pickDevice(options);
  const saved = options.resume === undefined ? null : readRun(options.resume);
  const free = ["epochs", "lr", "weightDecay"] as const;
  const run =
    saved === null ? pickRun(options) : mergeOptions(options.resume!, saved.run, pickRun(options), given, free);
  const images = await findImages({ ...options, ...run, signal: stop.signal });
  const identity = { name: images.name, images: images.train.length };
  if (saved !== null && !Bun.deepEquals(saved.data, identity)) {
    const problem = `the run used ${saved.data.images} images of ${saved.data.name}, not ${identity.images} of ${images.name}`;
    throw new CheckpointError(options.resume!, problem);
  }

  manualSeed(run.seed);
  const model = new ResNet9({ device });
  const opt = makeOptimizer(run, model);
  if (options.resume !== undefined) loadCheckpoint(options.resume, { model, optimizer: opt });
  const { batchSize, seed, epochs } = run;
  // Batch normalisation of a single image's last layers would have one value a channel, which says nothing.
  const dropLast = images.train.length % batchSize === 1;
  const train = new data.DataLoader(images.train, { batchSize, shuffle: true, dropLast, seed, device });
  const test = new data.DataLoader(images.test, { batchSize, seed, device });
  console.log(`ResNet-9 on ${images.name}: ${images.train.length} training and ${images.test.length} test images`);
  console.log(`${device}, ${device.isa}, threads: ${device.threads}; ${describe(run)}`);

  if (dropLast) console.log("Each epoch leaves out one image: the last batch would have no other");

  await runTraining<Position>({
    start: saved?.position ?? START,
    epochs,
    steps: train.length,
    device,
    signal: stop.signal,
    checkpoint: options.checkpoint,
    log: options.log,
    profile: options.profile,
    train: (from, onStep) => trainEpoch(from, { run, model, opt, train }, onStep),
    async finish(trained) {
      const tested = await evaluateCifar10(model, test, { signal: stop.signal });
      const epoch = trained.epoch + 1;
      const entry = { ...logEntry(epoch, trained, tested), learningRate: opt.lr, data: images.name };
      return { next: { ...START, epoch }, entry, line: report(trained, tested) };
    },
    save: (file, position) =>
      saveCheckpoint(file, { model, optimizer: opt }, toJson({ run, position, data: identity })),
  });
}

function makeOptimizer({ optimizer, lr, weightDecay }: RunOptions, model: ResNet9): optim.Optimizer {
  if (optimizer === "sgd") return new optim.SGD(model.parameters(), { lr, weightDecay, momentum: 0.9 });
  return new optim.Adam(model.parameters(), { lr, weightDecay });
}

type Training = {
  run: RunOptions;
  model: ResNet9;
  opt: optim.Optimizer;
  train: data.DataLoader<readonly [NDArray, number]>;
};

/** Trains what is left of an epoch after `start`, and calls `onStep` with each new position and that batch's loss. */
async function trainEpoch(
  start: Position,
  { run, model, opt, train }: Training,
  onStep: (position: Position, batchLoss: number) => void,
): Promise<void> {
  const learningRate = (step: number) =>
    run.lr * schedules[run.schedule]((start.epoch + step / train.length) / run.epochs);
  opt.lr = learningRate(start.step);
  const rest = {
    length: train.length - start.step,
    fresh: true,
    [Symbol.iterator]: () => train.pass(start.epoch, start.step),
  };
  const followed = {
    start,
    title: `epoch ${start.epoch + 1}/${run.epochs}`,
    unit: "images",
    total: train.dataset.length,
    progress: options.progress,
    figures: ({ loss, accuracy }: Position) => `loss ${loss.toFixed(4)}  accuracy ${percent(accuracy)}`,
  };
  const advance = (position: Position, { batchLoss }: StepReport) => {
    onStep(position, batchLoss);
    opt.lr = learningRate(position.step); // of the next step
  };
  await followEpoch(followed, advance, (onReport) =>
    epochGeneralCifar10(rest, model, { opt, signal: stop.signal, onStep: onReport }),
  );
}

const logEntry = (epoch: number, { loss, accuracy, seconds, examples }: Position, tested: EpochResult) => ({
  epoch,
  trainLoss: loss,
  trainAccuracy: accuracy,
  testLoss: tested.loss,
  testAccuracy: tested.accuracy,
  seconds,
  imagesPerSecond: examples / seconds,
});

function report({ loss, accuracy, seconds, examples }: Position, tested: EpochResult): string {
  const figures = (result: EpochResult) => `loss ${result.loss.toFixed(4)} accuracy ${percent(result.accuracy)}`;
  const speed = Math.round(examples / seconds).toLocaleString("en");
  return [
    `train ${figures({ loss, accuracy })}`,
    `test ${figures(tested)}`,
    `${duration(seconds)}, ${speed} images/s`,
  ].join("  ");
}

function describe({ optimizer, lr, schedule, weightDecay, batchSize, augment, seed }: RunOptions): string {
  const rate = `${optimizer}, lr ${lr} (${schedule}), weight decay ${weightDecay}`;
  const parts = [`batches of ${batchSize}`, rate, `seed ${seed}`];
  return [...parts, augment ? "augmented" : "not augmented"].join(", ");
}

await runCommand(stop, main);
