/** Elementwise operations and reductions of 1 to 10⁷ elements: contiguous, transposed, strided, broadcast. */
import { NDArray } from "thimble";

import { checksum, fill } from "../fill.ts";
import type { Case, Group } from "../workload.ts";

/** "strided" has every second column; "row" and "column" broadcast the second operand. */
type LayoutName = "contiguous" | "transposed" | "strided" | "row" | "column";
type Size = readonly [rows: number, cols: number];

const UNARY = ["exp", "log", "sqrt", "tanh", "sigmoid", "relu", "neg", "abs"] as const;
const BINARY = ["add", "sub", "mul", "div", "maximum"] as const;
type Unary = (typeof UNARY)[number];
type Binary = (typeof BINARY)[number];

/** 1, 10, 10², … 10⁷ elements. */
const SIZES: Size[] = [[1, 1], [1, 10], [10, 10], [10, 100], [100, 100], [100, 1000], [1000, 1000], [10_000, 1000]]; // prettier-ignore
const MIDDLE: Size = [1000, 1000];
const SMALL: Size = [100, 100];

const isUnary = (op: Unary | Binary | "addScalar"): op is Unary => UNARY.some((name) => name === op);

/** The operand that torch_peer.py calls `laid_out`. */
function laidOut(layout: LayoutName, [rows, cols]: Size, seed: number): NDArray {
  const make = (...shape: [number, number]) =>
    NDArray.from(fill(shape[0] * shape[1], seed, { offset: 0.75 }), { shape });
  if (layout === "transposed") return make(cols, rows).transpose();
  if (layout === "strided") return make(rows, 2 * cols).slice(null, [0, 2 * cols, 2]);
  return make(rows, cols);
}

const named = (op: string, layout: string, [rows, cols]: Size) =>
  `${op}, ${rows}×${cols}${layout === "contiguous" ? "" : `, ${layout}`}`;

function elementwiseCase(op: Unary | Binary | "addScalar", layout: LayoutName, size: Size, quick = false): Case {
  const [rows, cols] = size;
  const n = rows * cols;
  const operands = op === "addScalar" || isUnary(op) ? 1 : 2;
  return {
    name: named(op === "addScalar" ? "add a number" : op, layout, size),
    workload: `elementwise ${op} ${layout} ${rows} ${cols}`,
    peers: ["torch"],
    flops: n,
    bytes: 4 * n * (1 + operands),
    quick,
    prepare() {
      const x = laidOut(layout, size, 1);
      const compute = computation(op, layout, size, x);
      return { run: () => compute().dispose(), values: () => checksum(compute().toTypedArray()) };
    },
  };
}

function computation(op: Unary | Binary | "addScalar", layout: LayoutName, [rows, cols]: Size, x: NDArray) {
  if (op === "addScalar") return () => x.add(0.5);
  if (isUnary(op)) return () => x[op]();
  const other: Size = layout === "row" ? [1, cols] : layout === "column" ? [rows, 1] : [rows, cols];
  const y = laidOut("contiguous", other, 2);
  return () => x[op](y);
}

export const elementwise: Group = {
  name: "elementwise",
  title: "Elementwise",
  cases: () => [
    ...SIZES.map((size) => elementwiseCase("add", "contiguous", size, size[0] * size[1] !== 1000)),
    ...SIZES.map((size) => elementwiseCase("exp", "contiguous", size)),
    ...[...UNARY, ...BINARY, "addScalar" as const]
      .filter((op) => op !== "add" && op !== "exp")
      .flatMap((op) => [SMALL, MIDDLE].map((size) => elementwiseCase(op, "contiguous", size))),
    ...(["transposed", "strided", "row", "column"] as const).flatMap((layout) =>
      [SMALL, MIDDLE].map((size) => elementwiseCase("add", layout, size, size === MIDDLE)),
    ),
    ...(["transposed", "strided"] as const).flatMap((layout) =>
      [SMALL, MIDDLE].map((size) => elementwiseCase("exp", layout, size)),
    ),
  ],
};

const REDUCTIONS = ["sum", "mean", "max", "logSumExp", "argMax"] as const;
const AXES = { all: [0, 1], rows: [0], cols: [1] } as const;

function reductionCase(
  op: (typeof REDUCTIONS)[number],
  axes: keyof typeof AXES,
  layout: LayoutName,
  size: Size,
  quick = false,
): Case {
  const [rows, cols] = size;
  return {
    name: named(`${op} over ${axes}`, layout, size),
    workload: `reduce ${op} ${axes} ${layout} ${rows} ${cols}`,
    peers: ["torch"],
    flops: rows * cols,
    bytes: 4 * rows * cols,
    quick,
    prepare() {
      const x = laidOut(layout, size, 1);
      const compute = () => x[op]({ axes: AXES[axes] });
      return { run: () => compute().dispose(), values: () => checksum(compute().toTypedArray()) };
    },
  };
}

export const reduction: Group = {
  name: "reduction",
  title: "Reduction",
  cases: () => [
    ...SIZES.map((size) => reductionCase("sum", "all", "contiguous", size, size[0] * size[1] !== 1000)),
    ...REDUCTIONS.flatMap((op) =>
      (["all", "rows", "cols"] as const)
        .filter((axes) => op !== "sum" || axes !== "all") // above
        .map((axes) => reductionCase(op, axes, "contiguous", MIDDLE, op === "max")),
    ),
    ...REDUCTIONS.map((op) => reductionCase(op, "cols", "contiguous", [700, 10_000])),
    ...(["transposed", "strided"] as const).flatMap((layout) =>
      (["all", "rows", "cols"] as const).map((axes) => reductionCase("sum", axes, layout, MIDDLE)),
    ),
    reductionCase("sum", "rows", "contiguous", [100_000, 16]),
    reductionCase("sum", "cols", "contiguous", [100_000, 16]),
  ],
};
