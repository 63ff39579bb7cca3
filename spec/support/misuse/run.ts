/** Goes through the table of misuse and prints what happens, a line a case; an argument chooses one case. */
import { ops, tensor } from "thimble";

import { cases } from "./index.ts";

// One line a case, written before and after, so that a crash names its case.
const only = process.argv[2];
for (const { what, run } of cases) {
  if (only !== undefined && what !== only) continue;
  console.log(JSON.stringify({ what }));
  try {
    const result = run();
    console.log(JSON.stringify({ what, outcome: "returned", result: String(result).slice(0, 100) }));
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: typeof error, message: String(error) };
    const classes: string[] = [];
    for (let of = Object.getPrototypeOf(error); of !== null; of = Object.getPrototypeOf(of))
      classes.push(of.constructor.name);
    console.log(JSON.stringify({ what, outcome: "threw", name, message, classes }));
  }
}

const sum = ops.sum(ops.matmul(tensor([[1, 2]]), tensor([[3], [4]]))).item(); // prettier-ignore
if (sum !== 11) throw new Error(`after all this a matrix product is ${sum}, and should be 11`);
console.log(JSON.stringify({ what: "the end" }));
