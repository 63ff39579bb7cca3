/** Figures of thimble alone: loading images beside training on them, and how times grow with threads and sizes. */
import { cpu, data, nn, tensor, tidy } from "thimble";
import { GeneratedImages } from "thimble/datasets";

import { fill } from "../fill.ts";
import type { Plot } from "../plot.ts";
import type { Report, ReportContext } from "../report.ts";
import { median } from "../statistics.ts";
import type { Cell } from "../table.ts";
import { trainingStep } from "./resnet9.ts";

/** Milliseconds after which the just-in-time compiler, which takes a processor of its own, has had its time. */
const COMPILED_AFTER = 3000;

/** The median time of a run, after a warm-up. */
function timeOwn(run: () => void, { effort }: ReportContext): number {
  const times: number[] = [];
  const lap = () => {
    const start = Bun.nanoseconds();
    run();
    return (Bun.nanoseconds() - start) / 1e6;
  };
  const began = performance.now();
  do times.push(lap());
  while (performance.now() - began < effort.budget);
  const estimate = median(times);
  const runs = Math.max(3, Math.min(200, Math.ceil((effort.rounds * effort.budget) / estimate)));
  return median(Array.from({ length: runs }, lap));
}

const BATCH = 128;

export const loading: Report = {
  name: "data",
  title: `Loading batches of ${BATCH} images beside training on them`,
  async run(context) {
    const compiled = { ...context, effort: { ...context.effort, budget: COMPILED_AFTER } };
    const train = timeOwn(trainingStep(BATCH), compiled);
    const variants: [title: string, transforms: data.Transform[]][] = [
      ["as they are", []],
      ["flipped and cropped", [new data.RandomFlipHorizontal(), new data.RandomCrop({ padding: 4 })]],
    ];
    const rows = variants.map(([title, transforms]): Cell[] => {
      const dataset = new GeneratedImages({ count: 2048, seed: 1, transforms });
      const loader = new data.DataLoader(dataset, { batchSize: BATCH, shuffle: true, seed: 0 });
      const pass = timeOwn(() => {
        for (const [x, y] of loader) {
          x.dispose();
          y.dispose();
        }
      }, compiled);
      const ms = pass / loader.length;
      return [title, ms, Math.round((100 * ms) / train)];
    });
    const note = `A training step takes ${train.toFixed(2)} ms. The images are generated, in memory as CIFAR-10's are.`;
    return { header: ["", "ms", "% of a step"], rows, note };
  },
};

const IMAGE_SIZES = [32, 64, 128, 224];
const IMAGES = 8;

/** Forward and backward pass of two 3 × 3 convolutions of 32 channels with batch normalisation and ReLU. */
function convolutionalStep(size: number): () => void {
  const model = new nn.Sequential(
    ...[3, 32].flatMap((channels) => [new nn.Conv(channels, 32, 3), new nn.BatchNorm2d(32), new nn.ReLU()]),
  );
  const shape = [IMAGES, size, size, 3];
  const x = tensor(fill(IMAGES * size * size * 3, 1), { shape }).permute([0, 3, 1, 2]);
  return () =>
    tidy(() => {
      for (const parameter of model.parameters()) parameter.grad = null;
      model.forward(x).sum().backward();
    });
}

const plural = (n: number, thing: string) => `${n} ${thing}${n > 1 ? "s" : ""}`;

export const scaling: Report = {
  name: "scaling",
  title: "Scaling: threads, batches, images",
  async run(context) {
    const device = cpu();
    const before = device.threads;
    const counts = before === 1 ? [1] : [1, before];
    const batches = Array.from({ length: 11 }, (_, i) => 2 ** i).filter(
      (n) => !context.quick || n % 8 === 0 || n === 1,
    );
    const sizes = context.quick ? [32, 128] : IMAGE_SIZES;
    const plot = (title: string, work: string): Plot => {
      return { title, work, curves: counts.map((n) => ({ name: plural(n, "thread"), points: [] })) };
    };
    const byBatch = plot("ResNet-9, a training step", "images in a batch");
    const bySize = plot(`Two convolutions and back, ${IMAGES} images`, "height and width of an image");
    const workloads = [
      ...batches.map((batch) => ({
        name: `ResNet-9 step, batch ${batch}`,
        plot: byBatch,
        x: batch,
        items: batch,
        make: () => trainingStep(batch),
      })),
      ...sizes.map((size) => ({
        name: `two convolutions, ${IMAGES} images of ${size}×${size}`,
        plot: bySize,
        x: size,
        items: IMAGES,
        make: () => convolutionalStep(size),
      })),
    ];
    timeOwn(trainingStep(1), { ...context, effort: { rounds: 1, budget: COMPILED_AFTER } });
    const rows = workloads.map(({ name, plot: { curves }, x, items, make }): Cell[] => {
      const run = make();
      const times = counts.map((threads) => {
        device.threads = threads;
        return timeOwn(run, context);
      });
      const last = times.at(-1)!;
      times.forEach((ms, k) => curves[k]!.points.push([x, ms]));
      return ([name] as Cell[]).concat(times, times[0]! / last, (items / last) * 1e3);
    });
    device.threads = before;
    const header = ["", ...counts.map((n) => `ms, ${plural(n, "thread")}`), "speedup", "images/s"];
    return {
      header,
      rows,
      note: "Thimble alone: the same computation on more threads, and on more and larger images.",
      plots: [byBatch, bySize],
    };
  },
};
