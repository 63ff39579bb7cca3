import { afterEach, describe, expect, test } from "bun:test";

import { ArgumentError, cpu, NDArray, nn, noGrad, ops, optim, profile, startProfile, tensor } from "../../lib/index.ts";
import { Profile } from "../../lib/profile/index.ts";
import { symbols } from "../../lib/native/symbols.gen.ts";
import { WORK } from "../../lib/profile/work.ts";

const functions = { ...cpu().backend };

afterEach(() => {
  // Nothing is left replaced, whatever a test did.
  expect(cpu().backend).toEqual(functions);
});

/** A training step of a small convolutional network. */
function step(): number {
  const model = new nn.Sequential(new nn.Conv(3, 4, 3, { stride: 2 }), new nn.BatchNorm2d(4), new nn.Flatten());
  const head = new nn.Linear(4 * 4 * 4, 5);
  const x = tensor(NDArray.ones([2, 3, 8, 8]));
  const optimizer = new optim.Adam([...model.parameters(), ...head.parameters()]);
  const loss = new nn.SoftmaxLoss().forward(head.forward(model.forward(x)), tensor([1, 2], { dtype: "int32" }));
  loss.backward();
  optimizer.step();
  return loss.item();
}

describe("what is counted", () => {
  test("the calls of a training step, by operation", () => {
    const { result, profile: taken } = profile(step);
    expect(result).toBeGreaterThan(0);
    const calls = Object.fromEntries(taken.operations.map(({ name, calls: count }) => [name, count]));
    expect(calls).toMatchObject({
      conv: 1,
      "conv backward weight": 1,
      "batch norm": 1,
      "batch norm backward": 1,
      "cross entropy": 1,
      Adam: 1,
    });
    expect(calls).not.toHaveProperty("conv backward data"); // images need no gradient
  });

  test("the work of a matrix product", () => {
    const [a, b] = [NDArray.ones([5, 3, 7]), NDArray.ones([5, 11, 7])];
    const { profile: taken } = profile(() => a.matmul(b.transpose()));
    expect(taken.operations).toMatchObject([
      { name: "matmul", calls: 1, flops: 2 * 5 * 3 * 7 * 11, bytes: 4 * 5 * (3 * 7 + 7 * 11 + 3 * 11) },
    ]);
    expect(taken.shapes[0]!.shape).toBe("5 of 3×7 · 7×11ᵀ");
  });

  test("a convolution without the taps that only see padding", () => {
    const [x, w] = [tensor(NDArray.ones([2, 1, 1, 3])), tensor(NDArray.ones([3, 3, 3, 4]))];
    const { profile: taken } = profile(() => ops.conv(x, w, { padding: 1 }));
    expect(taken.operations).toMatchObject([{ name: "conv", flops: 2 * 2 * 3 * 4 }]);
  });

  test("pooling: the images, the windows and, for a gradient, the index of maxima", () => {
    const x = tensor(NDArray.ones([2, 4, 6, 3]), { requiresGrad: true });
    const [images, windows] = [2 * 4 * 6 * 3, 2 * 2 * 3 * 3];
    const { profile: taken } = profile(() => {
      noGrad(() => ops.maxPool(x, 2));
      ops.maxPool(x, 2).sum().backward();
      ops.avgPool(x, 2).sum().backward();
      ops.upsample(x, 2).sum().backward();
    });
    const pooling = taken.calls.filter(({ work }) => /pool|upsample/.test(work.name));
    expect(pooling.map(({ work: { name, bytes } }) => [name, bytes])).toEqual([
      ["max pool", 4 * (images + windows)],
      ["max pool", 4 * (images + 2 * windows)],
      ["max pool backward", 4 * (images + 2 * windows)],
      ["avg pool", 4 * (images + windows)],
      ["avg pool backward", 4 * (images + windows)],
      ["upsample", 4 * 5 * images],
      ["upsample backward", 4 * 5 * images],
    ]);
    expect(pooling[0]!.work.shape).toBe("2×4×6×3, 2×2");
  });

  test("counts layers in a row as the convolutions they are", () => {
    const layers = [new nn.Conv(3, 4, 3), new nn.Conv(4, 2, 3, { stride: 2 })];
    const x = tensor(new Float32Array(2 * 3 * 36), { shape: [2, 3, 6, 6] });
    const [alone, together] = [layers.map((layer) => [layer]), [layers]].map((lists) => {
      const { profile: taken } = profile(() =>
        noGrad(() => lists.reduce((y, list) => new nn.Sequential(...list).forward(y), x)),
      );
      return taken.operations.find(({ name }) => name === "layers")!;
    });
    expect([alone!.calls, together!.calls]).toEqual([2, 1]);
    expect([together!.flops, together!.bytes]).toEqual([alone!.flops, alone!.bytes]);
    expect(together!.flops).toBe(2 * 2 * (16 * 16 * 3 * 4 + 8 * 8 * 4 * 2)); // taps on padding do not count
  });

  test("broadcast operands once", () => {
    const [a, b] = [NDArray.ones([10, 20]), NDArray.ones([20])];
    const { profile: taken } = profile(() => a.add(b));
    expect(taken.operations).toMatchObject([{ name: "add", bytes: 4 * (200 + 200 + 20), flops: 200 }]);
  });

  test("every kernel has an entry", () => {
    const without = Object.keys(symbols).filter((name) => !(name in WORK));
    expect(
      without.filter((name) => !/_(version|error|open|name|threads|isa|alloc|free|deallocator)$|memory/.test(name)),
    ).toEqual([]);
  });
});

describe("sums", () => {
  test("by shape, by operation and of the calls are the same, and fit into the whole time", () => {
    const { profile: taken } = profile(() => [step(), step()]);
    const sum = (of: readonly { ms: number }[]) => of.reduce((total, { ms }) => total + ms, 0);
    const count = taken.shapes.reduce((total, { calls }) => total + calls, 0);
    expect(taken.calls).toHaveLength(count);
    expect(sum(taken.operations)).toBeCloseTo(sum(taken.calls), 6);
    expect(sum(taken.shapes)).toBeCloseTo(taken.nativeMs, 6);
    expect(taken.nativeMs).toBeLessThanOrEqual(taken.wallMs);
  });

  test("count calls beyond the limit of the trace", () => {
    const a = NDArray.ones([3]);
    const { profile: taken } = profile(() => [a.neg(), a.neg(), a.neg()], { maxCalls: 2 });
    expect(taken.calls).toHaveLength(2);
    expect(taken.operations).toMatchObject([{ name: "neg", calls: 3 }]);
  });
});

test("the trace is JSON in Chrome's format: spans in order that do not overlap", () => {
  const { profile: taken } = profile(step);
  const { traceEvents } = JSON.parse(JSON.stringify(taken.trace()));
  const spans = traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
  expect(spans).toHaveLength(taken.calls.length);
  let end = 0;
  for (const { name, ts, dur, pid, tid } of spans) {
    expect(typeof name).toBe("string");
    expect([pid, tid]).toEqual([1, 1]);
    expect(dur).toBeGreaterThanOrEqual(0);
    expect(ts).toBeGreaterThanOrEqual(end - 1e-6);
    end = ts + dur;
  }
});

test("the table names every operation and the time outside of native code", () => {
  const { profile: taken } = profile(step);
  const text = `${taken}`;
  for (const { name } of taken.operations) expect(text).toContain(name);
  expect(text).toMatch(/[\d.]+ ms, of which [\d.]+ ms outside of native code$/);
  expect(new Profile([], [], 1).table()).toContain("1.00 ms");
});

describe("start and end", () => {
  test("calls before and after do not count", () => {
    const a = NDArray.ones([3]);
    a.exp();
    const stop = startProfile();
    a.neg();
    const taken = stop();
    a.exp();
    expect(taken.operations.map(({ name }) => name)).toEqual(["neg"]);
    expect(stop()).toBe(taken);
  });

  test("a function that throws ends it", () => {
    expect(() =>
      profile(() => {
        throw new Error("mine");
      }),
    ).toThrow("mine");
  });

  test("a promise ends it when it is settled", async () => {
    const a = NDArray.ones([3]);
    const { result, profile: taken } = await profile(async () => {
      a.neg();
      await Bun.sleep(1);
      return a.exp().item.name;
    });
    expect(result).toBe("item");
    expect(taken.operations.map(({ name }) => name).sort()).toEqual(["exp", "neg"]);
    await expect(
      profile(async () => {
        throw new Error("later");
      }),
    ).rejects.toThrow("later");
  });

  test("a native error keeps its type and its text", () => {
    const logits = tensor(NDArray.ones([1, 3]));
    expect(() => profile(() => ops.crossEntropy(logits, tensor([7], { dtype: "int32" })))).toThrow(ArgumentError);
  });

  test("one at a time", () => {
    const stop = startProfile();
    expect(() => startProfile()).toThrow(ArgumentError);
    stop();
  });

  test("refuses a limit that is none", () => {
    expect(() => startProfile({ maxCalls: -1 })).toThrow(ArgumentError);
    expect(() => startProfile({ maxCalls: NaN })).toThrow(ArgumentError);
  });
});
