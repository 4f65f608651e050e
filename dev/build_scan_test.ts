import { assertEquals } from "@std/assert";
import { buildScan } from "./build_scan.ts";

Deno.test("buildScan() generates the committed file", async () => {
  const committed = await Deno.readTextFile(
    new URL("../framing/_byte_search/scan_wasm.ts", import.meta.url),
  );
  assertEquals(committed, await buildScan());
});
