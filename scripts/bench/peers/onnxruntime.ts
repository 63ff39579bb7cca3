/** onnxruntime-node: inference of ResNet-9 from an ONNX file. */
import { checksum, fill } from "../fill.ts";
import type { JavaScriptPeer } from "./javascript.ts";
import { onnxModel } from "./onnx.ts";
import { resnet9 } from "./resnet9.ts";

/** The part of onnxruntime-node that is used. */
interface OnnxRuntime {
  env: { versions: { common: string; node?: string } };
  InferenceSession: {
    create(model: Uint8Array, options: { intraOpNumThreads: number; executionProviders: string[] }): Promise<Session>;
  };
  Tensor: new (type: "float32", data: Float32Array, dims: number[]) => object;
}
interface Session {
  outputNames: string[];
  run(feeds: Record<string, object>): Promise<Record<string, { data: Float32Array }>>;
}

export function openOnnxRuntime(load: NodeJS.Require, threads: number): JavaScriptPeer {
  const runtime: OnnxRuntime = load("onnxruntime-node");
  const { node, common } = runtime.env.versions;
  return {
    name: `onnxruntime-node ${node ?? common}`,
    async prepare([name, pass, count]) {
      if (name !== "resnet9" || pass !== "infer") return null;
      const batch = Number(count);
      const options = { intraOpNumThreads: threads, executionProviders: ["cpu"] };
      const session = await runtime.InferenceSession.create(onnxModel(resnet9(), batch), options);
      const nhwc = fill(batch * 32 * 32 * 3, 1000);
      const nchw = Float32Array.from(nhwc, (_, i) => {
        const [image, channel, pixel] = [Math.floor(i / 3072), Math.floor(i / 1024) % 3, i % 1024];
        return nhwc[(image * 1024 + pixel) * 3 + channel]!;
      });
      const x = new runtime.Tensor("float32", nchw, [batch, 3, 32, 32]);
      const infer = async () => (await session.run({ x }))[session.outputNames[0]!]!;
      return {
        run: async () => void (await infer()),
        values: async () => checksum((await infer()).data),
      };
    },
  };
}
