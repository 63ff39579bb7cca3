/** Convolutions over NHWC images, each forward and for both gradients: ResNet-9's at batch 128, and larger images'. */
import { NDArray } from "thimble";

import { checksum, fill } from "../fill.ts";
import { type Case, type Group, TORCH, type Workload } from "../workload.ts";

/** n images of h × h × c to f channels with a k × k kernel, padded by floor(k / 2). */
export interface Geometry {
  n: number;
  h: number;
  c: number;
  f: number;
  k: number;
  stride: number;
  quick?: boolean;
}

const GEOMETRIES: Geometry[] = [
  { n: 128, h: 32, c: 3, f: 16, k: 7, stride: 4 },
  { n: 128, h: 8, c: 16, f: 32, k: 3, stride: 2 },
  { n: 128, h: 4, c: 32, f: 32, k: 3, stride: 1, quick: true },
  { n: 128, h: 4, c: 32, f: 64, k: 3, stride: 2 },
  { n: 128, h: 2, c: 64, f: 128, k: 3, stride: 2 },
  { n: 128, h: 1, c: 128, f: 128, k: 3, stride: 1 },
  { n: 16, h: 32, c: 64, f: 64, k: 3, stride: 1 },
  { n: 8, h: 56, c: 64, f: 64, k: 3, stride: 1, quick: true },
  { n: 8, h: 28, c: 128, f: 128, k: 3, stride: 1 },
  { n: 8, h: 14, c: 256, f: 256, k: 3, stride: 1 },
  { n: 8, h: 56, c: 64, f: 128, k: 3, stride: 2 },
  { n: 8, h: 28, c: 256, f: 64, k: 1, stride: 1 },
  { n: 8, h: 14, c: 256, f: 1024, k: 1, stride: 1 },
  { n: 4, h: 224, c: 3, f: 64, k: 7, stride: 2 },
  { n: 1, h: 32, c: 64, f: 64, k: 3, stride: 1 },
];

const PASSES = ["forward", "data", "weight"] as const;
type Pass = (typeof PASSES)[number];
const TITLES: Record<Pass, string> = { forward: "forward", data: "data gradient", weight: "weight gradient" };

/** The kernel alone, into an array that is there: what the peers in C do. */
function prepare(pass: Pass, { n, h, c, f, k, stride }: Geometry): Workload {
  const padding = k >> 1;
  const out = Math.floor((h + 2 * padding - k) / stride) + 1;
  const x = NDArray.from(fill(n * h * h * c, 1));
  const w = NDArray.from(fill(k * k * c * f, 2));
  const y = NDArray.from(fill(n * out * out * f, 3));
  const into = NDArray.empty({ forward: y, data: x, weight: w }[pass].shape);
  const geometry = Int32Array.of(n, h, h, c, f, k, k, stride, padding);
  const { backend } = x.device;
  const kernels: Record<Pass, () => number> = {
    forward: () => backend.th_conv(into.pointer, x.pointer, w.pointer, null, geometry),
    data: () => backend.th_conv_backward_data(into.pointer, y.pointer, w.pointer, geometry),
    weight: () => backend.th_conv_backward_weight(into.pointer, null, x.pointer, y.pointer, geometry),
  };
  const run = () => void kernels[pass]();
  return {
    run,
    values() {
      run();
      return checksum(into.toTypedArray());
    },
  };
}

function convolution(pass: Pass, geometry: Geometry): Case {
  const { n, h, c, f, k, stride, quick = false } = geometry;
  const padding = k >> 1;
  const out = Math.floor((h + 2 * padding - k) / stride) + 1;
  return {
    name: `${n} × ${h}×${h}×${c} to ${f}, ${k}×${k}${stride > 1 ? `, stride ${stride}` : ""}: ${TITLES[pass]}`,
    workload: `conv ${pass} ${n} ${h} ${h} ${c} ${f} ${k} ${stride} ${padding}`,
    peers: pass === "forward" ? ["onednn", ...TORCH, "tfjs-wasm"] : ["onednn", ...TORCH],
    flops: convFlops(geometry),
    bytes: 4 * (n * h * h * c + k * k * c * f + n * out * out * f),
    quick,
    prepare: () => prepare(pass, geometry),
  };
}

/** Arithmetic of one pass, without the taps that only see padding. */
export function convFlops({ n, h, c, f, k, stride }: Geometry): number {
  let taps = 0; // along one axis
  for (let at = -(k >> 1); at + k <= h + (k >> 1); at += stride) {
    taps += Math.min(at + k, h) - Math.max(at, 0);
  }
  return 2 * n * f * c * taps ** 2;
}

export const conv: Group = {
  name: "conv",
  title: "Convolution",
  cases: () => GEOMETRIES.flatMap((geometry) => PASSES.map((pass) => convolution(pass, geometry))),
};
