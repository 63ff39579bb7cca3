/**
 * ResNet-9 as an ONNX file, written by hand: the few protobuf messages of onnx.proto3 that it takes, whose field
 * numbers stand beside their names.
 */
import { type ConvBlock, type LinearLayer, type Parameter, type ResNet9, startsResidual } from "./resnet9.ts";

type Bytes = Uint8Array<ArrayBuffer>;

function varint(value: number): number[] {
  const out: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) | 128);
  return [...out, value];
}

const concat = (parts: readonly (Bytes | number[])[]): Bytes =>
  Buffer.concat(parts.map((part) => Uint8Array.from(part)));
/** A field that is an integer. */
const integer = (field: number, value: number): Bytes => Uint8Array.from([...varint(field * 8), ...varint(value)]);
/** A field that is bytes, a text or a message. */
function bytes(field: number, value: Bytes | string): Bytes {
  const content = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return concat([varint(field * 8 + 2), varint(content.length), content]);
}
function float(field: number, value: number): Bytes {
  return concat([varint(field * 8 + 5), new Uint8Array(Float32Array.of(value).buffer)]);
}

const FLOAT = 1;

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
function tensor(name: string, shape: readonly number[], values: Float32Array): Bytes {
  const raw = new Uint8Array(values.slice().buffer);
  return concat([...shape.map((n) => integer(1, n)), integer(2, FLOAT), bytes(8, name), bytes(9, raw)]);
}

/** ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1 with elem_type 1 and shape 2; dim 1 with dim_value 1. */
function valueInfo(name: string, shape: readonly number[]): Bytes {
  const dims = concat(shape.map((n) => bytes(1, integer(1, n))));
  return concat([bytes(1, name), bytes(2, bytes(1, concat([integer(1, FLOAT), bytes(2, dims)])))]);
}

/** AttributeProto: name 1, f 2, i 3, ints 8, type 20 (1 float, 2 int, 7 ints). */
function attribute(name: string, value: number | number[]): Bytes {
  if (Array.isArray(value)) return concat([bytes(1, name), ...value.map((n) => integer(8, n)), integer(20, 7)]);
  return Number.isInteger(value)
    ? concat([bytes(1, name), integer(3, value), integer(20, 2)])
    : concat([bytes(1, name), float(2, value), integer(20, 1)]);
}

/** The graph under construction: GraphProto has node 1, name 2, initializer 5, input 11, output 12. */
class Graph {
  private readonly parts: Bytes[] = [bytes(2, "resnet9")];
  private values = 0;

  /** NodeProto: input 1, output 2, op_type 4, attribute 5. Gives the name of the output. */
  node(type: string, inputs: readonly string[], attributes: Record<string, number | number[]> = {}): string {
    const out = `v${this.values++}`;
    const fields = Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value)));
    this.parts.push(
      bytes(1, concat([...inputs.map((name) => bytes(1, name)), bytes(2, out), bytes(4, type), ...fields])),
    );
    return out;
  }

  constant(shape: readonly number[], values: Float32Array): string {
    const name = `c${this.values++}`;
    this.parts.push(bytes(5, tensor(name, shape, values)));
    return name;
  }

  parameter({ shape, values }: Parameter): string {
    return this.constant(shape, values);
  }

  convBlock(x: string, { kernel, stride, weight, bias, normWeight, normBias }: ConvBlock): string {
    const [, , channels, outputs] = weight.shape as [number, number, number, number];
    const ours = weight.values;
    const oihw = Float32Array.from(ours, (_, i) => {
      const [tap, c, o] = [
        i % (kernel * kernel),
        Math.floor(i / kernel ** 2) % channels,
        Math.floor(i / kernel ** 2 / channels),
      ];
      return ours[(tap * channels + c) * outputs + o]!;
    });
    const w = this.constant([outputs, channels, kernel, kernel], oihw);
    const pad = kernel >> 1;
    const y = this.node("Conv", [x, w, this.parameter(bias)], {
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
    });
    const statistics = [0, 1].map((value) => this.constant([outputs], new Float32Array(outputs).fill(value)));
    const norm = [y, this.parameter(normWeight), this.parameter(normBias), ...statistics];
    return this.node("Relu", [this.node("BatchNormalization", norm, { epsilon: 1e-5 })]);
  }

  linear(x: string, { weight, bias }: LinearLayer): string {
    return this.node("Gemm", [x, this.parameter(weight), this.parameter(bias)]);
  }

  /** ModelProto: ir_version 1, graph 7, opset_import 8 with version 2. */
  finish(input: Bytes, output: Bytes): Bytes {
    const graph = concat([...this.parts, bytes(11, input), bytes(12, output)]);
    return concat([integer(1, 8), bytes(7, graph), bytes(8, integer(2, 15))]);
  }
}

/** The model for `batch` images "x" (N, 3, 32, 32). */
export function onnxModel({ blocks, hidden, logits }: ResNet9, batch: number): Bytes {
  const graph = new Graph();
  let x = "x";
  let kept = x;
  blocks.forEach((block, i) => {
    if (startsResidual(i)) kept = x;
    x = graph.convBlock(x, block);
    if (i > 0 && startsResidual(i - 1)) x = graph.node("Add", [x, kept]);
  });
  x = graph.node("Relu", [graph.linear(graph.node("Flatten", [x]), hidden)]);
  const out = graph.linear(x, logits);
  return graph.finish(valueInfo("x", [batch, 3, 32, 32]), valueInfo(out, [batch, 10]));
}
