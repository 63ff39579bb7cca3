/** Memory stays bounded, is given back when it should be, and is never seen by the wrong array. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { cpu, DisposedError, NDArray, nn, noGrad, ops, optim, OutOfMemoryError, Tensor, tensor, tidy } from "thimble";

import { onEachDevice } from "../support/devices.ts";
import { liveBytes } from "../support/live-bytes.ts";
import { thrown } from "../support/thrown.ts";

const MB = 2 ** 20;

onEachDevice("memory", (device) => {
  // Bytes are counted here, not speed: one thread does not wait for others on a busy machine.
  const { threads } = device;
  beforeAll(() => void (device.threads = 1));
  afterAll(() => void (device.threads = threads));
  afterEach(() => device.setMemoryLimit(Infinity));
  const live = (): number => liveBytes(device);

  test("a phase that needed much does not allow as much garbage for good", () => {
    const held = Array.from({ length: 230 }, () => NDArray.empty([MB], { device }));
    for (const array of held.splice(0)) array.dispose();
    device.trimMemory();
    device.resetPeakMemory();
    const before = device.memory().live;
    for (let i = 0; i < 1500; i++) NDArray.empty([MB / 4], { device });
    expect(device.memory().peak - before).toBeLessThan(400 * MB); // 1500 MB were asked for
  }, 60_000);

  test("a synchronous loop that never disposes stays bounded", () => {
    const before = live();
    device.resetPeakMemory();
    let sum = 0;
    for (let i = 0; i < 1500; i++)
      sum += NDArray.empty([MB / 4], { device })
        .set([[0, 2]], 1)
        .slice(1)
        .item();
    expect(sum).toBe(1500);
    expect(device.memory().peak - before).toBeLessThan(400 * MB); // 1500 MB were asked for
  }, 60_000);

  test("forward passes that are never taken back stay bounded", () => {
    const model = new nn.Sequential(
      new nn.Linear(64, 256, { device }),
      new nn.Tanh(),
      new nn.Linear(256, 64, { device }),
    );
    const x = tensor(new Float32Array(256 * 64).fill(0.1), { shape: [256, 64], device });
    const before = live();
    device.resetPeakMemory();
    for (let i = 0; i < 600; i++) model.forward(x);
    expect(device.memory().peak - before).toBeLessThan(200 * MB);
    expect(live() - before).toBeLessThan(8 * MB);
  }, 60_000);

  test("a training loop holds the same number of bytes after every step", () => {
    const model = new nn.Sequential(
      new nn.Conv(3, 8, 3, { device }), new nn.BatchNorm2d(8, { device }), new nn.ReLU(), new nn.Residual(new nn.Conv(8, 8, 3, { device })),
      new nn.GroupNorm(2, 8, { device }), new nn.Flatten(), new nn.Dropout(0.2), new nn.RMSNorm(8 * 36, { device }),
      new nn.Linear(8 * 36, 5, { device }),
    ); // prettier-ignore
    const opt = new optim.Adam(model.parameters(), { lr: 1e-3 });
    live(); // so that nothing else is found later on
    const counts: number[] = [];
    for (let i = 0; i < 30; i++) {
      tidy(() => {
        opt.zeroGrad();
        const x = tensor(new Float32Array(4 * 108).fill(0.5), { shape: [4, 3, 6, 6], device });
        const loss = new nn.SoftmaxLoss().forward(model.forward(x), tensor([0, 1, 2, 3], { dtype: "int32", device }));
        loss.backward();
        optim.clipGradNorm(model.parameters(), 1);
        opt.step();
      });
      counts.push(device.memory().live);
    }
    expect(counts.slice(3).filter((count) => count > counts[2]!)).toEqual([]);
  });

  test("evaluation inside tidy and noGrad holds nothing at all", () => {
    const model = new nn.Sequential(new nn.Linear(32, 32, { device }), new nn.LayerNorm(32, { device })).eval();
    const x = tensor(new Float32Array(320), { shape: [10, 32], device });
    tidy(() => noGrad(() => model.forward(x)));
    const before = live();
    for (let i = 0; i < 20; i++) tidy(() => noGrad(() => ops.sum(ops.softmax(model.forward(x))).item()));
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });

  test("dispose gives memory back at once, and views keep it", () => {
    const before = live();
    const a = NDArray.zeros([MB], { device });
    const view = a.slice([10, 20]);
    a.dispose();
    expect(device.memory().live - before).toBeGreaterThanOrEqual(4 * MB);
    expect(view.toTypedArray()).toEqual(new Float32Array(10));
    view.dispose();
    expect(device.memory().live).toBeLessThanOrEqual(before);
  });

  test("backward frees what the tape had saved, tensors that the user holds stay", () => {
    const x = tensor(new Float32Array(MB / 4).fill(1), { device, requiresGrad: true });
    const before = live();
    const loss = tidy(() => ops.sum(ops.tanh(ops.exp(ops.mul(x, 0.5)))));
    expect(device.memory().live - before).toBeGreaterThanOrEqual(2 * MB); // what exp and tanh saved
    loss.backward();
    expect(device.memory().live - before).toBeLessThan(1.5 * MB); // x.grad
    expect(loss.item()).toBeGreaterThan(0);
  });

  test("no memory: an error with sizes, and everything works afterwards", () => {
    Bun.gc(true); // or what other specs have left would make room
    device.trimMemory();
    device.setMemoryLimit(device.memory().reserved + 8 * MB);
    const error = thrown(() => NDArray.zeros([64 * MB], { device }));
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(String(error)).toMatch(/268435456 bytes.* setMemoryLimit allows \d+/);
    expect(NDArray.ones([100], { device }).sum().item()).toBe(100);
  });

  test("no memory in the middle of backward: an error, nothing is held on to, and the next step works", () => {
    // Far larger than any garbage of other tests that the collector may still find.
    const x = tensor(new Float32Array(16 * MB).fill(1), { device, requiresGrad: true });
    const before = live();
    const forward = (): Tensor => tidy(() => ops.sum(ops.mul(ops.tanh(ops.exp(x)), ops.sigmoid(x))));
    const loss = forward();
    Bun.gc(true);
    device.trimMemory();
    device.setMemoryLimit(device.memory().reserved + 32 * MB); // one gradient takes 64 MB
    expect(() => loss.backward()).toThrow(OutOfMemoryError);
    device.setMemoryLimit(Infinity);
    x.grad = null;
    expect(live() - before).toBeLessThan(MB);
    forward().backward();
    expect(x.grad!.toTypedArray().every((value) => value > 0 && Number.isFinite(value))).toBe(true);
  });

  test("no memory: garbage is collected before the error", () => {
    Bun.gc(true);
    device.trimMemory();
    device.setMemoryLimit(device.memory().reserved + 24 * MB);
    for (let i = 0; i < 100; i++) NDArray.full([MB], i, { device });
    expect(
      NDArray.full([MB], 7, { device })
        .slice(MB - 1)
        .item(),
    ).toBe(7);
  });

  test("100,000 calls with ever other shapes: none reads another's scratch memory", () => {
    const base = NDArray.from(
      Float32Array.from({ length: 64 }, (_, i) => i),
      { shape: [4, 4, 4], device },
    );
    let wrong = 0;
    for (let i = 0; i < 100_000; i++) {
      tidy(() => {
        const [a, b, c] = [i % 4, (i >> 2) % 4, (i >> 4) % 4];
        const row = base.slice(a, [b, 4]).transpose();
        const sum = row.add(base.slice(c, [b, 4], null).transpose());
        if (i % 16 === 0 && sum.slice(c, 0).item() !== 16 * (a + c) + 8 * b + 2 * c) wrong++;
      });
    }
    expect(wrong).toBe(0);
  }, 60_000);
});

describe("dispose", () => {
  const uses: Record<string, (a: NDArray) => unknown> = {
    toTypedArray: (a) => a.toTypedArray(),
    toArray: (a) => a.toArray(),
    item: (a) => a.slice(0, 0).item(),
    set: (a) => a.set([0], 1),
    "as the value of set": (a) => NDArray.zeros([2, 2]).set([], a),
    from: (a) => NDArray.from(a),
    permute: (a) => a.permute([1, 0]),
    reshape: (a) => a.reshape([4]),
    slice: (a) => a.slice(0),
    flip: (a) => a.flip([0]),
    broadcastTo: (a) => a.broadcastTo([2, 2, 2]),
    compact: (a) => a.compact(),
    add: (a) => a.add(1),
    "add on the right": (a) => NDArray.ones([2, 2]).add(a),
    sum: (a) => a.sum(),
    matmul: (a) => a.matmul(NDArray.ones([2, 2])),
    "matmul on the right": (a) => NDArray.ones([2, 2]).matmul(a),
    pad: (a) => a.pad([[0, 1], [0, 1]]), // prettier-ignore
    "ops.relu": (a) => ops.relu(new Tensor(a)),
    "ops.stack": (a) => ops.stack([new Tensor(a), tensor([[1, 2], [3, 4]])]), // prettier-ignore
    "ops.softmax": (a) => ops.softmax(new Tensor(a)),
    "as a gradient": (a) => ops.mul(tensor([[1, 2], [3, 4]], { requiresGrad: true }), 2).backward(a), // prettier-ignore
  };
  for (const [name, use] of Object.entries(uses)) {
    test(`after it, ${name} throws DisposedError`, () => {
      const a = NDArray.from([[1, 2], [3, 4]]); // prettier-ignore
      a.dispose();
      a.dispose(); // a second time does nothing
      NDArray.from([
        [5, 6],
        [7, 8],
      ]); // takes the memory again, which must not be seen // prettier-ignore
      expect(() => use(a)).toThrow(DisposedError);
    });
  }

  test("of a tensor leaves the tape what it saved", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const y = ops.mul(x, x);
    const loss = ops.sum(y);
    y.dispose();
    loss.backward();
    expect(x.grad!.toArray()).toEqual([2, 4]);
    expect(() => y.toArray()).toThrow(DisposedError);
  });

  test("of a leaf before backward: its gradient still arrives", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const loss = ops.sum(ops.mul(x, x));
    x.dispose();
    loss.backward();
    expect(x.grad!.toArray()).toEqual([2, 4]);
  });

  test("using disposes at the end of its block", () => {
    let escaped: NDArray;
    {
      using a = NDArray.from([1]);
      using t = tensor([1]);
      expect(a.item() + t.item()).toBe(2);
      escaped = a;
    }
    expect(() => escaped.item()).toThrow(DisposedError);
  });
});

test("trimMemory gives back the work space of kernels too", () => {
  liveBytes(cpu());
  cpu().trimMemory();
  const before = process.memoryUsage().rss;
  tidy(() => void NDArray.ones([2, 1e7]).sum(0)); // 8 bytes of it for each sum
  cpu().trimMemory();
  expect(process.memoryUsage().rss - before).toBeLessThan(40 * MB);
});
