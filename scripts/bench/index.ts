/**
 * `bun run bench [--rounds N] [--steps N] [--json FILE]`: a ResNet-9 training step at batch 128, thimble and PyTorch
 * (its NCHW and channels-last formats, each with its default threads and with OMP_WAIT_POLICY=passive) in alternating
 * rounds of one run. Prints medians and the ratio to the best peer. Peers that are not installed are named as missing.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";

import { cpu, init, manualSeed, nn, optim, tensor, tidy } from "thimble";
import { ResNet9 } from "thimble/models";

import { type Contestant, inProcess, median, subprocess } from "./contestant.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    steps: { type: "string", default: "10" },
    batch: { type: "string", default: "128" },
    json: { type: "string" },
  },
});
const [rounds, steps, batch] = [Number(values.rounds), Number(values.steps), Number(values.batch)];

function thimbleStep(): () => void {
  manualSeed(0);
  const model = new ResNet9();
  const images = init.normal([batch, 32, 32, 3]).permute([0, 3, 1, 2]);
  const labels = tensor(Int32Array.from({ length: batch }, (_, i) => i % 10));
  const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3, weightDecay: 1e-3 });
  const lossFunction = new nn.SoftmaxLoss();
  return () =>
    tidy(() => {
      optimizer.zeroGrad();
      const loss = lossFunction.forward(model.forward(images), labels);
      loss.backward();
      optimizer.step();
      loss.item();
    });
}

const contestants: Contestant[] = [inProcess(`thimble (${cpu().isa}, ${cpu().threads} threads)`, thimbleStep())];
const python = process.env.PYTHON ?? ((await Bun.file("/usr/bin/python3").exists()) ? "/usr/bin/python3" : "python3");
const script = join(import.meta.dir, "torch_resnet9.py");
for (const format of ["contiguous", "channels-last"]) {
  for (const policy of ["", "passive"]) {
    const env: Record<string, string> = policy === "" ? {} : { OMP_WAIT_POLICY: policy };
    const label = [format, policy].filter(Boolean).join(", ");
    const peer = await subprocess([python, script, String(batch), format, String(cpu().threads)], label, env);
    if (peer === null) console.log(`missing: PyTorch (${label}); Debian's package is python3-torch`);
    else contestants.push(peer);
  }
}

const times = new Map<Contestant, number[]>(contestants.map((contestant) => [contestant, []]));
for (const contestant of contestants) await contestant.round(2 * steps); // warm-up
for (let i = 0; i < rounds; i++) {
  for (const contestant of contestants) {
    await Bun.sleep(20); // the threads of the one before go to sleep
    times.get(contestant)!.push(...(await contestant.round(steps)));
  }
}
for (const contestant of contestants) contestant.close();

const medians = contestants.map((contestant) => ({ name: contestant.name, ms: median(times.get(contestant)!) }));
const [ours, ...peers] = medians;
console.log(`\nResNet-9 training step, batch ${batch}: ${rounds} rounds of ${steps} steps each\n`);
for (const { name, ms } of medians) {
  console.log(
    `${name.padEnd(48)} ${ms.toFixed(3).padStart(9)} ms ${((batch / ms) * 1e3).toFixed(0).padStart(8)} images/s`,
  );
}
const best = peers.toSorted((a, b) => a.ms - b.ms)[0];
if (best !== undefined) console.log(`\nratio to the best peer (${best.name}): ${(ours!.ms / best.ms).toFixed(3)}`);
if (values.json)
  await Bun.write(values.json, JSON.stringify({ date: new Date().toISOString(), batch, medians }, null, 2));
process.exit(0);
