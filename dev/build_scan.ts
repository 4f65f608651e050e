/**
 * Builds `framing/_byte_search/scan_wasm.ts` from `framing/_byte_search/scan.wat`:
 * `deno run --allow-read=. --allow-write=framing dev/build_scan.ts`.
 *
 * @module
 */
import wabt from "npm:wabt@1.0.39";

const SOURCE = new URL("../framing/_byte_search/scan.wat", import.meta.url);
const TARGET = new URL("../framing/_byte_search/scan_wasm.ts", import.meta.url);

/** Returns the text of `framing/_byte_search/scan_wasm.ts`. */
export async function buildScan(): Promise<string> {
  const { parseWat } = await wabt();
  const module = parseWat("scan.wat", await Deno.readTextFile(SOURCE), {
    simd: true,
  });
  const base64 = module.toBinary({}).buffer.toBase64();
  const lines = base64.match(/.{1,70}/g) ?? [];
  return `// Built from scan.wat by dev/build_scan.ts: do not edit.

/** The WebAssembly module of \`scan.wat\`, in base64. */
export const SCAN_WASM = [
${lines.map((line) => `  "${line}",`).join("\n")}
].join("");
`;
}

if (import.meta.main) await Deno.writeTextFile(TARGET, await buildScan());
