import { cpu, data, tidy } from "thimble"; import { CIFAR10Dataset } from "thimble/datasets"; import { readFileSync } from "node:fs";
const D = process.env.HOME + "/.cache/thimble-data" + (process.argv[2] ?? "");
const st = () => /VmHWM.*/.exec(readFileSync("/proc/self/status","utf8"))![0] + " " + /VmRSS.*/.exec(readFileSync("/proc/self/status","utf8"))![0];
let t = performance.now();
const train = new CIFAR10Dataset(D, { transforms: "standard" }); console.log("train", performance.now() - t | 0, st()); t = performance.now();
const test = new CIFAR10Dataset(D, { train: false }); console.log("test", performance.now() - t | 0, st());
for (const ds of [train, test]) { const loader = new data.DataLoader(ds, { batchSize: 128, shuffle: true });
for (let e = 0; e < 6; e++) { t = performance.now(); const ts: number[] = []; let n = 0, prev = performance.now(); for (const [x, y] of loader) { n++; x.dispose(); y.dispose(); const now = performance.now(); ts.push(now - prev); prev = now; } ts.sort((a, b) => a - b); console.log(ds.name, n, ((performance.now() - t) / n * 1000).toFixed(0), "us/batch mean; median", (ts[n >> 1]! * 1000).toFixed(0)); } }
console.log(st());
