/**
 * Containers free what their own modules pass to one another, and nothing that a user's module may have kept; so a loop
 * that never disposes stays small.
 */
import { describe, expect, test } from "bun:test";

import { cpu, init, manualSeed, nn, noGrad, optim, type Tensor, tensor } from "thimble";

import { liveBytes } from "../support/live-bytes.ts";

/** A user's module that keeps what it sees and what it makes. */
class Probe extends nn.Module {
  seen: Tensor | null = null;
  made: Tensor | null = null;

  private readonly change: boolean;

  constructor(change: boolean) {
    super();
    this.change = change;
  }

  override forward(x: Tensor): Tensor {
    this.seen = x;
    this.made = this.change ? x.mul(2) : x;
    return this.made;
  }
}

const input = () => tensor([[1, -2, 3]]);

describe("what a user's module keeps stays valid", () => {
  for (const change of [false, true]) {
    test(`between layers of a Sequential, ${change ? "when it makes a tensor" : "when it passes its input on"}`, () => {
      manualSeed(0);
      const probe = new Probe(change);
      const model = new nn.Sequential(new nn.Linear(3, 4), probe, new nn.ReLU(), new nn.Linear(4, 2));
      model.forward(input()).sum().backward();
      expect(probe.seen!.toTypedArray().length).toBe(4);
      expect(probe.made!.toTypedArray()).toEqual(probe.seen!.data.mul(change ? 2 : 1).toTypedArray());
    });
  }

  test("inside nested containers, as their last module", () => {
    const probe = new Probe(true);
    const inner = new nn.Residual(new nn.Sequential(new nn.ReLU(), probe));
    const y = new nn.Sequential(new nn.Sequential(inner, probe), new nn.ReLU(), new nn.Tanh()).forward(input());
    expect(y.shape).toEqual([1, 3]);
    expect(probe.made!.toTypedArray().length).toBe(3);
    expect(probe.seen!.toTypedArray().length).toBe(3);
  });

  test("in a subclass of a module of the library", () => {
    class Remembering extends nn.ReLU {
      last: Tensor | null = null;

      override forward(x: Tensor): Tensor {
        return (this.last = super.forward(x));
      }
    }
    const remembering = new Remembering();
    new nn.Sequential(new nn.ReLU(), remembering, new nn.Tanh(), new nn.ReLU()).forward(input());
    expect(remembering.last!.toTypedArray()).toEqual(new Float32Array([1, 0, 3]));
  });
});

describe("what passes through the library's own modules", () => {
  test("never takes the input or the result with it", () => {
    const x = input();
    const dropout = new nn.Dropout(0.5).eval();
    const model = new nn.Sequential(
      dropout,
      new nn.Flatten(),
      dropout,
      new nn.ReLU(),
      dropout,
      new nn.Residual(dropout),
    );
    const y = noGrad(() => model.forward(x));
    expect(y.toTypedArray()).toEqual(new Float32Array([2, 0, 6]));
    expect(x.toTypedArray()).toEqual(new Float32Array([1, -2, 3]));
  });

  test("is freed at once: a deep model leaves only its result", () => {
    const x = init.normal([256, 256]); // 256 KB
    const model = new nn.Sequential(...Array.from({ length: 50 }, () => new nn.ReLU()));
    const before = liveBytes(cpu());
    const y = noGrad(() => model.forward(x));
    expect(cpu().memory().live - before).toBeLessThanOrEqual(2 * 4 * 256 * 256);
    expect(y.shape).toEqual([256, 256]);
  });
});

test("a synchronous loop that never disposes stays bounded, however much the garbage collector is told of", () => {
  const ballast = new Uint8Array(256 * 2 ** 20).fill(1); // such as a data set: it raises the collector's own limits
  const model = new nn.Sequential(new nn.ReLU(), new nn.Linear(128, 4));
  const opt = new optim.SGD(model.parameters(), { lr: 0.01 });
  const loss = new nn.SoftmaxLoss();
  const labels = tensor(new Int32Array(2048));
  let highest = 0;
  for (let step = 0; step < 600; step++) {
    const x = init.uniform([2048, 128]); // 1 MB that only the collector frees
    opt.zeroGrad();
    loss.forward(model.forward(x), labels).backward();
    opt.step();
    highest = Math.max(highest, cpu().memory().live);
  }
  expect(ballast[0]).toBe(1);
  expect(highest).toBeLessThan(300 * 2 ** 20);
}, 30_000);
