import fc from "npm:fast-check@4.10.2";
import { FRAMING_PROPERTIES } from "./framing_properties.ts";

const seed = Date.now() % 2 ** 31;

for (const { name, quickRuns, property } of FRAMING_PROPERTIES) {
  Deno.test(`for every framing, ${name} (seed ${seed})`, async () => {
    await fc.assert(property, { seed, numRuns: quickRuns });
  });
}
