/**
 * Builds `framing/_scan_wasm.ts` from `framing/_scan.wat`:
 * `deno run --allow-read=. --allow-write=framing _tools/build_scan.ts`.
 *
 * @module
 */
import wabt from "npm:wabt@1.0.39";

const SOURCE = new URL("../framing/_scan.wat", import.meta.url);
const TARGET = new URL("../framing/_scan_wasm.ts", import.meta.url);

/** The text of `framing/_scan_wasm.ts`. */
export async function buildScan(): Promise<string> {
  const { parseWat } = await wabt();
  const module = parseWat("_scan.wat", await Deno.readTextFile(SOURCE), {
    simd: true,
  });
  const base64 = module.toBinary({}).buffer.toBase64();
  const lines = base64.match(/.{1,70}/g) ?? [];
  return `// Built from _scan.wat by _tools/build_scan.ts: do not edit.

/** The WebAssembly module of \`_scan.wat\`, in base64. */
export const SCAN_WASM = [
${lines.map((line) => `  "${line}",`).join("\n")}
].join("");
`;
}

if (import.meta.main) await Deno.writeTextFile(TARGET, await buildScan());
