/** Measures the memory of this process without garbage. */

import { runInNewContext } from "node:vm";
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

/** The memory that this process uses once its garbage is collected. */
export function heldMemory(): Deno.MemoryUsage {
  collect();
  return Deno.memoryUsage();
}
