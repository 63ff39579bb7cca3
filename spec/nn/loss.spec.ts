import { describe, expect, test } from "bun:test";
import { ArgumentError, DTypeError, init, NDArray, nn, ops, ShapeError, Tensor, tensor } from "thimble";

import { checkFamily } from "../support/check-op.ts";
import { close, closeNumber } from "../support/close.ts";
import { devices, onEachDevice } from "../support/devices.ts";
import { checkGradients } from "../support/finite-differences.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { Random } from "../support/random.ts";
import { thrown } from "../support/thrown.ts";

interface Options {
  reduction?: ops.Reduction;
  delta?: number;
  beta?: number;
  posWeight?: number[];
  ignoreIndex?: number;
  labelSmoothing?: number;
  weight?: number[];
}

checkFamily<Options>("loss", {
  MSELoss: ({ reduction }, x, target) => new nn.MSELoss({ reduction }).forward(x, target),
  L1Loss: ({ reduction }, x, target) => new nn.L1Loss({ reduction }).forward(x, target),
  HuberLoss: ({ reduction, delta }, x, target) => new nn.HuberLoss({ reduction, delta }).forward(x, target),
  SmoothL1Loss: ({ reduction, beta }, x, target) => new nn.SmoothL1Loss({ reduction, beta }).forward(x, target),
  BCEWithLogitsLoss: ({ reduction, posWeight }, x, target) => {
    const given = posWeight && tensor(posWeight, { device: x.device });
    return new nn.BCEWithLogitsLoss({ reduction, posWeight: given }).forward(x, target);
  },
  SoftmaxLoss: ({ weight, ...options }, x, labels) => {
    const given = weight && tensor(weight, { device: x.device });
    return new nn.SoftmaxLoss({ ...options, weight: given }).forward(x, labels);
  },
});

const elementwise = [nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss, nn.BCEWithLogitsLoss] as const;

onEachDevice("losses", (device) => {
  const random = new Random(8);
  const [x, target] = [random.uniform(12, -2, 2), random.uniform(12, 0, 1)];
  const ids = (values: number[]) => tensor(values, { dtype: "int32", device });

  for (const Loss of elementwise) {
    test(`${Loss.name}: a target of another shape is refused, though it would broadcast`, () => {
      const error = thrown(() => new Loss().forward(tensor([[1], [2]], { device }), tensor([1, 2], { device }))); // prettier-ignore
      expect(error).toBeInstanceOf(ShapeError);
      expect(String((error as Error).message)).toMatch(
        new RegExp(
          `^${Loss.name}: the target must have the prediction's shape; given \\(2, 1\\) and \\(2,\\).*broadcast`,
        ),
      );
      expect(() => new Loss().forward(ids([1]), tensor([1], { device }))).toThrow(DTypeError);
      for (const other of devices.filter((each) => each !== device))
        expect(() => new Loss().forward(tensor([1], { device }), tensor([1], { device: other }))).toThrow(
          /arrays are on/,
        );
    });

    test(`${Loss.name}: gradients of both agree with finite differences, and no element leaves NaN`, () => {
      const inputs = [
        { shape: [3, 4], values: x },
        { shape: [3, 4], values: target },
      ];
      for (const reduction of ["mean", "sum", "none"] as const)
        checkGradients((a, t) => new Loss({ reduction }).forward(a, t), inputs, { device, step: 3e-3 });
      const empty = () => new Tensor(NDArray.zeros([0, 2], { device }));
      expect(new Loss().forward(empty(), empty()).item()).toBeNaN();
      expect(new Loss({ reduction: "sum" }).forward(empty(), empty()).item()).toBe(0);
      expect(new Loss({ reduction: "none" }).forward(empty(), empty()).shape).toEqual([0, 2]);
    });

    test(`${Loss.name}: nothing is left behind`, () => {
      const big = new Tensor(NDArray.ones([64, 64], { device }), { requiresGrad: true });
      const other = new Tensor(NDArray.zeros([64, 64], { device }));
      const loss = new Loss();
      const run = () => {
        const y = loss.forward(big, other);
        y.backward();
        y.dispose();
        big.grad = null;
      };
      run();
      const before = liveBytes(device);
      for (let i = 0; i < 5; i++) run();
      expect(liveBytes(device)).toBeLessThanOrEqual(before);
    });
  }

  test("targets may be integers", () => {
    const logits = tensor([0, 2, -2], { device });
    for (const Loss of elementwise)
      closeNumber(
        new Loss().forward(logits, ids([0, 1, 1])).item(),
        new Loss().forward(logits, tensor([0, 1, 1], { device })).item(),
      );
  });

  test("the binary loss neither overflows nor loses what is exact", () => {
    const logits = tensor([1e4, -1e4, 1e4, -1e4, 0], { device, requiresGrad: true });
    for (const posWeight of [undefined, tensor([1], { device })]) {
      logits.grad = null;
      const y = new nn.BCEWithLogitsLoss({ reduction: "none", posWeight }).forward(
        logits,
        tensor([1, 0, 0, 1, 1], { device }),
      );
      close(y, { shape: [5], values: [0, 0, 1e4, 1e4, Math.LN2] }, { rtol: 1e-6, atol: 0 });
      y.sum().backward();
      close(logits.grad!, { shape: [5], values: [0, 0, 1, -1, -0.5] });
    }
  });

  test("small binary losses keep their precision", () => {
    const y = new nn.BCEWithLogitsLoss({ reduction: "none" }).forward(
      tensor([20, -20, 40], { device }),
      tensor([1, 0, 1], { device }),
    );
    const [twenty, forty] = [Math.log1p(Math.exp(-20)), Math.log1p(Math.exp(-40))];
    close(y, { shape: [3], values: [twenty, twenty, forty] }, { rtol: 1e-5, atol: 0 });
  });

  test("small differences keep their precision whatever delta is", () => {
    const y = new nn.HuberLoss({ delta: 1000, reduction: "none" }).forward(
      tensor([1e-5, 2e4], { device }),
      tensor([0, 0], { device }),
    );
    close(y, { shape: [2], values: [5e-11, 1000 * (2e4 - 500)] }, { rtol: 1e-6, atol: 0 });
  });

  test("the smooth loss is Huber's over beta, near 0 and far from it, and of beta 0 the absolute one", () => {
    const [a, b] = [tensor(x, { device, requiresGrad: true }), tensor(target, { device })];
    const both = (loss: nn.Module & { forward(a: Tensor, b: Tensor): Tensor }) => {
      a.grad = null;
      const y = loss.forward(a, b);
      y.backward();
      return [y.item(), ...a.grad!.toTypedArray()];
    };
    for (const beta of [1e-3, 0.3, 1, 50]) {
      const [smooth, huber] = [both(new nn.SmoothL1Loss({ beta })), both(new nn.HuberLoss({ delta: beta }))];
      close({ shape: [13], values: smooth }, { shape: [13], values: huber.map((value) => value / beta) });
    }
    for (const beta of [0, 1e-40, 1e-46]) expect(both(new nn.SmoothL1Loss({ beta }))).toEqual(both(new nn.L1Loss()));
  });

  test("posWeight broadcasts to the logits, not they to it", () => {
    const logits = tensor([[1, 2], [3, 4]], { device }); // prettier-ignore
    const loss = (posWeight: Tensor) => new nn.BCEWithLogitsLoss({ posWeight }).forward(logits, logits);
    expect(loss(tensor([[1], [2]], { device })).shape).toEqual([]); // prettier-ignore
    expect(() => loss(tensor([1, 2, 3], { device }))).toThrow(/^BCEWithLogitsLoss.*\(2, 2\).*\(3,\)/);
    expect(() => loss(tensor([[[1]], [[2]]], { device }))).toThrow(/^BCEWithLogitsLoss: posWeight must broadcast/); // prettier-ignore
  });

  test("options of the softmax loss: gradients agree with finite differences", () => {
    const labels = ids([3, 0, -1]);
    const weight = tensor([1, 2, 0.5, 3], { device });
    const inputs = [{ shape: [3, 4], values: x }];
    for (const reduction of ["mean", "sum", "none"] as const)
      for (const labelSmoothing of [0, 0.2])
        checkGradients(
          (a) => new nn.SoftmaxLoss({ reduction, labelSmoothing, ignoreIndex: -1, weight }).forward(a, labels),
          inputs,
          { device },
        );
  });

  test("options that say what is so by default change nothing, not a bit", () => {
    const logits = tensor(x, { shape: [3, 4], device });
    const labels = ids([1, 3, 0]);
    const plain = new nn.SoftmaxLoss().forward(logits, labels).item();
    expect(new nn.SoftmaxLoss({ reduction: "mean", labelSmoothing: 0 }).forward(logits, labels).item()).toBe(plain);
    closeNumber(new nn.SoftmaxLoss({ ignoreIndex: -100 }).forward(logits, labels).item(), plain);
    closeNumber(ops.crossEntropy(logits, labels, { weight: tensor([2, 2, 2, 2], { device }) }).item(), plain);
    closeNumber(new nn.SoftmaxLoss({ reduction: "sum" }).forward(logits, labels).item(), 3 * plain);
  });

  test("probabilities of which one is 1 are a label, and mixed ones the mix of two losses", () => {
    const logits = tensor(x, { shape: [3, 4], device });
    const [first, second] = [ids([1, 3, 0]), ids([2, 2, 0])];
    const [p, q] = [first, second].map((labels) => init.oneHot(4, labels, { device }));
    for (const labelSmoothing of [0, 0.1]) {
      const loss = new nn.SoftmaxLoss({ labelSmoothing });
      const [a, b] = [first, second].map((labels) => loss.forward(logits, labels).item());
      closeNumber(loss.forward(logits, p!).item(), a!);
      closeNumber(loss.forward(logits, p!.mul(0.3).add(q!.mul(0.7))).item(), 0.3 * a! + 0.7 * b!);
    }
  });

  test("probabilities: gradients of both agree with finite differences", () => {
    const weight = tensor([1, 2, 0.5, 3], { device });
    const inputs = [
      { shape: [3, 4], values: x },
      { shape: [3, 4], values: target },
    ];
    for (const reduction of ["mean", "sum", "none"] as const)
      for (const options of [{}, { labelSmoothing: 0.2, weight }])
        checkGradients((a, p) => ops.crossEntropy(a, p, { reduction, ...options }), inputs, { device });
  });

  test("probabilities that do not fit are refused", () => {
    const logits = tensor(x, { shape: [3, 4], device });
    for (const shape of [[3, 1], [4, 3], [1, 3, 4], []])
      expect(() => ops.crossEntropy(logits, init.zeros(shape, { device }))).toThrow(
        /^crossEntropy: takes logits \(N, K\) and labels \(N, K\) of float32; given \(3, 4\) and .*int32/,
      );
    expect(() => ops.crossEntropy(logits, init.zeros([3], { device }))).toThrow(/^crossEntropy: labels must be int32/);
    expect(() => ops.crossEntropy(logits, ids([0, 1, 2]).reshape([3, 1]))).toThrow(/labels \(N\); given .*reshape/);
    const p = init.zeros([3, 4], { device });
    expect(() => new nn.SoftmaxLoss({ ignoreIndex: 2 }).forward(logits, p)).toThrow(/^crossEntropy: .*ignoreIndex 2/);
    const weight = tensor([1, 2], { device });
    expect(() => ops.crossEntropy(logits, p, { weight })).toThrow(/^crossEntropy: the weight must have shape \(4\)/);
    for (const other of devices.filter((each) => each !== device))
      expect(() => ops.crossEntropy(logits, init.zeros([3, 4], { device: other }))).toThrow(/arrays are on/);
    const empty = () => new Tensor(NDArray.zeros([0, 4], { device }));
    expect(() => ops.crossEntropy(empty(), empty())).toThrow(/no mean over no rows/);
    expect(ops.crossEntropy(empty(), empty(), { reduction: "sum" }).item() === 0).toBe(true);
    expect(ops.crossEntropy(empty(), empty(), { reduction: "none" }).shape).toEqual([0]);
  });

  test("what is infinite in an ignored row does not count", () => {
    const logits = tensor([[-Infinity, 1], [2, 3]], { device, requiresGrad: true }); // prettier-ignore
    const loss = new nn.SoftmaxLoss({ ignoreIndex: 9, labelSmoothing: 0.5 });
    const y = loss.forward(logits, ids([9, 1]));
    closeNumber(y.item(), Math.log(1 + Math.exp(-1)) + 0.25);
    y.backward();
    expect(Array.from(logits.grad!.toTypedArray()).slice(0, 2)).toEqual([0, 0]);
  });

  // A device that works asynchronously finds out later: it says so when its results are read.
  test("a label outside the classes is refused where it is not the one that is ignored", () => {
    const logits = tensor(x, { shape: [3, 4], device });
    for (const label of [4, -1, 2 ** 31 - 1, -(2 ** 31)])
      for (const options of [
        { ignoreIndex: -100 },
        { labelSmoothing: 0.1 },
        { weight: tensor([1, 1, 1, 1], { device }) },
        { reduction: "sum" },
      ] as const)
        // prettier-ignore
        expect(() => new nn.SoftmaxLoss(options).forward(logits, ids([0, label, -100])).item()).toThrow(ArgumentError);
    const row = () => new nn.SoftmaxLoss({ ignoreIndex: -100 }).forward(logits, ids([0, -100, 4])).item();
    expect(row).toThrow(/index 4 at position 2 is outside the axis of 4 elements$/);
    for (const label of [-100, -1, 4]) {
      const plain = () => new nn.SoftmaxLoss().forward(logits, ids([0, label, 1])).item();
      expect(plain).toThrow(new RegExp(`label ${label} of row 1 .* classes. If rows .* the option ignoreIndex$`));
    }
  });

  test("a weight that does not fit is refused, and no rows have no mean", () => {
    const logits = tensor(x, { shape: [3, 4], device });
    const loss = (weight: Tensor) => new nn.SoftmaxLoss({ weight }).forward(logits, ids([0, 1, 2]));
    expect(() => loss(tensor([1, 2], { device }))).toThrow(/^crossEntropy: the weight must have shape \(4\).*\(2,\)/);
    const empty = new Tensor(NDArray.zeros([0, 4], { device }));
    const none = ids([]);
    expect(() => new nn.SoftmaxLoss({ ignoreIndex: 0 }).forward(empty, none)).toThrow(/no mean over no rows/);
    expect(new nn.SoftmaxLoss({ reduction: "sum" }).forward(empty, none).item()).toBe(0);
    expect(new nn.SoftmaxLoss({ reduction: "none" }).forward(empty, none).shape).toEqual([0]);
  });

  test("the softmax loss with options leaves nothing behind", () => {
    const logits = new Tensor(NDArray.ones([64, 64], { device }), { requiresGrad: true });
    const labels = new Tensor(NDArray.zeros([64], { dtype: "int32", device }));
    const weight = new Tensor(NDArray.ones([64], { device }));
    const p = new Tensor(NDArray.ones([64, 64], { device }), { requiresGrad: true });
    const loss = new nn.SoftmaxLoss({ ignoreIndex: -1, labelSmoothing: 0.1, weight });
    for (const given of [labels, p]) {
      const run = () => {
        const y = loss.forward(logits, given);
        y.backward();
        y.dispose();
        logits.grad = given.grad = null;
      };
      run();
      const before = liveBytes(device);
      for (let i = 0; i < 5; i++) run();
      expect(liveBytes(device)).toBeLessThanOrEqual(before);
    }
  });
});

describe("losses as modules", () => {
  test("weights are buffers, and nothing is trained", () => {
    const [weight, posWeight] = [tensor([1, 2]), tensor([3])];
    expect(Object.keys(new nn.SoftmaxLoss({ weight }).stateDict())).toEqual(["weight"]);
    expect(Object.keys(new nn.BCEWithLogitsLoss({ posWeight }).stateDict())).toEqual(["posWeight"]);
    for (const loss of [new nn.SoftmaxLoss(), new nn.MSELoss(), new nn.BCEWithLogitsLoss()])
      expect([Object.keys(loss.stateDict()), loss.parameters()]).toEqual([[], []]);
  });

  test("options are checked when the loss is made", () => {
    for (const Loss of [...elementwise, nn.SoftmaxLoss])
      for (const reduction of ["average", null, 1])
        expect(() => Reflect.construct(Loss, [{ reduction }])).toThrow(
          new RegExp(`^${Loss.name}: reduction must be "mean", "sum" or "none"`),
        );
    for (const delta of [0, -1, NaN, "1"])
      expect(() => Reflect.construct(nn.HuberLoss, [{ delta }])).toThrow(/^HuberLoss: delta must be/);
    for (const beta of [-1, NaN, "1"])
      expect(() => Reflect.construct(nn.SmoothL1Loss, [{ beta }])).toThrow(/^SmoothL1Loss: beta must be/);
    for (const labelSmoothing of [-0.1, 1.5, NaN])
      expect(() => new nn.SoftmaxLoss({ labelSmoothing })).toThrow(/^SoftmaxLoss: labelSmoothing must be/);
    for (const ignoreIndex of [0.5, NaN, 2 ** 31])
      expect(() => new nn.SoftmaxLoss({ ignoreIndex })).toThrow(/^SoftmaxLoss: ignoreIndex must be/);
    expect(() => new nn.SoftmaxLoss({ weight: tensor([1], { dtype: "int32" }) })).toThrow(/^SoftmaxLoss: .*float32/);
    expect(() => Reflect.construct(nn.BCEWithLogitsLoss, [{ posWeight: [1] }])).toThrow(
      /^BCEWithLogitsLoss: posWeight/,
    );
  });
});
