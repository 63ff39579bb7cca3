/**
 * Random programs on poisoned memory: every block is filled with NaN when it is handed out and when it comes back, so a
 * read of freed, stale or never-written memory is a NaN. All elements of a tensor have one value, which is known.
 */
import { expect, test } from "bun:test";
import type { Tensor } from "thimble";
import { AutogradError, cpu, nn, noGrad, ops, tensor, tidy } from "thimble";

import { sizeClassBytes } from "../../lib/native/storage.ts";
import { Random } from "../support/random.ts";

/** Poisons the CPU's blocks for the time of `body`. */
function poisoned(body: () => void): void {
  const { pool, backend } = cpu();
  const { take, give } = pool;
  const poison = (block: ReturnType<typeof take>): typeof block => {
    backend.th_fill(block.pointer, Int32Array.of(1, sizeClassBytes(block.sizeClass) / 4, 1), NaN, 0);
    return block;
  };
  pool.take = (bytes) => poison(take.call(pool, bytes));
  pool.give = (block) => give.call(pool, poison(block));
  try {
    body();
  } finally {
    Object.assign(pool, { take, give });
  }
}

interface Known {
  held: Tensor;
  value: number;
}

class Program {
  private held: Known[] = [];
  checks = 0;
  backwards = 0;

  private readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.step();
      if (i % 2000 === 0) Bun.gc(true);
      if (this.held.length > 60) {
        const [gone] = this.held.splice(this.random.integer(0, this.held.length - 1), 1);
        this.check(gone!);
        if (this.random.chance(0.6)) gone!.held.dispose(); // otherwise it is simply forgotten
      }
    }
    this.held.forEach((known) => this.check(known));
  }

  private step(): void {
    const { random } = this;
    const roll = random.next();
    if (this.held.length < 4 || roll < 0.2) this.held.push(this.create());
    else if (roll < 0.65) this.held.push(this.compute(this.pick()));
    else if (roll < 0.8) this.held.push(...tidy(() => this.inside(2)));
    else if (roll < 0.9) this.backward(this.pick());
    else this.check(this.pick());
  }

  private pick(): Known {
    return this.random.pick(this.held);
  }

  private check({ held: { data }, value }: Known): void {
    this.checks++;
    const wrong = data.toTypedArray().find((element) => element !== value);
    if (wrong !== undefined) throw new Error(`an element of (${data.shape}) is ${wrong}, and should be ${value}`);
  }

  private create(): Known {
    const value = this.random.integer(1, 9);
    const shape = this.random.pick([[1], [7], [4, 4], [100], [3, 300], [5000], []]);
    const size = shape.reduce((a, b) => a * b, 1);
    const requiresGrad = this.random.chance(0.6);
    return { held: tensor(new Float32Array(size).fill(value), { shape, requiresGrad }), value };
  }

  /** Some chained operations, of which a few results leave the scope. */
  private inside(depth: number): Known[] {
    const made = [this.compute(this.pick())];
    const count = this.random.integer(1, 4);
    for (let i = 0; i < count; i++) {
      const from = this.random.chance(0.8) ? this.random.pick(made) : this.pick();
      made.push(this.random.chance(0.2) ? noGrad(() => this.compute(from)) : this.compute(from));
      if (depth > 0 && this.random.chance(0.3)) made.push(...tidy(() => this.inside(depth - 1)));
    }
    const taken = made.filter(() => this.random.chance(0.4));
    return taken.filter(({ held }, i) => taken.findIndex((other) => other.held === held) === i);
  }

  private compute({ held: x, value }: Known): Known {
    const flat = x.shape.length > 0 ? x : x.reshape([1]);
    const options: (() => Known)[] = [
      () => ({ held: ops.add(x, x), value: 2 * value }),
      () => ({ held: ops.mul(x, 0.5), value: value / 2 }),
      () => ({ held: ops.sub(1, x), value: 1 - value }),
      () => ({ held: ops.maximum(x, ops.neg(x)), value: Math.abs(value) }),
      () => ({ held: ops.relu(x), value: Math.max(value, 0) }),
      () => ({ held: ops.mul(ops.sigmoid(ops.mul(x, 0)), x), value: value / 2 }),
      () => ({ held: ops.mean(flat, { axes: 0, keepDims: true }), value }),
      () => ({ held: ops.max(flat, { axes: -1, keepDims: true }), value }),
      () => ({ held: ops.flip(ops.transpose(ops.stack([flat, flat]), 0, 1), [0]), value }),
      () => ({ held: ops.slice(flat, [0, Math.ceil(flat.shape[0]! / 2)]), value }),
      () => ({ held: ops.concat([flat, ops.mul(flat, 1)], 0), value }),
      () => ({ held: this.random.pick(ops.split(ops.broadcastTo(flat, [3, ...flat.shape]), 0)), value }),
      () => ({ held: new nn.Residual(new nn.ReLU()).forward(x), value: Math.max(value, 0) + value }),
      () => ({ held: ops.reshape(x, [-1]), value }),
      () => ({ held: x.detach(), value }),
    ];
    const result = this.random.pick(options)();
    // Small sizes and values that float32 has exactly.
    const tooLarge =
      result.held.size > 6000 ||
      Math.abs(result.value) > 1e4 ||
      result.value * 1024 !== Math.round(result.value * 1024);
    return tooLarge || result.held.shape.length > 6 ? this.create() : result;
  }

  private backward({ held: y }: Known): void {
    if (!y.requiresGrad) return;
    try {
      y.backward(noGrad(() => ops.add(ops.mul(y, 0), 1)));
      this.backwards++;
    } catch (error) {
      if (!(error instanceof AutogradError)) throw error; // a shared part may have been used up
    }
    for (const { held } of this.held) {
      if (held.grad?.toTypedArray().some(Number.isNaN)) throw new Error("a gradient is NaN");
      if (this.random.chance(0.3)) held.grad = null;
    }
  }
}

test("random programs never read freed, stale or unwritten memory", () => {
  poisoned(() => {
    const before = tensor(0).toTypedArray();
    expect(before).toEqual(new Float32Array([0]));
    const program = new Program(new Random(17));
    program.run(12_000);
    expect(program.checks).toBeGreaterThan(1500);
    expect(program.backwards).toBeGreaterThan(300);
  });
}, 60_000);

test("the poison works: memory that nobody wrote is NaN", () => {
  poisoned(() => {
    const { pool, backend } = cpu();
    const block = pool.take(400);
    const read = new Float32Array(100);
    backend.th_download(read, block.pointer, 400);
    pool.give(block);
    expect(read.every(Number.isNaN)).toBe(true);
  });
});
