/**
 * Layers in a row, for inference, as one native call. A convolution or linear layer begins a row of the call's table;
 * batch normalisation, ReLU and a residual that follow join it, so a layer's images are written once. Each thread
 * takes its share of the images through all layers.
 *
 * A module class takes part by a method `[joins]`, which adds to a chain what the class's `forward` does.
 */
import { Tensor } from "../autograd/tensor.ts";
import { check } from "../native/status.ts";
import { Storage } from "../native/storage.ts";
import { Layer, Place } from "../native/symbols.gen.ts";
import { definer } from "../native/prototype.ts";
import { ELEMENT_BYTES } from "../ndarray/dtype.ts";
import { MAX_SIZE } from "../ndarray/layout.ts";
import { NDArray } from "../ndarray/ndarray.ts";
import { contiguous, convSize, type PerChannel, releaseCopy } from "../ops/support.ts";
import { joins, type Module } from "./module.ts";
import { TO_NCHW, TO_NHWC } from "./pixels.ts";

/** What has been done to the sums of the last layer. Nothing joins a closed one. */
const Stage = { sums: 0, normalized: 1, rectified: 2, added: 3, closed: 4 } as const;
type Stage = (typeof Stage)[keyof typeof Stage];

/** A weight of so many elements and more is not read again by each thread for its few pixels. */
const LARGE_WEIGHT = 2 ** 20;
const FEW_PIXELS = 512;

/** The rows of the chain being made; one at a time is. */
let table = new Float64Array(16 * Layer.entries);

interface Weights {
  weight: Tensor;
  bias: Tensor | null;
}

/** Sizes of the images, or rows (then 1 × 1), at the end of a chain. */
interface End {
  count: number;
  place: number;
  stage: Stage;
  isImages: boolean;
  h: number;
  w: number;
  c: number;
}

/** Modules that have joined so far, as rows of the table; where the images are at its end, and how they lie. */
export class Chain {
  /** Modules that have joined, of the list that {@link of} was given. */
  joined = 0;
  private end: End;
  /** The most floats of an image in each slot of the work space. */
  private readonly slots: number[] = [];
  /** Slots that a residual still reads. */
  private readonly held: number[] = [];

  private readonly x: Tensor;

  private constructor(x: Tensor) {
    this.x = x;
    const [, c = 0, h = 1, w = 1] = x.shape;
    this.end = { count: 0, place: Place.x, stage: Stage.closed, isImages: x.ndim === 4, h, w, c };
  }

  /** As many modules from `start` on as can run as one call on x (N, C, H, W) or (N, C); null if none can. */
  static of(modules: readonly Module[], start: number, x: Tensor): Chain | null {
    if (!(x instanceof Tensor) || x.dtype !== "float32" || (x.ndim !== 4 && x.ndim !== 2)) return null;
    const chain = new Chain(x);
    for (let i = start; i < modules.length && chain.add(modules[i]!); i++) chain.joined++;
    return chain.end.count > 0 ? chain : null;
  }

  /** Adds what a module does. False, with nothing added, if it must run by itself. */
  add(module: Module): boolean {
    if (!isDescribed(module)) return false;
    const { count, place, stage, isImages, h, w, c } = this.end;
    if (module[joins]!(this)) return true;
    this.end = { count, place, stage, isImages, h, w, c };
    return false;
  }

  /** All of the modules or none; what they do is not mixed with the layer before them. */
  addAll(modules: readonly Module[]): boolean {
    this.end.stage = Stage.closed;
    return modules.every((module) => this.add(module));
  }

  conv(layer: Weights & { stride: number; padding: number }): boolean {
    const { shape } = layer.weight;
    if (!this.end.isImages || shape.length !== 4 || shape[2] !== this.end.c) return false;
    return this.layer(layer, shape[3]!, shape[0]!, shape[1]!, layer.stride, layer.padding);
  }

  linear(layer: Weights): boolean {
    const { shape } = layer.weight;
    if (this.end.isImages || shape.length !== 2 || shape[0] !== this.end.c) return false;
    return this.layer(layer, shape[1]!, 1, 1, 1, 0);
  }

  /** Batch normalisation of images or of rows by fixed statistics. */
  norm(norm: PerChannel & { eps: number; relu: boolean }, ofImages: boolean): boolean {
    const { end } = this;
    const { weight, bias, runningMean, runningVar } = norm;
    if (end.stage !== Stage.sums || end.isImages !== ofImages) return false;
    const fits = (value: unknown) => this.isUsable(value) && isVector(value, end.c);
    if (!fits(weight) || !fits(bias) || !fits(runningMean) || !fits(runningVar)) return false;
    const row = (end.count - 1) * Layer.entries;
    table[row + Layer.gamma] = weight.data.pointer;
    table[row + Layer.beta] = bias.data.pointer;
    table[row + Layer.mean] = runningMean.data.pointer;
    table[row + Layer.var] = runningVar.data.pointer;
    table[row + Layer.eps] = norm.eps;
    end.stage = Stage.normalized;
    return !norm.relu || this.relu();
  }

  relu(): boolean {
    const { end } = this;
    if (end.stage === Stage.closed) return false;
    if (end.stage === Stage.rectified) return true;
    const entry = end.stage === Stage.added ? Layer.reluAfter : Layer.relu;
    table[(end.count - 1) * Layer.entries + entry] = 1;
    end.stage = end.stage === Stage.added ? Stage.closed : Stage.rectified;
    return true;
  }

  /** Free where channels, which lie innermost, are all there is beside the rows, or one. */
  flatten(): boolean {
    const { end } = this;
    if (end.h * end.w > 1) {
      if (end.c > 1) return false;
      end.c = end.h * end.w;
      end.h = end.w = 1;
      end.stage = Stage.closed;
    }
    end.isImages = false;
    return true;
  }

  /** module(x) + x. */
  residual(module: Module): boolean {
    const from = { ...this.end };
    this.held.push(from.place);
    this.end.stage = Stage.closed;
    const joined = this.add(module);
    this.held.pop();
    const { end } = this;
    const isSame = end.isImages === from.isImages && end.h === from.h && end.w === from.w && end.c === from.c;
    if (!joined || end.count === from.count || !isSame || end.stage >= Stage.added) return false;
    table[(end.count - 1) * Layer.entries + Layer.add] = from.place;
    end.stage = Stage.added;
    return true;
  }

  private layer(layer: Weights, f: number, kh: number, kw: number, stride: number, padding: number): boolean {
    const { end } = this;
    const { weight, bias } = layer;
    // What conv refuses is left to it, as it says why.
    if (!(Number.isInteger(stride) && stride > 0 && Number.isInteger(padding) && padding >= 0)) return false;
    if (Math.max(stride, Math.max(end.h, end.w) + 2 * padding) > MAX_SIZE) return false;
    const oh = convSize(end.h, kh, stride, padding);
    const ow = convSize(end.w, kw, stride, padding);
    const pixels = this.x.shape[0]! * oh * ow;
    if (oh < 1 || ow < 1 || kh === 0 || kw === 0 || f === 0 || pixels * f > MAX_SIZE) return false;
    if (!this.isUsable(weight) || (bias !== null && !(this.isUsable(bias) && isVector(bias, f)))) return false;
    if (weight.size >= LARGE_WEIGHT && pixels < FEW_PIXELS && this.x.shape[0]! > 1) return false;
    const out = this.nextPlace();
    const row = end.count * Layer.entries;
    if (row === table.length) table = grown(table);
    table.fill(0, row, row + Layer.entries);
    table[row + Layer.in] = end.place;
    table[row + Layer.out] = out;
    table[row + Layer.add] = Place.none;
    table[row + Layer.h] = end.h;
    table[row + Layer.w] = end.w;
    table[row + Layer.c] = end.c;
    table[row + Layer.f] = f;
    table[row + Layer.kh] = kh;
    table[row + Layer.kw] = kw;
    table[row + Layer.stride] = stride;
    table[row + Layer.padding] = padding;
    table[row + Layer.weight] = weight.data.pointer;
    if (bias !== null) table[row + Layer.bias] = bias.data.pointer;
    end.count++;
    end.place = out;
    end.stage = Stage.sums;
    end.h = oh;
    end.w = ow;
    end.c = f;
    return true;
  }

  /** A slot for the next layer's result, which nobody still reads. The last result then takes its room in its own. */
  private nextPlace(): number {
    const { place, h, w, c } = this.end;
    if (place !== Place.x) this.slots[place] = Math.max(this.slots[place] ?? 0, h * w * c);
    let next = 0;
    while (next === place || this.held.includes(next)) next++;
    return next;
  }

  private isUsable(value: unknown): value is Tensor {
    return (
      value instanceof Tensor && value.dtype === "float32" && value.device === this.x.device && value.data.isCompact()
    );
  }

  /** What the modules make of x. */
  run(): Tensor {
    const { x, end } = this;
    const { backend, pool } = x.device;
    const n = x.shape[0]!;
    const floats = this.placeImages();
    const pixels = x.ndim === 4 ? x.data.permute(TO_NHWC) : x.data;
    const input = contiguous(pixels);
    const y = NDArray.empty(end.isImages ? [n, end.h, end.w, end.c] : [n, end.c], x.data);
    const work = floats > 0 ? new Storage(pool, n * floats * ELEMENT_BYTES) : null;
    const status = backend.th_layers(y.pointer, input.pointer, work?.pointer ?? null, table, end.count, n, floats);
    work?.release();
    releaseCopy(input, pixels);
    releaseCopy(pixels, x.data);
    check(status, backend, "layers");
    if (!end.isImages) return new Tensor(y);
    const images = y.permute(TO_NCHW);
    y.dispose();
    return new Tensor(images);
  }

  /** Turns slots into places in the work space; its floats for each image. */
  private placeImages(): number {
    let floats = 0;
    const places = this.slots.map((size) => {
      floats += size;
      return floats - size;
    });
    const last = (this.end.count - 1) * Layer.entries;
    for (let row = 0; row <= last; row += Layer.entries) {
      for (const entry of [Layer.in, Layer.out, Layer.add]) {
        const slot = table[row + entry]!;
        if (slot >= 0) table[row + entry] = places[slot] ?? Place.y; // only the last result has no room there
      }
    }
    table[last + Layer.out] = Place.y;
    return floats;
  }
}

const isVector = ({ shape }: Tensor, length: number): boolean => shape.length === 1 && shape[0] === length;

function grown(rows: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(2 * rows.length);
  larger.set(rows);
  return larger;
}

/** Whether the `[joins]` of a module describes the `forward` it has: a subclass may have given it another. */
function isDescribed(module: Module): boolean {
  const type: unknown = Object.getPrototypeOf(module);
  if (typeof type !== "object" || type === null || Object.hasOwn(module, "forward")) return false;
  let answer = described.get(type);
  if (answer === undefined) {
    answer = definer(type, "forward") === definer(type, joins) && joins in type;
    described.set(type, answer);
  }
  return answer;
}

const described = new WeakMap<object, boolean>();
