/**
 * The simulation over a copy of the module with a deliberate fault.
 *
 * @module
 */
import { assert } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const PARTS = [
  "client",
  "connection",
  "dev/simulation",
  "framing",
  "internal",
  "server",
  "testing",
];

/** A change of one source file. */
export interface Patch {
  readonly path: string;
  /** Each text, which must occur once, and its replacement. */
  readonly changes: readonly (readonly [before: string, after: string])[];
}

/** A copy of the module, which is removed when it is disposed. */
export interface PatchedCopy extends AsyncDisposable {
  /** The URL of a file of the copy, for an import. */
  urlOf(path: string): string;
}

/** Copies the module, and changes the copy. */
export async function patchedCopy(
  { path, changes }: Patch,
): Promise<PatchedCopy> {
  const folder = await Deno.makeTempDir();
  const copy = new URL(`file://${folder}/`);
  for (const part of PARTS) {
    await copySources(part, copy);
    const door = `${part}.ts`;
    if (!part.includes("/") && part !== "internal") await copyFile(door, copy);
  }
  let source = await Deno.readTextFile(new URL(path, ROOT));
  for (const [before, after] of changes) {
    const count = source.split(before).length - 1;
    assert(count === 1, `${path} has ${count} times: ${before}`);
    source = source.replace(before, () => after);
  }
  await Deno.writeTextFile(new URL(path, copy), source);
  return {
    urlOf: (path) => new URL(path, copy).href,
    [Symbol.asyncDispose]: () => Deno.remove(copy, { recursive: true }),
  };
}

async function copySources(folder: string, copy: URL): Promise<void> {
  await Deno.mkdir(new URL(folder, copy), { recursive: true });
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) await copySources(path, copy);
    else if (path.endsWith(".ts") && !path.endsWith("_test.ts")) {
      await copyFile(path, copy);
    }
  }
}

async function copyFile(path: string, copy: URL): Promise<void> {
  await Deno.copyFile(new URL(path, ROOT), new URL(path, copy));
}
