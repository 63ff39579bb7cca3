/**
 * `bun run train-resnet`: trains ResNet-9 on CIFAR-10 and shows how it goes. What each epoch does is in
 * lib/training/cifar10.ts; this is the command around it: options, data, progress, log, checkpoints.
 */
import { cpu, cuda, data, type Device, manualSeed, optim, ThimbleError } from "../lib/index.ts";
import { loadCheckpoint, saveCheckpoint } from "../lib/checkpoint/index.ts";
import { ResNet9 } from "../models/index.ts";
import { epochGeneralCifar10, type EpochResult, evaluateCifar10 } from "../lib/training/index.ts";
import { findImages, type Images } from "./cli/cifar10.ts";
import { commandLine } from "./cli/options.ts";
import { JsonLines } from "./cli/json-lines.ts";
import { plotText } from "./cli/plot.ts";
import { duration, showProgress, silent } from "./cli/progress.ts";
import { type Position, readRun, type RunOptions, START } from "./cli/resume.ts";
import { stopOnSignal } from "./cli/stop.ts";

const { values: options, given } = commandLine(
  "bun run train-resnet",
  "Trains ResNet-9 on CIFAR-10. Without data anywhere, the official archive (170 MB) is downloaded; without a network,\n" +
    "it trains on generated images, and says so. Ctrl-C stops after the running step and saves if --checkpoint is given.",
  {
    data: { type: "text", value: "DIR", help: "CIFAR-10's folder or archive; else $THIMBLE_DATA, else the cache folder" },
    generated: { type: "flag", default: false, help: "Train on generated images, which are not CIFAR-10" },
    limit: { type: "integer", min: 1, help: "Use only the first N training and the first N test images" },
    epochs: { type: "integer", default: 10, min: 1, help: "Epochs in all, counting those of a resumed run" },
    batchSize: { type: "integer", default: 128, min: 1, max: 65536, help: "Images in a step" },
    optimizer: { type: "choice", of: ["adam", "sgd"], default: "adam", help: "sgd has momentum 0.9" },
    lr: { type: "number", default: 1e-3, min: 0, help: "Learning rate" },
    weightDecay: { type: "number", default: 1e-3, min: 0, help: "Times the weight is added to its gradient" },
    augment: { type: "flag", default: false, help: "Mirror and shift training images at random" },
    seed: { type: "integer", default: 0, min: 0, max: 2 ** 31 - 1, help: "Makes a run repeat bit for bit" },
    threads: { type: "integer", min: 1, max: 1024, help: "Threads of a kernel; default: the processors" },
    device: { type: "choice", of: ["cpu", "cuda"], default: "cpu", help: "Where to compute" },
    checkpoint: { type: "text", value: "FILE", help: "Save everything there after each epoch, and when stopped" },
    resume: { type: "text", value: "FILE", help: "Go on from a checkpoint, with its options; --lr and others may change" },
    log: { type: "text", value: "FILE.jsonl", help: "Write one line of JSON an epoch" },
    progress: { type: "flag", default: true, help: "Live progress on a terminal, or lines where it is piped" },
  },
);

const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

async function main(): Promise<void> {
  const device = options.device === "cuda" ? cuda() : cpu();
  if (options.threads !== undefined) device.threads = options.threads;
  const stop = stopOnSignal();

  const saved = options.resume === undefined ? null : readRun(options.resume);
  const run: RunOptions = saved === null ? options : saved.merge(options, given);
  manualSeed(run.seed);
  const model = new ResNet9({ device });
  const opt = makeOptimizer(run, model);
  if (options.resume !== undefined) loadCheckpoint(options.resume, { model, optimizer: opt });

  const images = await findImages({ ...options, ...run, signal: stop.signal });
  const { train, test } = loaders(images, run, device);
  console.log(`ResNet-9 on ${images.name}: ${train.dataset.length} training and ${test.dataset.length} test images`);
  console.log(`${device} with ${device.threads} threads (${device.isa}), ${describe(run)}`);

  let position = saved?.position ?? START;
  const log = options.log === undefined ? null : new JsonLines(options.log, position.epoch);
  const save = () => {
    if (options.checkpoint === undefined) return;
    saveCheckpoint(options.checkpoint, { model, optimizer: opt }, { run: { ...run }, position: { ...position } });
  };
  const losses: number[] = [];

  /** Trains what is left of an epoch. `position` follows every step, so an interrupted epoch can be saved and resumed. */
  const trainEpoch = async (title: string): Promise<void> => {
    const { epoch, examples: before, loss, accuracy, seconds } = position;
    const rest = { length: train.length - position.step, [Symbol.iterator]: () => train.pass(epoch, position.step) };
    if (rest.length === 0) return;
    const started = performance.now();
    const progress = options.progress
      ? showProgress({ title, unit: "images", total: train.dataset.length, from: before })
      : silent;
    const first = position.step;
    try {
      await epochGeneralCifar10(rest, model, {
        opt,
        signal: stop.signal,
        onStep(report) {
          const examples = before + report.examples;
          const mean = (earlier: number, now: number) => (earlier * before + now * report.examples) / examples;
          position = {
            epoch,
            step: first + report.step,
            examples,
            loss: mean(loss, report.loss),
            accuracy: mean(accuracy, report.accuracy),
            seconds: seconds + (performance.now() - started) / 1000,
          };
          losses.push(report.batchLoss);
          progress.update(examples, `loss ${position.loss.toFixed(4)}  accuracy ${percent(position.accuracy)}`);
        },
      });
    } finally {
      progress.stop();
    }
  };

  const firstEpoch = position.epoch;
  try {
    while (position.epoch < options.epochs) {
      const number = position.epoch + 1;
      await trainEpoch(`epoch ${number}/${options.epochs}`);
      const tested = await evaluateCifar10(model, test, { signal: stop.signal });
      report(number, position, tested);
      const { loss, accuracy, seconds, examples } = position;
      position = { ...START, epoch: number };
      save();
      log?.write({
        epoch: number,
        trainLoss: loss,
        trainAccuracy: accuracy,
        testLoss: tested.loss,
        testAccuracy: tested.accuracy,
        seconds,
        imagesPerSecond: examples / seconds,
        learningRate: opt.lr,
        data: images.name,
        device: String(device),
        threads: device.threads,
      });
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    save();
    const where = `Stopped in epoch ${position.epoch + 1} after ${position.step} of ${train.length} steps`;
    const file = options.checkpoint;
    console.log(file === undefined ? `${where}.` : `${where}; saved. Go on with --resume ${file}`);
    process.exitCode = 130;
    return;
  } finally {
    stop.release();
  }
  if (firstEpoch >= options.epochs) {
    console.log(`The checkpoint has ${firstEpoch} epochs already: give --epochs a larger number to go on.`);
  }
  const plot = plotText(losses, { title: `\nTraining loss, epochs ${firstEpoch + 1} to ${options.epochs}` });
  if (plot !== "") console.log(plot);
}

function makeOptimizer({ optimizer, lr, weightDecay }: RunOptions, model: ResNet9): optim.Optimizer {
  if (optimizer === "sgd") return new optim.SGD(model.parameters(), { lr, weightDecay, momentum: 0.9 });
  return new optim.Adam(model.parameters(), { lr, weightDecay });
}

function loaders(images: Images, { batchSize, seed }: RunOptions, device: Device) {
  return {
    train: new data.DataLoader(images.train, { batchSize, shuffle: true, seed, device }),
    test: new data.DataLoader(images.test, { batchSize, seed, device }),
  };
}

function describe({ optimizer, lr, weightDecay, batchSize, augment, seed }: RunOptions): string {
  const parts = [`batches of ${batchSize}`, `${optimizer}, lr ${lr}, weight decay ${weightDecay}`, `seed ${seed}`];
  return [...parts, augment ? "augmented" : "not augmented"].join(", ");
}

function report(epoch: number, { loss, accuracy, seconds, examples }: Position, tested: EpochResult): void {
  const speed = Math.round(examples / seconds).toLocaleString("en");
  const figures = (result: EpochResult) => `loss ${result.loss.toFixed(4)}, accuracy ${percent(result.accuracy)}`;
  const parts = [`train ${figures({ loss, accuracy })}`, `test ${figures(tested)}`];
  console.log(`epoch ${epoch}/${options.epochs}: ${parts.join("; ")}; ${duration(seconds)}, ${speed} images/s`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof ThimbleError)) throw error;
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}
