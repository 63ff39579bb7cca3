/** Matrix products: squares, tall and wide, transposed operands, batches, and the shapes of the two models. */
import { cpu, type Device, NDArray } from "thimble";

import { checksum, fill } from "../fill.ts";
import type { Case, Group, Workload } from "../workload.ts";

interface Product {
  m: number;
  n: number;
  k: number;
  /** Whether a or b lies transposed in memory. */
  ta?: boolean;
  tb?: boolean;
  batch?: number;
  quick?: boolean;
}

/** 128 is below, as ResNet-9's head. */
const SQUARES = [16, 32, 64, 96, 192, 256, 384, 512, 768, 1024, 2048];
const QUICK_SQUARES = new Set([16, 64, 256, 1024]);

/** [m, n, k]: each forward; its data gradient has b transposed, its weight gradient a. */
export const MODELS: [title: string, m: number, n: number, k: number][] = [
  ["ResNet-9 head", 128, 128, 128],
  ["ResNet-9 logits", 128, 10, 128],
  ["LSTM 200 input", 700, 800, 200],
  ["LSTM 200 step", 20, 800, 200],
  ["LSTM 200 logits", 700, 10_000, 200],
  ["LSTM 650 step", 20, 2600, 650],
  ["LSTM 650 logits", 700, 10_000, 650],
];

const OTHERS: Product[] = [
  { m: 512, n: 512, k: 512, ta: true },
  { m: 512, n: 512, k: 512, tb: true, quick: true },
  { m: 512, n: 512, k: 512, ta: true, tb: true },
  { m: 1, n: 1024, k: 1024 },
  { m: 2, n: 1024, k: 1024 },
  { m: 2, n: 1024, k: 1024, tb: true },
  { m: 8, n: 1024, k: 1024 },
  { m: 1024, n: 1, k: 1024 },
  { m: 1024, n: 3, k: 1024 },
  { m: 8192, n: 16, k: 147 },
  { m: 64, n: 64, k: 8192 },
  { m: 4096, n: 4096, k: 16 },
  { batch: 64, m: 64, n: 64, k: 64, quick: true },
  { batch: 12, m: 128, n: 128, k: 64, tb: true },
  { batch: 1000, m: 8, n: 8, k: 8 },
];

export function product(size: Product, title?: string, device?: Device): Case {
  const { m, n, k, ta = false, tb = false, batch = 1, quick = false } = size;
  const operands = `${m}×${k}${ta ? "ᵀ" : ""} · ${k}×${n}${tb ? "ᵀ" : ""}`;
  const name = `${title === undefined ? "" : `${title}: `}${batch > 1 ? `${batch} × ` : ""}${operands}`;
  return {
    name,
    workload: `matmul ${batch} ${m} ${n} ${k} ${Number(ta)} ${Number(tb)}`,
    peers: device === undefined ? ["onednn", "openblas", "torch"] : ["torch-cuda"],
    flops: 2 * batch * m * n * k,
    bytes: 4 * batch * (m * k + k * n + m * n),
    quick,
    prepare: () => prepare(size, device),
  };
}

/**
 * The kernel alone, into an array that is there: what the peers in C do. What an operation costs more is in "small".
 */
function prepare({ m, n, k, ta = false, tb = false, batch = 1 }: Product, device: Device = cpu()): Workload {
  const a = NDArray.from(fill(batch * m * k, 1), { device });
  const b = NDArray.from(fill(batch * k * n, 2), { device });
  const c = NDArray.empty([batch * m * n], { device });
  const batches = batch > 1 ? [1, batch, m * k, k * n] : [0];
  const shape = Int32Array.of(m, n, k, ta ? m : k, tb ? k : n, Number(ta), Number(tb), ...batches);
  const { backend } = a.device;
  const arrays = [c, a, b] as const; // `values` keeps them: a pointer alone does not
  const [out, left, right] = [c.pointer, a.pointer, b.pointer];
  const run = () => void backend.th_matmul(out, left, right, null, shape);
  return {
    run,
    values() {
      run();
      return checksum(arrays[0].toTypedArray());
    },
    finish: () => void c.slice([0, 1]).toTypedArray(),
  };
}

export const matmul: Group = {
  name: "matmul",
  title: "Matrix product",
  cases: () => [
    ...SQUARES.map((n) => product({ m: n, n, k: n, quick: QUICK_SQUARES.has(n) })),
    ...OTHERS.map((size) => product(size)),
    ...MODELS.flatMap(([title, m, n, k]) => [
      product({ m, n, k, quick: title === "LSTM 200 logits" }, title),
      product({ m, n: k, k: n, tb: true }, `${title}, data gradient`),
      product({ m: k, n, k: m, ta: true }, `${title}, weight gradient`),
    ]),
  ],
};
