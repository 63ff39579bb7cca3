/**
 * `bun run train-resnet`: trains ResNet-9 on CIFAR-10 and shows how it goes. The training loop itself is
 * lib/training/cifar10.ts; this is the command around it: options, data, progress, log, checkpoints.
 */
import { loadCheckpoint, saveCheckpoint } from "../lib/checkpoint/index.ts";
import { CheckpointError, cpu, cuda, data, manualSeed, type NDArray, optim, ThimbleError } from "../lib/index.ts";
import { epochGeneralCifar10, type EpochResult, evaluateCifar10 } from "../lib/training/index.ts";
import { ResNet9 } from "../models/index.ts";
import { findImages } from "./cli/cifar10.ts";
import { JsonLines } from "./cli/json-lines.ts";
import { commandLine } from "./cli/options.ts";
import { plotText } from "./cli/plot.ts";
import { profileInto } from "./cli/profile.ts";
import { duration, showProgress, silent } from "./cli/progress.ts";
import {
  mergeOptions,
  pickRun,
  type Position,
  readRun,
  type RunOptions,
  scheduleNames,
  START,
  toJson,
} from "./cli/resume.ts";
import { stopOnSignal } from "./cli/stop.ts";

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
    batchSize: { type: "integer", default: 128, min: 1, max: 65536, help: "Images in a step" },
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
    seed: { type: "integer", default: 0, min: 0, max: 2 ** 31 - 1, help: "Makes a run repeat bit for bit" },
    threads: { type: "integer", min: 1, max: 1024, help: "Threads of a kernel; default: all processors" },
    device: { type: "choice", of: ["cpu", "cuda"], default: "cpu", help: "Where to compute" },
    checkpoint: { type: "text", value: "FILE", help: "Save everything there after each epoch, and when stopped" },
    resume: {
      type: "text",
      value: "FILE",
      help: "Go on from a checkpoint with its options; --epochs, --lr and --weight-decay may differ",
    },
    log: { type: "text", value: "FILE.jsonl", help: "Write one line of JSON an epoch" },
    profile: {
      type: "text",
      value: "FILE.json",
      help: "Print where the time goes, and write a trace for Perfetto or chrome://tracing",
    },
    progress: { type: "flag", default: true, help: "Live progress on a terminal, or lines where it is piped" },
  },
);

const { constant, cosine, oneCycle } = optim.schedules;
const schedules = { constant, cosine, "one-cycle": oneCycle };
const stop = stopOnSignal();
const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

async function main(): Promise<void> {
  const device = options.device === "cuda" ? cuda() : cpu();
  if (options.threads !== undefined) device.threads = options.threads;

  const saved = options.resume === undefined ? null : readRun(options.resume);
  const run = saved === null ? pickRun(options) : mergeOptions(options.resume!, saved.run, options, given);
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
  const { batchSize, seed } = run;
  const train = new data.DataLoader(images.train, { batchSize, shuffle: true, seed, device });
  const test = new data.DataLoader(images.test, { batchSize, seed, device });
  console.log(`ResNet-9 on ${images.name}: ${images.train.length} training and ${images.test.length} test images`);
  console.log(`${device}, ${device.isa}, threads: ${device.threads}; ${describe(run)}`);

  const losses: number[] = [];
  const start = saved?.position ?? START;
  let position = start;
  const log = options.log === undefined ? null : new JsonLines(options.log, start.epoch);
  const save = () => {
    if (options.checkpoint === undefined) return;
    saveCheckpoint(options.checkpoint, { model, optimizer: opt }, toJson({ run, position, data: identity }));
  };
  const finishProfile = profileInto(options.profile, device);
  try {
    while (position.epoch < run.epochs) {
      const epoch = position.epoch + 1;
      await trainEpoch(position, { run, model, opt, train }, (now, batchLoss) => {
        position = now;
        losses.push(batchLoss);
      });
      const tested = await evaluateCifar10(model, test, { signal: stop.signal });
      const trained = position;
      position = { ...START, epoch };
      save();
      log?.write({
        ...logEntry(epoch, trained, tested),
        learningRate: opt.lr,
        data: images.name,
        device: `${device}`,
        threads: device.threads,
        residentBytes: process.memoryUsage.rss(),
      });
      report(`epoch ${epoch}/${run.epochs}`, trained, tested);
    }
  } catch (error) {
    if (error !== stop.signal.reason) throw error;
    save();
    const where = `Stopped in epoch ${position.epoch + 1} after ${position.step} of ${train.length} steps`;
    const file = options.checkpoint;
    console.log(file === undefined ? where : `${where}, and saved. To go on: --resume ${file}`);
    process.exitCode = 130;
    return;
  } finally {
    await finishProfile();
  }
  if (start.epoch >= run.epochs) console.log(`All ${start.epoch} epochs are done already: --epochs sets how many.`);
  const plot = plotText(losses, { title: `Training loss from epoch ${start.epoch + 1} to ${run.epochs}` });
  if (plot !== "") console.log(`\n${plot}`);
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
  const length = train.length - start.step;
  if (length === 0) return; // stopped between training and evaluation
  const title = `epoch ${start.epoch + 1}/${run.epochs}`;
  const learningRate = (step: number) =>
    run.lr * schedules[run.schedule]((start.epoch + step / train.length) / run.epochs);
  opt.lr = learningRate(start.step);
  const total = train.dataset.length;
  const progress = options.progress ? showProgress({ title, unit: "images", total, from: start.examples }) : silent;
  const began = performance.now();
  const rest = { length, [Symbol.iterator]: () => train.pass(start.epoch, start.step) };
  try {
    await epochGeneralCifar10(rest, model, {
      opt,
      signal: stop.signal,
      onStep({ step, examples: more, batchLoss, ...figures }) {
        const examples = start.examples + more;
        const average = (before: number, since: number) => (before * start.examples + since * more) / examples;
        const loss = average(start.loss, figures.loss);
        const accuracy = average(start.accuracy, figures.accuracy);
        const seconds = start.seconds + (performance.now() - began) / 1000;
        onStep({ epoch: start.epoch, step: start.step + step, examples, loss, accuracy, seconds }, batchLoss);
        opt.lr = learningRate(start.step + step); // of the next step
        progress.update(examples, `loss ${loss.toFixed(4)}  accuracy ${percent(accuracy)}`);
      },
    });
  } finally {
    progress.stop();
  }
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

function report(title: string, { loss, accuracy, seconds, examples }: Position, tested: EpochResult): void {
  const figures = (result: EpochResult) => `loss ${result.loss.toFixed(4)} accuracy ${percent(result.accuracy)}`;
  const speed = Math.round(examples / seconds).toLocaleString("en");
  const parts = [
    `train ${figures({ loss, accuracy })}`,
    `test ${figures(tested)}`,
    `${duration(seconds)}, ${speed} images/s`,
  ];
  console.log(`${title}  ${parts.join("  ")}`);
}

function describe({ optimizer, lr, schedule, weightDecay, batchSize, augment, seed }: RunOptions): string {
  const rate = `${optimizer}, lr ${lr} (${schedule}), weight decay ${weightDecay}`;
  const parts = [`batches of ${batchSize}`, rate, `seed ${seed}`];
  return [...parts, augment ? "augmented" : "not augmented"].join(", ");
}

try {
  await main();
} catch (error) {
  if (!(error instanceof ThimbleError)) throw error;
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = stop.signal.aborted ? 130 : 1;
}
stop.release();
