import { expect, test } from "bun:test";
import { NDArray, ops, optim, Tensor, tensor } from "thimble";

import { recordedTensor } from "../support/check-op.ts";
import { close, closeNumber } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { load, numbers, type Recorded } from "../support/fixtures.ts";

interface OptimizerCase {
  op: "SGD" | "Adam" | "AdamW" | "RMSprop" | "clipGradNorm";
  options: {
    lr?: number;
    momentum?: number;
    weightDecay?: number;
    beta1?: number;
    beta2?: number;
    eps?: number;
    nesterov?: boolean;
    alpha?: number;
    centered?: boolean;
    maxNorm?: number;
    /** Options of each parameter, in a group of its own. */
    groups?: { lr?: number; weightDecay?: number }[];
  };
  parameters: Recorded[];
  /** Of every parameter, for every step; null where it has none. */
  gradients: (Recorded | null)[][];
  /** Parameters after some steps, by the step's number. */
  after: Record<string, Recorded[]>;
  norm: number;
  clipped: Recorded[];
}

onEachDevice("optimizers", (device) => {
  const cases = load<OptimizerCase[]>("optim");
  const leaf = (values: number[]): Tensor => tensor(values, { device, requiresGrad: true });
  /** Gives each parameter a gradient by backward, as in training. */
  const differentiate = (parameters: readonly Tensor[], gradients: readonly (Recorded | null)[]): void =>
    parameters.forEach((p, i) => {
      const gradient = gradients[i] ?? null;
      if (gradient !== null) ops.sum(ops.mul(p, recordedTensor(gradient, device))).backward();
    });

  for (const { op, options, parameters, gradients, after } of cases.filter(
    (recorded) => recorded.op !== "clipGradNorm",
  )) {
    const gaps = gradients.flat().includes(null) ? ", some without a gradient" : "";
    test(`${op} ${JSON.stringify(options)} takes PyTorch's ten steps${gaps}`, () => {
      const own = parameters.map((p) => recordedTensor(p, device, true));
      const { groups, ...rest } = options;
      const trained = groups?.map(({ lr, weightDecay }, i) => ({ params: [own[i]!], lr, weightDecay })) ?? own;
      const optimizer =
        op === "SGD"
          ? new optim.SGD(trained, { ...rest, lr: rest.lr ?? NaN })
          : new optim[op as "Adam" | "AdamW" | "RMSprop"](trained, rest);
      gradients.forEach((step, at) => {
        optimizer.zeroGrad();
        differentiate(own, step);
        optimizer.step();
        after[at + 1]?.forEach((expected, i) =>
          close(own[i]!, expected, { what: `parameter ${i} after step ${at + 1}` }),
        );
      });
    });
  }

  for (const { options, gradients, norm, clipped } of cases.filter((recorded) => recorded.op === "clipGradNorm")) {
    test(`clipGradNorm to ${options.maxNorm} gives the norm before, ${norm}`, () => {
      const own = gradients[0]!.map((g) => recordedTensor(g!, device, true));
      differentiate(own, gradients[0]!);
      closeNumber(optim.clipGradNorm(own, options.maxNorm ?? NaN), norm);
      own.forEach((p, i) => close(p.grad!, clipped[i]!));
    });
  }

  test("clipGradNorm over gradients of very different sizes, a million elements, and none at all", () => {
    const [a, b] = [leaf([0, 0]), tensor(new Float32Array(1_000_003), { device, requiresGrad: true })];
    expect(optim.clipGradNorm([a, b], 1)).toBe(0);
    ops.sum(ops.mul(b, 2)).backward();
    closeNumber(optim.clipGradNorm([a, b], 10), 2 * Math.sqrt(1_000_003), { rtol: 1e-5 });
    closeNumber(optim.clipGradNorm([a, b], 10), 10, { rtol: 1e-4 });
    expect(a.grad).toBeNull();
  });

  test("parameters without a gradient are left alone", () => {
    const [a, b] = [leaf([1, 2]), leaf([3, 4])];
    for (const optimizer of [
      new optim.SGD([a, b], { lr: 0.5, momentum: 0.9, weightDecay: 0.1 }),
      new optim.Adam([a, b], { lr: 0.5, weightDecay: 0.1 }),
      new optim.RMSprop([a, b], { lr: 0.5, weightDecay: 0.1, momentum: 0.9, centered: true }),
    ]) {
      optimizer.zeroGrad();
      ops.sum(a).backward();
      optimizer.step();
    }
    expect(b.toArray()).toEqual([3, 4]);
    expect(a.toArray()).not.toEqual([1, 2]);
  });

  test("zeroGrad forgets the gradients; one that someone kept stays readable", () => {
    const a = leaf([1, 2]);
    const optimizer = new optim.SGD([a], { lr: 1 });
    ops.sum(a).backward();
    const kept = a.grad!;
    optimizer.zeroGrad();
    expect(a.grad).toBeNull();
    ops.sum(ops.mul(a, 5)).backward();
    expect([kept.toArray(), a.grad!.toArray()]).toEqual([[1, 1], [5, 5]]); // prettier-ignore
  });

  test("step changes the tensor in place: views and other holders see it", () => {
    const a = leaf([1, 2]);
    const alias = a.detach();
    ops.sum(a).backward();
    new optim.SGD([a], { lr: 1 }).step();
    expect(alias.toArray()).toEqual([0, 1]);
  });

  test("a gradient that was assigned is used by its logical order, whatever its layout", () => {
    const expected = [[1 - 1, 2 - 3], [3 - 2, 4 - 4]]; // prettier-ignore
    const gradients: NDArray[] = [
      NDArray.from([[1, 2], [3, 4]], { device }).transpose(), // prettier-ignore
      NDArray.from([[4, 2], [3, 1]], { device }).flip([0, 1]), // prettier-ignore
    ];
    expect(gradients[0]!.toArray()).toEqual([[1, 3], [2, 4]]); // prettier-ignore
    gradients[1] = NDArray.from([[4, 2], [3, 1]], { device }).flip([0, 1]); // prettier-ignore
    for (const gradient of gradients) {
      const a = tensor([[1, 2], [3, 4]], { device, requiresGrad: true }); // prettier-ignore
      a.grad = new Tensor(gradient);
      new optim.SGD([a], { lr: 1 }).step();
      expect(a.toArray()).toEqual(expected);
    }
    const a = leaf([1, 2]);
    a.grad = new Tensor(NDArray.from(2, { device }).broadcastTo([2]));
    closeNumber(optim.clipGradNorm([a], 1), Math.sqrt(8));
    close(a.grad!, { shape: [2], values: [Math.SQRT1_2, Math.SQRT1_2] });
  });

  test("the learning rate may change between steps", () => {
    const a = leaf([1]);
    const optimizer = new optim.SGD([a], { lr: 0.5 });
    for (const lr of [0.5, 0.25]) {
      optimizer.zeroGrad();
      optimizer.lr = lr;
      ops.sum(a).backward();
      optimizer.step();
    }
    expect(a.toArray()).toEqual([0.25]);
  });

  test("a group's learning rate follows the optimizer's in proportion, and 0 freezes it", () => {
    const [a, b, c] = [leaf([1]), leaf([1]), leaf([1])];
    const optimizer = new optim.SGD([{ params: [a] }, { params: [b], lr: 0.25 }, { params: [c], lr: 0 }], { lr: 0.5 });
    expect(optimizer.params).toEqual([a, b, c]);
    for (const lr of [0.5, 0.25]) {
      optimizer.zeroGrad();
      optimizer.lr = lr;
      ops.sum(ops.add(ops.add(a, b), c)).backward();
      optimizer.step();
    }
    expect([a, b, c].map((p) => p.item())).toEqual([0.25, 0.625, 1]);
  });

  test.each(["SGD", "Adam", "AdamW", "RMSprop"] as const)("%s refuses groups that are none", (name) => {
    const make =
      (groups: unknown, options = { lr: 0.1 }) =>
      () =>
        new optim[name](groups as Tensor[], options);
    const [a, b] = [leaf([1]), leaf([2])];
    expect(make([{ params: [a] }, b])).toThrow("parameters or groups of them, not both");
    expect(make([{ params: [a] }, { params: [a] }])).toThrow("listed twice");
    expect(make([{ params: [a], rate: 1 }])).toThrow("there is no option 'rate'");
    expect(make([{ params: [a], lr: -1 }])).toThrow("a group's lr");
    expect(make([{ params: [a], weightDecay: NaN }])).toThrow("a group's weightDecay");
    expect(make([{ params: [a], lr: 0.1 }], { lr: 0 })).toThrow("no proportion");
    expect(make([{ params: a }])).toThrow("takes a list of parameters");
    expect(make([{ parameters: [a] }])).toThrow("a parameter must be a Tensor");
    expect(make([{ params: [] }])).toThrow("the list of parameters is empty");
  });

  test("a disposed parameter is refused", () => {
    const a = leaf([1]);
    a.dispose();
    expect(() => new optim.AdamW([a])).toThrow("disposed");
  });

  test("AdamW decays by 0.01 unless told otherwise, and Nesterov needs momentum", () => {
    const settled = (options?: optim.AdamOptions): number => {
      const a = leaf([1]);
      a.grad = tensor([0], { device });
      new optim.AdamW([a], options).step();
      return a.item();
    };
    closeNumber(settled(), 1 - 1e-3 * 0.01, { rtol: 1e-7 });
    closeNumber(settled({ lr: 0.5, weightDecay: undefined }), 1 - 0.5 * 0.01);
    expect(settled({ weightDecay: 0 })).toBe(1);
    expect(() => settled(3 as optim.AdamOptions)).toThrow("AdamW: options must be an object");
    expect(() => new optim.SGD([leaf([1])], { lr: 1, nesterov: true })).toThrow("nesterov needs momentum");
  });

  test("centered RMSprop of a gradient that never changes: its variance, which rounding may make negative, is no NaN", () => {
    const a = leaf([1, 2, 3]);
    const optimizer = new optim.RMSprop([a], { lr: 1e-6, alpha: 0.5, eps: 1, centered: true });
    a.grad = tensor([0.1, 0.7, 1.3], { device });
    for (let i = 0; i < 40; i++) optimizer.step();
    expect(a.toTypedArray().every(Number.isFinite)).toBe(true);
    a.grad = tensor([NaN, 1, 1], { device });
    optimizer.step();
    expect(Array.from(a.toTypedArray(), Number.isNaN)).toEqual([true, false, false]);
  });

  test("gradients whose norm is NaN become NaN, as PyTorch's, and none is left unclipped", () => {
    const a = leaf([0, 0]);
    a.grad = tensor([NaN, 200], { device });
    expect(optim.clipGradNorm([a], 1)).toBeNaN();
    expect(a.grad.toArray()).toEqual([NaN, NaN]);
  });

  test("recorded gradients are what the fixtures say", () => {
    const [first] = cases;
    const own = first!.parameters.map((p) => recordedTensor(p, device, true));
    differentiate(own, first!.gradients[0]!);
    own.forEach((p, i) =>
      expect(Array.from(p.grad!.toTypedArray())).toEqual(numbers(first!.gradients[0]![i]!).map(Math.fround)),
    );
  });
});
