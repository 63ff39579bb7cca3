/**
 * `bun run bench [GROUP…]`: thimble and its peers, interleaved in one run, every one the same work on the same numbers.
 * Prints a table for each group, and writes all figures as JSON and a chart of the ratios.
 */
import { cpus } from "node:os";

import { cpu } from "thimble";

import { commandLine } from "../cli/options.ts";
import { prepareOutput } from "../cli/output.ts";
import { drawChart } from "./chart.ts";
import { parts, whyNoCuda } from "./groups/index.ts";
import { measureMachine } from "./machine.ts";
import { ours } from "./ours.ts";
import { installPeers, Peers, peersFolder } from "./peers.ts";
import { drawPlots } from "./plot.ts";
import type { ReportResult } from "./report.ts";
import { type Effort, timeCase } from "./rounds.ts";
import { caseResult, formatGroup, formatNumber, formatTable, groupResult, type GroupResult } from "./table.ts";
import type { Group } from "./workload.ts";

const names = parts.map(({ name }) => name);
const noCuda = process.argv.includes("cuda") ? whyNoCuda() : null;
if (noCuda !== null) {
  console.error(noCuda);
  process.exit(1);
}
const { values: options, words } = commandLine(
  "bun run bench [GROUP…]",
  `Measures thimble and its peers in alternating rounds. Groups, by default all: ${names.join(", ")}.`,
  {
    rounds: { type: "integer", min: 1, max: 1000, help: "Rounds of each case (default 7, or 3 with --quick)" },
    quick: { type: "flag", default: false, help: "Fewer cases and rounds: for a first look" },
    threads: { type: "integer", min: 1, max: 1024, help: "Threads of everyone; default: all processors" },
    json: { type: "text", value: "FILE", help: "Write all figures there" },
    svg: { type: "text", value: "FILE", help: "Draw the chart of the ratios there" },
    plots: { type: "text", value: "FILE", help: "Draw the curves of scaling there, as SVG" },
    peers: { type: "text", value: "DIR", default: peersFolder, help: "Whose node_modules has the JavaScript peers" },
    installPeers: { type: "flag", default: false, help: "Install the JavaScript peers into build/peers, and end" },
  },
  names,
);

/** Runs all cases of a group, showing on a terminal which one it is at. */
async function runGroup(group: Group, effort: Effort): Promise<GroupResult> {
  const cases = group.cases().filter(({ quick }) => !options.quick || quick === true);
  const results = [];
  for (const [i, item] of cases.entries()) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${group.name} ${i + 1}/${cases.length}: ${item.name}`);
    const contestants = [ours(item), ...(await peers.get(item.peers))];
    results.push(
      caseResult(item, await timeCase(contestants, item.workload, { ...effort, warmUp: item.warmUp }), machine),
    );
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  return groupResult(group.name, group.title, results);
}

for (const file of [options.json, options.svg, options.plots]) if (file !== undefined) prepareOutput(file);
if (options.installPeers) {
  installPeers();
  process.exit(0);
}
const device = cpu();
if (options.threads !== undefined) device.threads = options.threads;
const { threads } = device;
const effort: Effort = { rounds: options.rounds ?? (options.quick ? 3 : 7), budget: options.quick ? 15 : 30 };
const peers = new Peers({ threads, folder: options.peers });
const model = cpus()[0]?.model.trim() ?? "unknown processor";
console.log(`${model}, ${threads} threads, ${device.isa}`);
const machine = measureMachine(threads);
if (machine === null) console.log("missing: a C compiler, to measure what the machine can do");
else {
  const levels = machine.bandwidth.map(
    ([bytes, rate]) => `${formatNumber(rate)} (${formatNumber(bytes / 2 ** 20)} MB)`,
  );
  console.log(`peak ${formatNumber(machine.gflops)} GFLOP/s; copies at GB/s: ${levels.join(", ")}`);
}

const groups: GroupResult[] = [];
const reports: Record<string, ReportResult> = {};
try {
  for (const part of parts) {
    if (words.length > 0 && !words.includes(part.name)) continue;
    if ("cases" in part) {
      const result = await runGroup(part, effort);
      groups.push(result);
      console.log(`\n${formatGroup(result)}`);
    } else {
      const result = await part.run({ threads, effort, quick: options.quick });
      reports[part.name] = result;
      console.log(`\n${part.title} (${part.name})\n${formatTable(result.header, result.rows)}\n${result.note}`);
    }
  }
} finally {
  peers.close();
}
if (peers.missing.size > 0) console.log("");
for (const [name, remedy] of peers.missing) console.log(`missing: ${name}. ${remedy}`);

const date = new Date().toISOString();
if (options.json !== undefined) {
  const missing = Object.fromEntries(peers.missing);
  const figures = { date, model, threads, isa: device.isa, machine, effort, missing, groups, reports };
  await Bun.write(options.json, `${JSON.stringify(figures, null, 2)}\n`);
}
if (options.svg !== undefined) {
  const subtitle = `${model}, ${threads} threads, ${device.isa}; medians of ${effort.rounds} alternating rounds, ${date.slice(0, 10)}`;
  await Bun.write(options.svg, drawChart(groups, { title: "thimble against the best of its peers", subtitle }));
}
const plots = Object.values(reports).flatMap((report) => report.plots ?? []);
if (options.plots !== undefined && plots.length > 0) {
  await Bun.write(options.plots, drawPlots(plots, `${model}, ${device.isa}, ${date.slice(0, 10)}`));
}
const wrong = groups.some(({ cases }) => cases.some(({ disagreeing }) => disagreeing.length > 0));
process.exit(wrong ? 1 : 0);
