/** The whole table. */
import "./arrays.ts";
import "./operations.ts";
import "./images.ts";
import "./modules.ts";
import "./text.ts";
import "./options.ts";

export { cases } from "./table.ts";
