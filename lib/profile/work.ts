/**
 * What a native call computes, read from its arguments: a name, the shapes, and the least arithmetic and traffic it
 * takes. Arithmetic is counted where it matters (products); elementwise kernels are bound by traffic. A function
 * without an entry is timed all the same.
 */
import { type Address, type Backend, Binary, Layer, Reduce, Unary } from "../native/symbols.gen.ts";

export interface Work {
  /** As tables group calls: "conv", "exp". */
  readonly name: string;
  /** The sizes of this call. */
  readonly shape: string;
  /**
   * Of sums as they are defined: a convolution by Winograd's minimal filtering takes down to a quarter, and so may seem
   * faster than the machine.
   */
  readonly flops: number;
  readonly bytes: number;
}

/** Work on `elements` floats, read and written, counting each once. */
function traffic(name: string, shape: string, elements: number, flops = 0): Work {
  return { name, shape, flops, bytes: 4 * elements };
}

const size = (shape: readonly number[]): number => shape.reduce((m, n) => m * n, 1);
const times = (shape: readonly number[]): string => shape.join("×") || "1";
const nameOf = (codes: Record<string, number>, code: number): string =>
  Object.keys(codes).find((key) => codes[key] === code) ?? `${code}`;

/** An argument that is an array of int32, as numbers. */
function integers(address: Address): number[] {
  return address instanceof Int32Array ? Array.from(address) : [];
}

/** The shape of a layout and, for each of its operands, the distinct elements: broadcast ones count once. */
function readLayout(layout: Address, operands: number): { shape: number[]; elements: number } {
  const [ndim = 0, ...rest] = integers(layout);
  const shape = rest.slice(0, ndim);
  let elements = 0;
  for (let operand = 1; operand <= operands; operand++) {
    const strides = rest.slice(operand * ndim, (operand + 1) * ndim);
    elements += size(shape.filter((_, axis) => strides[axis] !== 0));
  }
  return { shape, elements };
}

function elementwise(name: string, layout: Address, operands: number): Work {
  const { shape, elements } = readLayout(layout, operands);
  return traffic(name, times(shape), elements, size(shape));
}

/** Elements of `operands` arrays, the ids among them, whose shape is the layout's. */
function byIndex(name: string, layout: Address, operands: number): Work {
  const { shape } = readLayout(layout, 0);
  return traffic(name, times(shape), operands * size(shape));
}

function convolution(name: string, geometry: readonly number[]): Work {
  const [n = 0, h = 0, w = 0, c = 0, f = 0, kh = 0, kw = 0, stride = 1, padding = 0] = geometry;
  const [rows, cols] = [taps(h, kh, stride, padding), taps(w, kw, stride, padding)];
  const shape = `${times([n, h, w, c])} to ${f}, ${kh}×${kw}${stride > 1 ? `, stride ${stride}` : ""}`;
  const elements = n * h * w * c + kh * kw * c * f + n * rows.places * cols.places * f;
  return traffic(name, shape, elements, 2 * n * c * f * rows.taps * cols.taps);
}

/** Layers in a row: what each would be as a convolution. */
function layers(rows: Address, count: number, n: number): Work {
  let [flops, bytes] = [0, 0];
  const table = rows instanceof Float64Array ? rows.subarray(0, count * Layer.entries) : new Float64Array();
  for (let row = 0; row < table.length; row += Layer.entries) {
    const layer = convolution("", [n, ...table.subarray(row + Layer.h, row + Layer.padding + 1)]);
    flops += layer.flops;
    bytes += layer.bytes;
  }
  return { name: "layers", shape: `${count} layers, ${n} rows or images`, flops, bytes };
}

/** `arrays` of the windows' size are read or written besides the images. */
function pooling(name: string, geometry: readonly number[], arrays: number): Work {
  const [n = 0, h = 0, w = 0, c = 0, k = 0, stride = 1, padding = 0] = geometry;
  const windows = n * taps(h, k, stride, padding).places * taps(w, k, stride, padding).places * c;
  const shape = `${times([n, h, w, c])}, ${k}×${k}${stride === k ? "" : `, stride ${stride}`}`;
  return traffic(name, shape, n * h * w * c + arrays * windows);
}

/** Along one axis: the places of the kernel, and the taps of all of them that do not fall on padding. */
function taps(length: number, k: number, stride: number, padding: number): { places: number; taps: number } {
  const places = Math.floor((length + 2 * padding - k) / stride) + 1;
  let count = 0;
  for (let place = 0; place < places; place++) {
    const start = place * stride - padding;
    count += Math.max(0, Math.min(start + k, length) - Math.max(start, 0));
  }
  return { places, taps: count };
}

/** A recurrent layer over a sequence: `products` is 1 forward, and 2 for the gradients of operands and weights. */
function recurrent(name: string, sizes: [number, number, number, number], gates: number, products: number): Work {
  const [steps, batch, inputs, hidden] = sizes;
  const weights = (inputs + hidden) * gates * hidden;
  const arrays = steps * batch * (inputs + (gates + 2) * hidden);
  const shape = `${steps}×${batch}×${inputs} to ${hidden}`;
  return traffic(name, shape, products * (weights + arrays), products * 2 * steps * batch * weights);
}

/** `products` of queries, keys and features, half of them where queries are causal. */
function attention(name: string, header: Address, products: number): Work {
  const [length = 0, keys = 0, features = 0, values = 0, causal = 0, _step, ndim = 0, ...rest] = integers(header);
  const batch = rest.slice(0, ndim);
  const shape = `${times(batch)} of ${length}×${features} · ${features}×${keys}${causal ? ", causal" : ""}`;
  const elements = size(batch) * (length + keys) * (features + values);
  const flops = products * size(batch) * length * keys * (features + values);
  return traffic(name, shape, products > 2 ? 2 * elements : elements, causal ? flops / 2 : flops);
}

/** The elements of the arrays in a table of `count` rows of `width`, the last the number of elements. */
function tableElements(table: Address, count: number, width: number): number {
  if (!(table instanceof Float64Array)) return 0;
  let elements = 0;
  for (let row = 0; row < count; row++) elements += table[row * width + width - 1]!;
  return elements;
}

/** The arguments of each function of a library. */
export type Arguments = { [Name in keyof Backend]: Parameters<Backend[Name]> };

/** One entry a function; the arguments are those of csrc/thimble.h. */
export const WORK: { readonly [Name in keyof Backend]?: (...args: Arguments[Name]) => Work } = {
  th_upload: (_out, _in, bytes) => ({ name: "upload", shape: `${bytes} B`, flops: 0, bytes }),
  th_download: (_out, _in, bytes) => ({ name: "download", shape: `${bytes} B`, flops: 0, bytes }),
  th_fill: (_out, layout) => elementwise("fill", layout, 1),
  th_copy: (_out, _in, layout) => elementwise("copy", layout, 2),
  th_cast: (_out, _in, layout) => elementwise("cast", layout, 2),
  th_unary: (_out, _in, layout, op) => elementwise(nameOf(Unary, op), layout, 2),
  th_binary: (_out, _a, _b, layout, op) => elementwise(nameOf(Binary, op), layout, 3),
  th_where: (_out, _condition, _a, _b, layout) => elementwise("where", layout, 4),
  th_scale: (_x, _factor, n) => traffic("scale", `${n}`, 2 * n, n),
  th_reduce(_out, _in, layout, reduced, op) {
    const { shape, elements } = readLayout(layout, 1);
    const kept = shape.length - reduced;
    const name = nameOf(Reduce, op);
    return traffic(name, `${times(shape)} to ${times(shape.slice(0, kept))}`, elements + size(shape.slice(0, kept)), size(shape)); // prettier-ignore
  },
  th_matmul(_c, _a, _b, _bias, header) {
    const [m = 0, n = 0, k = 0, _lda, _ldb, ta = 0, tb = 0, ndim = 0, ...rest] = integers(header);
    const batch = rest.slice(0, ndim);
    const count = size(batch);
    const shape = `${ndim > 0 ? `${times(batch)} of ` : ""}${m}×${k}${ta ? "ᵀ" : ""} · ${k}×${n}${tb ? "ᵀ" : ""}`;
    return traffic("matmul", shape, count * (m * k + k * n + m * n), 2 * count * m * n * k);
  },
  th_conv: (_y, _x, _w, _bias, geometry) => convolution("conv", integers(geometry)),
  th_layers: (_y, _x, _work, rows, count, n) => layers(rows, count, n),
  th_conv_backward_data: (_dx, _dy, _w, geometry) => convolution("conv backward data", integers(geometry)),
  th_conv_backward_weight: (_dw, _db, _x, _dy, geometry) => convolution("conv backward weight", integers(geometry)),
  th_max_pool: (_y, index, _x, geometry) => pooling("max pool", integers(geometry), index === null ? 1 : 2),
  th_max_pool_backward: (_dx, _dy, _index, geometry) => pooling("max pool backward", integers(geometry), 2),
  // A window's sum is the gradient of a pixel that is repeated, and the other way round.
  th_avg_pool: (_y, _x, geometry, scale) =>
    pooling(scale === 1 ? "upsample backward" : "avg pool", integers(geometry), 1),
  th_avg_pool_backward: (_dx, _dy, geometry, scale) =>
    pooling(scale === 1 ? "upsample" : "avg pool backward", integers(geometry), 1),
  th_batch_norm: (_y, _m, _s, _rm, _rv, _x, _w, _b, rows, channels) =>
    traffic("batch norm", times([rows, channels]), 2 * rows * channels),
  th_batch_norm_inference: (_y, _x, _w, _b, _m, _v, rows, channels) =>
    traffic("batch norm inference", times([rows, channels]), 2 * rows * channels),
  th_batch_norm_backward: (_dx, _dw, _db, _dy, _x, _w, _b, _m, _s, rows, channels) =>
    traffic("batch norm backward", times([rows, channels]), 3 * rows * channels),
  th_layer_norm: (_y, _m, _s, _x, _w, _b, rows, cols) => traffic("layer norm", times([rows, cols]), 2 * rows * cols),
  th_layer_norm_backward: (_dx, _dw, _db, _dy, _x, _w, _m, _s, rows, cols) =>
    traffic("layer norm backward", times([rows, cols]), 3 * rows * cols),
  th_rms_norm: (_y, _r, _x, _w, rows, cols) => traffic("RMS norm", times([rows, cols]), 2 * rows * cols),
  th_rms_norm_backward: (_dx, _dw, _dy, _x, _w, _r, rows, cols) =>
    traffic("RMS norm backward", times([rows, cols]), 3 * rows * cols),
  th_group_norm: (_y, _m, _s, _x, _w, _b, images, rows, channels) =>
    traffic("group norm", times([images, rows, channels]), 2 * images * rows * channels),
  th_group_norm_backward: (_dx, _dw, _db, _dy, _x, _w, _m, _s, images, rows, channels) =>
    traffic("group norm backward", times([images, rows, channels]), 3 * images * rows * channels),
  th_softmax: (_y, _x, rows, cols) => traffic("softmax", times([rows, cols]), 2 * rows * cols),
  th_softmax_backward: (_dx, _dy, _y, rows, cols) => traffic("softmax backward", times([rows, cols]), 3 * rows * cols),
  th_cross_entropy: (_loss, dx, _x, _labels, rows, cols) =>
    traffic("cross entropy", times([rows, cols]), (dx === null ? 1 : 2) * rows * cols),
  th_linear_cross_entropy(_loss, _correct, dx, dweight, _dbias, _x, _w, _b, _labels, rows, features, classes) {
    const products = 1 + (dx === null ? 0 : 1) + (dweight === null ? 0 : 1);
    const shape = times([rows, features, classes]);
    return traffic("linear cross entropy", shape, products * (rows + classes) * features, products * 2 * rows * features * classes); // prettier-ignore
  },
  th_attention: (_y, _statistics, _q, _k, _v, _bias, header) => attention("attention", header, 2),
  th_attention_backward: (_dq, _dk, _dv, _ds, _dy, _statistics, _q, _k, _v, _bias, header) =>
    attention("attention backward", header, 5),
  th_embedding: (_out, _table, _ids, count, dim) => traffic("embedding", times([count, dim]), 2 * count * dim),
  th_embedding_backward: (_dtable, _dy, _ids, count, dim, rows) =>
    traffic("embedding backward", `${times([count, dim])} into ${rows} rows`, 2 * count * dim + rows * dim),
  th_gather: (_out, _in, _ids, layout) => byIndex("gather", layout, 3),
  th_scatter_add: (_out, _in, _ids, layout) => byIndex("scatter add", layout, 4),
  th_cum_sum: (_out, _in, layout) => elementwise("cumulative sum", layout, 2),
  th_sort: (_values, _indices, _in, rows, cols, count) =>
    traffic("sort", `${count} of ${times([rows, cols])}`, rows * (cols + 2 * count)),
  th_rnn: (_s, _x, _h, _wi, _wh, _bi, _bh, ...sizes) => recurrent("RNN", firstFour(sizes), 1, 1),
  th_rnn_backward: (_dx, _dh, _dwi, _dwh, _db, _p, _dy, _x, _s, _wi, _wh, ...sizes) =>
    recurrent("RNN backward", firstFour(sizes), 1, 2),
  th_lstm: (_s, _c, _g, _x, _h, _c0, _wi, _wh, _bi, _bh, ...sizes) => recurrent("LSTM", sizes, 4, 1),
  th_lstm_backward: (_dx, _dh, _dc, _dwi, _dwh, _db, _g, _dy, _dcl, _x, _s, _c, _wi, _wh, ...sizes) =>
    recurrent("LSTM backward", sizes, 4, 2),
  th_gru: (_s, _g, _p, _x, _h, _wi, _wh, _bi, _bh, ...sizes) => recurrent("GRU", sizes, 3, 1),
  th_gru_backward: (_dx, _dh, _dwi, _dwh, _dbi, _dbh, _g, _p, _dy, _x, _s, _wi, _wh, ...sizes) =>
    recurrent("GRU backward", sizes, 3, 2),
  th_uniform: (_out, n) => traffic("uniform", `${n}`, n),
  th_normal: (_out, n) => traffic("normal", `${n}`, n),
  th_dropout: (_out, _in, n) => traffic("dropout", `${n}`, 2 * n),
  th_randint: (_out, n) => traffic("random integers", `${n}`, n),
  th_multinomial: (_out, _weights, rows, cols, count) =>
    traffic("multinomial", `${count} of ${times([rows, cols])}`, rows * (cols + count)),
  th_permutation: (_out, n) => traffic("permutation", `${n}`, n),
  th_sgd(table, count, _lr, momentum) {
    const n = tableElements(table, count, 4);
    return traffic("SGD", `${count} arrays of ${n}`, (momentum === 0 ? 3 : 5) * n);
  },
  th_adam(table, count) {
    const n = tableElements(table, count, 5);
    return traffic("Adam", `${count} arrays of ${n}`, 7 * n);
  },
  th_rmsprop(table, count, _lr, _alpha, _eps, _decay, momentum) {
    const n = tableElements(table, count, 6);
    return traffic("RMSprop", `${count} arrays of ${n}`, (momentum === 0 ? 5 : 7) * n);
  },
  th_clip_grad_norm(_norm, table, count) {
    const n = tableElements(table, count, 2);
    return traffic("clip gradient norm", `${count} arrays of ${n}`, 2 * n);
  },
  th_gather_images: (_out, _images, _plan, count, channels, height, width) =>
    traffic("gather images", times([count, height, width, channels]), 1.25 * count * channels * height * width),
};

type RNNSizes = [steps: number, batch: number, inputs: number, hidden: number, relu: number];
const firstFour = ([steps, batch, inputs, hidden]: RNNSizes): [number, number, number, number] => [
  steps,
  batch,
  inputs,
  hidden,
];
