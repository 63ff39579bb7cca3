/**
 * Random programs: long chains of views, writes and arithmetic on arrays that share memory with one another, each step
 * compared with the oracle. Values are small multiples of powers of two, so results must be equal, not just close.
 */
import { expect, test } from "bun:test";
import { NDArray } from "thimble";

import { close } from "../support/close.ts";
import { onEachDevice } from "../support/devices.ts";
import { Oracle, product, type Slice } from "../support/oracle.ts";
import { Random } from "../support/random.ts";

interface Pair {
  array: NDArray;
  model: Oracle;
}

/** Keeps values on the grid of 1/8 in [-16, 16), where float32 has all sums and products of two. */
const wrap = (value: number): number => ((((Math.round(value * 8) / 8 + 16) % 32) + 32) % 32) - 16;

class Program {
  private readonly pairs: Pair[] = [];
  readonly log: string[] = [];

  private readonly random: Random;
  private readonly device: NDArray["device"];

  constructor(random: Random, device: NDArray["device"]) {
    this.random = random;
    this.device = device;
  }

  run(steps: number): void {
    this.create();
    for (let i = 0; i < steps; i++) {
      const step = this.random.pick([
        this.view,
        this.view,
        this.view,
        this.write,
        this.combine,
        this.transform,
        this.create,
      ]);
      step.call(this);
      if (this.pairs.length > 12) this.pairs.splice(this.random.integer(0, 11), 1)[0]!.array.dispose();
      this.compare(this.random.pick(this.pairs));
    }
    for (const pair of this.pairs) this.compare(pair);
    for (const { array } of this.pairs) array.dispose();
  }

  private add(array: NDArray, model: Oracle, what: string): void {
    this.log.push(what);
    this.pairs.push({ array, model });
    this.compare({ array, model });
  }

  private compare({ array, model }: Pair): void {
    close(
      array,
      { shape: model.shape, values: model.read() },
      { rtol: 0, atol: 0, what: this.log.slice(-8).join("; ") },
    );
  }

  private create(): void {
    const shape = Array.from({ length: this.random.integer(0, 4) }, () => this.random.pick([1, 2, 3, 3, 4, 5, 0]));
    const model = Oracle.make(shape, () => this.random.integer(-128, 127) / 8);
    this.add(NDArray.from(model.read(), { shape, device: this.device }), model, `create (${shape})`);
  }

  private view(): void {
    const { array, model } = this.random.pick(this.pairs);
    const axes = model.shape.map((_, axis) => axis);
    switch (this.random.integer(0, 5)) {
      case 0: {
        const order = this.random.shuffle(axes);
        return this.add(array.permute(order), model.permute(order), `permute [${order}]`);
      }
      case 1: {
        const flipped = axes.filter(() => this.random.chance(0.5));
        return this.add(array.flip(flipped), model.flip(flipped), `flip [${flipped}]`);
      }
      case 2: {
        const ranges = model.shape.map((size) => this.range(size));
        return this.add(array.slice(...ranges), model.slice(...ranges), `slice ${JSON.stringify(ranges)}`);
      }
      case 3: {
        const shape = model.shape.map((size) =>
          size === 1 && this.random.chance(0.6) ? this.random.integer(1, 3) : size,
        );
        if (shape.length < 4 && this.random.chance(0.4)) shape.unshift(2);
        if (product(shape) > 500) return;
        return this.add(array.broadcastTo(shape), model.broadcastTo(shape), `broadcastTo (${shape})`);
      }
      case 4: {
        const shape = this.factorize(model.size, model.shape);
        const [reshaped, expected] = [array.reshape(shape), model.reshape(shape)];
        this.add(reshaped, expected, `reshape (${shape})`);
        // A write through one must reach the other exactly where the oracle says that no copy was needed.
        if (expected.overlaps || model.overlaps) return;
        reshaped.set([], 15.5);
        expected.write(15.5);
        return this.compare({ array, model });
      }
      default:
        this.add(array.compact(), array.isCompact() ? model.reshape(model.shape) : model.map((x) => x), "compact");
    }
  }

  private range(size: number): Slice {
    const random = this.random;
    if (size > 0 && random.chance(0.15)) return random.integer(-size, size - 1);
    if (random.chance(0.3)) return null;
    const step = random.pick([1, 1, 2, 3, -1, -2]);
    const ends = [random.integer(-size - 1, size + 1), random.integer(-size - 1, size + 1)] as const;
    return random.chance(0.3) ? ends : [...ends, step];
  }

  /** Another shape of the same size. */
  private factorize(size: number, shape: readonly number[]): number[] {
    if (size === 0) return this.random.chance(0.5) ? [...shape] : [0, 3];
    const factors: number[] = [];
    for (let left = size, factor = 2; left > 1;) {
      if (left % factor > 0) factor++;
      else {
        if (factors.length > 0 && this.random.chance(0.5)) factors[factors.length - 1]! *= factor;
        else factors.push(factor);
        left /= factor;
      }
    }
    if (this.random.chance(0.3)) factors.splice(this.random.integer(0, factors.length), 0, 1);
    return factors;
  }

  private write(): void {
    const { array, model } = this.random.pick(this.pairs);
    if (model.overlaps) return;
    const ranges = model.shape.map((size) => this.range(size));
    const target = model.slice(...ranges);
    const source = this.pairs.find((pair) => this.random.chance(0.3) && fits(pair.model.shape, target.shape));
    this.log.push(`set ${JSON.stringify(ranges)}`);
    if (source === undefined) {
      const value = this.random.integer(-128, 127) / 8;
      array.set(ranges, value);
      target.write(value);
    } else {
      array.set(ranges, source.array);
      target.write(source.model);
    }
    for (const pair of this.pairs) this.compare(pair);
  }

  private combine(): void {
    const a = this.random.pick(this.pairs);
    const b = this.random.pick(this.pairs.filter((pair) => broadcasts(pair.model.shape, a.model.shape)));
    const [op, f] = this.random.pick([
      ["add", (x: number, y: number) => x + y],
      ["sub", (x: number, y: number) => x - y],
      ["mul", (x: number, y: number) => x * y],
      ["maximum", (x: number, y: number) => Math.max(x, y)],
      ["greater", (x: number, y: number) => (x > y ? 1 : 0)],
    ] as const);
    const result = a.array[op](b.array); // of a comparison int32
    const [array, model] = [result.to({ dtype: "float32" }), a.model.zip(b.model, f)];
    if (model.size > 500) return;
    this.add(array, model, op);
    // Back onto the grid, in place, in both.
    const wrapped = model.map(wrap);
    array.set([], NDArray.from(wrapped.read(), { shape: wrapped.shape, device: this.device }));
    model.write(wrapped);
  }

  private transform(): void {
    const { array, model } = this.random.pick(this.pairs);
    switch (this.random.integer(0, 4)) {
      case 0:
        return this.add(array.neg(), model.map((x) => -x), "neg"); // prettier-ignore
      case 1:
        return this.add(array.abs(), model.map(Math.abs), "abs");
      case 2:
        return this.add(array.relu(), model.map((x) => Math.max(x, 0)), "relu"); // prettier-ignore
      case 3: {
        const axes = model.shape.map((_, axis) => axis).filter(() => this.random.chance(0.5));
        if (axes.length === 0 || axes.some((axis) => model.shape[axis] === 0)) return;
        const keepDims = this.random.chance(0.5);
        const expected = model.reduce(axes, keepDims, (values) => Math.max(...values));
        return this.add(array.max({ axes, keepDims }), expected, `max [${axes}]`);
      }
      default: {
        const widths = model.shape.map((): [number, number] => [this.random.integer(0, 1), this.random.integer(0, 2)]);
        const expected = model.pad(widths);
        if (expected.size <= 500) this.add(array.pad(widths), expected, `pad ${JSON.stringify(widths)}`);
      }
    }
  }
}

const broadcasts = (a: readonly number[], b: readonly number[]): boolean =>
  [...a].reverse().every((size, i) => size === 1 || (b.at(-1 - i) ?? size) === size || b.at(-1 - i) === 1);
const fits = (source: readonly number[], target: readonly number[]): boolean =>
  source.length <= target.length && [...source].reverse().every((size, i) => size === 1 || size === target.at(-1 - i));

onEachDevice("NDArray", (device) => {
  test("random programs of views, writes and arithmetic agree with the oracle", () => {
    let steps = 0;
    for (let seed = 1; seed <= 120; seed++) {
      const program = new Program(new Random(seed), device);
      try {
        program.run(40);
      } catch (error) {
        throw new Error(`program ${seed}: ${program.log.slice(-8).join("; ")}`, { cause: error });
      }
      steps += program.log.length;
    }
    expect(steps).toBeGreaterThan(2000);
  });
});
