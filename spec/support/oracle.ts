/**
 * The slowest and most obvious model of a strided array, to hold the real one against: a list of positions in a list of
 * values. Views share the values, so writes through one are seen by the others, exactly as they should be.
 */
export type Index = readonly number[];
export type Slice = number | null | readonly [number, number] | readonly [number, number, number];

export const product = (shape: Index): number => shape.reduce((a, b) => a * b, 1);

/** The sum of products, in float64. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Every index of `shape` in row-major order. */
export function indices(shape: Index): number[][] {
  const found: number[][] = [];
  const index = shape.map(() => 0);
  for (let left = product(shape); left > 0; left--) {
    found.push([...index]);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--) index[axis] = 0;
  }
  return found;
}

export function broadcast(a: Index, b: Index): number[] {
  const ndim = Math.max(a.length, b.length);
  return Array.from({ length: ndim }, (_, i) => {
    const [m, n] = [a[a.length - ndim + i] ?? 1, b[b.length - ndim + i] ?? 1];
    return m === 1 ? n : m;
  });
}

/** The indices that a range takes of an axis of `size`, by walking as Python does. */
export function walk(range: Slice, size: number): number[] {
  if (range === null) return Array.from({ length: size }, (_, i) => i);
  if (typeof range === "number") return [range < 0 ? range + size : range];
  const [start, stop, step = 1] = range;
  const [first, last] = [start, stop].map((end) => (end < 0 ? end + size : end)) as [number, number];
  const taken: number[] = [];
  if (step > 0) for (let i = Math.max(first, 0); i < Math.min(last, size); i += step) taken.push(i);
  else for (let i = Math.min(first, size - 1); i > Math.max(last, -1); i += step) taken.push(i);
  return taken;
}

export class Oracle {
  readonly shape: readonly number[];
  private readonly values: number[];
  private readonly positions: readonly number[];

  private constructor(shape: readonly number[], values: number[], positions: readonly number[]) {
    this.shape = shape;
    this.values = values;
    this.positions = positions;
  }

  static of(shape: Index, values: ArrayLike<number>): Oracle {
    return new Oracle(
      shape,
      Array.from(values),
      Array.from(values, (_, i) => i),
    );
  }

  static make(shape: Index, element: (index: Index, at: number) => number): Oracle {
    return Oracle.of(shape, indices(shape).map(element));
  }

  get size(): number {
    return this.positions.length;
  }

  /** The elements in row-major order. */
  read(): number[] {
    return this.positions.map((position) => this.values[position]!);
  }

  at(index: Index): number {
    return this.values[this.position(index)]!;
  }

  private position(index: Index): number {
    return this.positions[index.reduce((at, i, axis) => at * this.shape[axis]! + i, 0)]!;
  }

  /** The view of `shape` whose element at an index is this array's element at `from(index)`. */
  private view(shape: Index, from: (index: Index) => Index): Oracle {
    return new Oracle(
      shape,
      this.values,
      indices(shape).map((index) => this.position(from(index))),
    );
  }

  permute(axes: Index): Oracle {
    const shape = axes.map((axis) => this.shape.at(axis)!);
    const order = axes.map((axis) => (axis < 0 ? axis + axes.length : axis));
    return this.view(shape, (index) => this.shape.map((_, axis) => index[order.indexOf(axis)]!));
  }

  flip(axes: Index): Oracle {
    const flipped = axes.map((axis) => (axis < 0 ? axis + this.shape.length : axis));
    return this.view(this.shape, (index) =>
      index.map((i, axis) => (flipped.includes(axis) ? this.shape[axis]! - 1 - i : i)),
    );
  }

  broadcastTo(shape: Index): Oracle {
    const added = shape.length - this.shape.length;
    return this.view(shape, (index) => this.shape.map((size, axis) => (size === 1 ? 0 : index[axis + added]!)));
  }

  slice(...ranges: readonly Slice[]): Oracle {
    const taken = this.shape.map((size, axis) => walk(ranges[axis] ?? null, size));
    const kept = this.shape.map((_, axis) => axis).filter((axis) => typeof ranges[axis] !== "number");
    const shape = kept.map((axis) => taken[axis]!.length);
    return this.view(shape, (index) =>
      taken.map((list, axis) => list[kept.includes(axis) ? index[kept.indexOf(axis)]! : 0]!),
    );
  }

  /** A view if positions allow one, that is, if they are an affine function of the new index; else a copy. */
  reshape(shape: Index): Oracle {
    const reshaped = new Oracle(shape, this.values, this.positions);
    return reshaped.isAffine() ? reshaped : Oracle.of(shape, this.read());
  }

  private isAffine(): boolean {
    const origin = this.positions[0];
    if (origin === undefined) return true;
    const steps = this.shape.map((size, axis) =>
      size > 1 ? this.position(this.shape.map((_, other) => (other === axis ? 1 : 0))) - origin : 0,
    );
    return indices(this.shape).every(
      (index, at) => this.positions[at] === index.reduce((sum, i, axis) => sum + i * steps[axis]!, origin),
    );
  }

  sharesValuesWith(other: Oracle): boolean {
    return this.values === other.values;
  }

  write(source: number | Oracle): void {
    const values = typeof source === "number" ? null : source.broadcastTo(this.shape).read();
    this.positions.forEach(
      (position, at) => (this.values[position] = values === null ? (source as number) : values[at]!),
    );
  }

  /** True if two elements are one place, as in a broadcast view. */
  get overlaps(): boolean {
    return new Set(this.positions).size < this.positions.length;
  }

  map(f: (value: number) => number): Oracle {
    return Oracle.of(this.shape, this.read().map(f));
  }

  zip(other: Oracle, f: (a: number, b: number) => number): Oracle {
    const shape = broadcast(this.shape, other.shape);
    const [a, b] = [this.broadcastTo(shape).read(), other.broadcastTo(shape).read()];
    return Oracle.of(
      shape,
      a.map((value, at) => f(value, b[at]!)),
    );
  }

  pad(padding: readonly (readonly [number, number])[]): Oracle {
    const shape = this.shape.map((size, axis) => size + padding[axis]![0] + padding[axis]![1]);
    return Oracle.make(shape, (index) => {
      const source = index.map((i, axis) => i - padding[axis]![0]);
      return source.every((i, axis) => i >= 0 && i < this.shape[axis]!) ? this.at(source) : 0;
    });
  }

  reduce(axes: Index, keepDims: boolean, f: (values: number[]) => number): Oracle {
    const reduced = axes.map((axis) => (axis < 0 ? axis + this.shape.length : axis));
    const kept = this.shape.map((_, axis) => axis).filter((axis) => !reduced.includes(axis));
    const groups = this.permute([...kept, ...reduced]).read();
    const count = product(reduced.map((axis) => this.shape[axis]!));
    const values = indices(kept.map((axis) => this.shape[axis]!)).map((_, i) =>
      f(groups.slice(i * count, (i + 1) * count)),
    );
    const full = this.shape.map((size, axis) => (reduced.includes(axis) ? 1 : size));
    return Oracle.of(keepDims ? full : kept.map((axis) => this.shape[axis]!), values);
  }

  matmul(other: Oracle): Oracle {
    const [m, k, n] = [this.shape.at(-2)!, this.shape.at(-1)!, other.shape.at(-1)!];
    const batch = broadcast(this.shape.slice(0, -2), other.shape.slice(0, -2));
    const [a, b] = [this.broadcastTo([...batch, m, k]), other.broadcastTo([...batch, k, n])];
    return Oracle.make([...batch, m, n], (index) => {
      const [outer, i, j] = [index.slice(0, -2), index.at(-2)!, index.at(-1)!];
      let sum = 0;
      for (let l = 0; l < k; l++) sum += a.at([...outer, i, l]) * b.at([...outer, l, j]);
      return sum;
    });
  }
}

/** Convolution by its definition. x (N, H, W, Cin), w (k, k, Cin, Cout): (N, H', W', Cout). */
export function convolve(x: Oracle, w: Oracle, stride: number, padding: number): Oracle {
  const [n, height, width, channels] = x.shape as [number, number, number, number];
  const [k, , , filters] = w.shape as [number, number, number, number];
  const out = (size: number) => Math.floor((size + 2 * padding - k) / stride) + 1;
  const [pixels, weights] = [x.read(), w.read()];
  return Oracle.make([n, out(height), out(width), filters], ([image, row, column, filter]) => {
    let sum = 0;
    for (let dy = 0; dy < k; dy++) {
      for (let dx = 0; dx < k; dx++) {
        const [y, z] = [row! * stride + dy - padding, column! * stride + dx - padding];
        if (y < 0 || y >= height || z < 0 || z >= width) continue;
        const pixel = ((image! * height + y) * width + z) * channels;
        const weight = (dy * k + dx) * channels * filters + filter!;
        for (let c = 0; c < channels; c++) sum += pixels[pixel + c]! * weights[weight + c * filters]!;
      }
    }
    return sum;
  });
}
