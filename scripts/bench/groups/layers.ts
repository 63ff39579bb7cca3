/**
 * The other parts of a training step: loss, optimizer, batch normalisation, and the cost of an operation of nothing.
 */
import { ops, optim, tensor, tidy, NDArray } from "thimble";
import { ResNet9 } from "thimble/models";

import { checksum, fill } from "../fill.ts";
import { type Case, type Group, TORCH, type Workload } from "../workload.ts";

function lossCase(rows: number, cols: number, quick = false): Case {
  return {
    name: `${rows}×${cols}, forward and backward`,
    workload: `loss ${rows} ${cols}`,
    peers: ["torch"],
    bytes: 8 * rows * cols,
    quick,
    prepare() {
      const x = tensor(fill(rows * cols, 1, { scale: 8 }), { shape: [rows, cols], requiresGrad: true });
      const labels = tensor(Int32Array.from({ length: rows }, (_, i) => (i * 7) % cols));
      const run = () =>
        tidy(() => {
          x.grad = null;
          const y = ops.crossEntropy(x, labels);
          y.backward();
          return y.item();
        });
      return {
        run,
        values() {
          const value = run();
          return [value, ...checksum(x.grad!.toTypedArray()).map((mean) => mean * rows * cols)];
        },
      };
    },
  };
}

export const loss: Group = {
  name: "loss",
  title: "Softmax loss",
  cases: () => [lossCase(128, 10), lossCase(700, 10_000, true), lossCase(128, 1000)],
};

/** An Adam step on the parameters of ResNet-9, as lists of numbers. */
function adamCase(): Case {
  const sizes = new ResNet9().parameters().map((parameter) => parameter.size);
  const total = sizes.reduce((sum, n) => sum + n, 0);
  return {
    name: `Adam with weight decay, ${sizes.length} parameters of ${total.toLocaleString("en")} elements`,
    workload: `adam ${sizes.join(",")}`,
    peers: ["torch"],
    flops: 13 * total,
    bytes: 4 * 7 * total, // reads four arrays, writes three
    quick: true,
    prepare() {
      const parameters = sizes.map((n, i) => {
        const parameter = tensor(fill(n, i), { requiresGrad: true });
        parameter.grad = tensor(fill(n, 100 + i));
        return parameter;
      });
      const optimizer = new optim.Adam(parameters, { lr: 1e-3, weightDecay: 1e-3 });
      const all = () => parameters.flatMap((parameter) => Array.from(parameter.toTypedArray()));
      return {
        run: () => optimizer.step(),
        values() {
          optimizer.step();
          return checksum(all());
        },
      };
    },
  };
}

export const optimizer: Group = { name: "optimizer", title: "Optimizer", cases: () => [adamCase()] };

function normCase(pass: "forward" | "both", n: number, h: number, c: number, quick = false): Case {
  const count = n * h * h * c;
  return {
    name: `${n}×${h}×${h}×${c}, ${pass === "both" ? "forward and backward" : "forward"}`,
    workload: `norm ${pass} ${n} ${h} ${h} ${c}`,
    peers: TORCH,
    bytes: 4 * count * (pass === "both" ? 5 : 2),
    quick,
    prepare: () => prepareNorm(pass, [n, h, h, c]),
  };
}

function prepareNorm(pass: "forward" | "both", shape: [number, number, number, number]): Workload {
  const channels = shape[3];
  const count = shape.reduce((m, n) => m * n, 1);
  const x = tensor(fill(count, 1), { shape, requiresGrad: pass === "both" });
  const weight = tensor(fill(channels, 2, { offset: 1 }), { requiresGrad: true });
  const bias = tensor(fill(channels, 3), { requiresGrad: true });
  const runningMean = tensor(new Float32Array(channels));
  const runningVar = tensor(new Float32Array(channels).fill(1));
  const dy = tensor(fill(count, 4), { shape });
  const forward = () => ops.batchNorm(x, weight, bias, { runningMean, runningVar, training: true, relu: true });
  const both = () => {
    for (const parameter of [x, weight, bias]) parameter.grad = null;
    forward().backward(dy);
  };
  const run = () => tidy(() => void (pass === "both" ? both() : forward()));
  return {
    run,
    values() {
      if (pass === "forward") return checksum(forward().toTypedArray());
      run();
      return checksum(x.grad!.toTypedArray());
    },
  };
}

export const norm: Group = {
  name: "norm",
  title: "Batch norm and ReLU",
  cases: () => [
    normCase("forward", 128, 8, 16, true),
    normCase("both", 128, 8, 16, true),
    normCase("both", 128, 4, 32),
    normCase("both", 128, 1, 128),
    normCase("both", 32, 32, 64),
    normCase("both", 8, 56, 64),
  ],
};

/** x (n, h, h, c) by windows of k × k; both passes write an array as large as x or y, and max pooling an index. */
function poolCase(op: "maxPool" | "avgPool", [n, h, c, k, stride, padding]: readonly number[], quick = false): Case {
  const shape = [n!, h!, h!, c!];
  const count = shape.reduce((m, size) => m * size, 1);
  return {
    name: `${op}, ${shape.join("×")}, ${k}×${k} windows, stride ${stride}, forward and backward`,
    workload: `pool ${op} ${n} ${h} ${h} ${c} ${k} ${stride} ${padding}`,
    peers: TORCH,
    bytes: 4 * count * (2 + (op === "maxPool" ? 4 : 2) / stride! ** 2),
    quick,
    prepare() {
      const x = tensor(fill(count, 1), { shape, requiresGrad: true });
      const forward = () => ops[op](x, k!, { stride, padding });
      const { shape: outShape, size } = forward();
      const dy = tensor(fill(size, 4), { shape: outShape });
      const run = () =>
        tidy(() => {
          x.grad = null;
          forward().backward(dy);
        });
      return {
        run,
        values() {
          run();
          return [...checksum(forward().toTypedArray()), ...checksum(x.grad!.toTypedArray())];
        },
      };
    },
  };
}

export const pool: Group = {
  name: "pool",
  title: "Pooling",
  cases: () =>
    (["maxPool", "avgPool"] as const).flatMap((op) => [
      poolCase(op, [128, 32, 64, 2, 2, 0], true),
      poolCase(op, [32, 16, 64, 2, 2, 0]),
      poolCase(op, [8, 112, 64, 3, 2, 1]),
    ]),
};

function smallCase(pass: "forward" | "backward"): Case {
  return {
    name: `add of 4 elements, ${pass === "forward" ? "recorded" : "recorded, and backward"}`,
    workload: `small ${pass}`,
    peers: ["torch"],
    quick: true,
    prepare() {
      const a = tensor(fill(4, 1), { requiresGrad: true });
      const b = tensor(fill(4, 2), { requiresGrad: true });
      const ones = tensor(NDArray.ones([4]));
      const forward = () => a.add(b);
      const both = () => {
        a.grad = b.grad = null;
        const y = a.add(b);
        y.backward(ones);
        return y;
      };
      const compute = pass === "forward" ? forward : both;
      return { run: () => compute().dispose(), values: () => checksum(compute().toTypedArray()) };
    },
  };
}

/** A product so small that the operation around the kernel is what takes time. */
function smallProduct(n: number): Case {
  return {
    name: `product of ${n}×${n} arrays`,
    workload: `matmul 1 ${n} ${n} ${n} 0 0`,
    peers: ["torch"],
    flops: 2 * n ** 3,
    quick: true,
    prepare() {
      const operand = (seed: number) => NDArray.from(fill(n * n, seed), { shape: [n, n] });
      const [a, b] = [operand(1), operand(2)];
      return { run: () => a.matmul(b).dispose(), values: () => checksum(a.matmul(b).toTypedArray()) };
    },
  };
}

export const small: Group = {
  name: "small",
  title: "Overhead of an operation",
  cases: () => [smallCase("forward"), smallCase("backward"), smallProduct(16)],
};
