import { describe, expect, test } from "bun:test";

import { NDArray } from "../../../lib/index.ts";
import { ResNet9 } from "../../../models/index.ts";
import { setParameters } from "../../../scripts/bench/parameters.ts";
import { PeerError, startPeer } from "../../../scripts/bench/peer.ts";
import { onnxModel } from "../../../scripts/bench/peers/onnx.ts";
import { type Parameter, resnet9 } from "../../../scripts/bench/peers/resnet9.ts";
import { runScript } from "../../support/command.ts";

const start = (source: string) => startPeer([process.execPath, "-e", source], "setting", { ...process.env });

/** Answers the first requests with the given lines, then ends. */
const script = (...answers: object[]) => `
  const answers = ${JSON.stringify(answers.map((answer) => JSON.stringify(answer)))};
  console.log(answers.shift());
  for await (const line of console) {
    if (answers.length === 0) { console.error("out of answers"); process.exit(1); }
    console.log(answers.shift());
  }`;

describe("a peer", () => {
  test("answers line by line", async () => {
    const peer = await start(script({ name: "Peer 1.0" }, { values: [1, 2] }, { ms: [3] }, { missing: "that" }));
    expect(peer?.name).toBe("Peer 1.0, setting");
    expect(await peer!.prepare("matmul 1")).toEqual([1, 2]);
    expect(await peer!.time(1, 1)).toEqual([3]);
    expect(await peer!.prepare("conv 1")).toBeNull();
    await expect(peer!.prepare("conv 2")).rejects.toThrow(PeerError);
    await expect(peer!.prepare("conv 2")).rejects.toThrow("out of answers");
    peer!.close();
  });

  test("that cannot be started is missing", async () => {
    expect(await start("process.exit(1)")).toBeNull();
    expect(await startPeer(["no-such-program-anywhere"], "", {})).toBeNull();
  });
});

/** The fields of a protobuf message: [number, value], bytes as they are. */
function decode(message: Uint8Array): [field: number, value: number | Uint8Array][] {
  const fields: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new Error("truncated");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const wire = key % 8;
    const length = wire === 2 ? varint() : wire === 5 ? 4 : 0;
    if (at + length > message.length) throw new Error("truncated");
    fields.push([Math.floor(key / 8), wire === 0 ? varint() : message.slice(at, at + length)]);
    at += length;
  }
  return fields;
}
const all = (message: Uint8Array, field: number) =>
  decode(message).flatMap(([number, value]) => (number === field && value instanceof Uint8Array ? [value] : []));
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test("the ONNX model has ResNet-9's layers, each fed by what was made before it", () => {
  const [graph] = all(onnxModel(resnet9(), 4), 7);
  const known = new Set(["x", ...all(graph!, 5).map((tensor) => text(all(tensor, 8)[0]!))]);
  const counts: Record<string, number> = {};
  for (const node of all(graph!, 1)) {
    for (const input of all(node, 1)) expect(known).toContain(text(input));
    known.add(text(all(node, 2)[0]!));
    const type = text(all(node, 4)[0]!);
    counts[type] = (counts[type] ?? 0) + 1;
  }
  expect(counts).toEqual({ Conv: 8, BatchNormalization: 8, Relu: 9, Add: 2, Flatten: 1, Gemm: 2 });
  expect(known).toContain(text(all(all(graph!, 12)[0]!, 1)[0]!));
  for (const tensor of all(graph!, 5)) {
    const dims = decode(tensor).flatMap(([field, value]) => (field === 1 ? [Number(value)] : []));
    expect(all(tensor, 9)[0]!.length).toBe(4 * dims.reduce((m, n) => m * n, 1));
  }
});

test("the peers' ResNet-9 has the parameters of ours, in order and with the same numbers", () => {
  const model = new ResNet9();
  setParameters(model.parameters());
  const { blocks, hidden, logits } = resnet9();
  const theirs: Parameter[] = [
    ...blocks.flatMap(({ weight, bias, normWeight, normBias }) => [weight, bias, normWeight, normBias]),
    ...[hidden, logits].flatMap(({ weight, bias }) => [weight, bias]),
  ];
  expect(model.parameters().map(({ shape }) => Array.from(shape))).toEqual(theirs.map(({ shape }) => shape));
  model.parameters().forEach((parameter, i) => {
    const same = NDArray.from(theirs[i]!.values, { shape: theirs[i]!.shape }).equal(parameter.data);
    expect(same.mean().item()).toBe(1);
  });
});

test("the command lists its groups, and refuses others", async () => {
  const help = await runScript("bench/index.ts", ["--help"]);
  expect(help.code).toBe(0);
  expect(help.stdout).toContain("resnet9-train, resnet9-infer, lm-train, matmul, conv");
  const mistake = await runScript("bench/index.ts", ["convolution"]);
  expect([mistake.code, mistake.stderr]).toEqual([2, expect.stringContaining("'convolution' is not one of")]);
});
