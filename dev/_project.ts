/** Functions with which the tests of this folder inspect the project. */
import { assert } from "@std/assert";

/** The project's folder. */
export const root: URL = new URL("../", import.meta.url);

/** Runs `deno` in the project's folder, and returns its output. */
export async function outputOf(
  ...args: string[]
): Promise<{ stdout: string; stderr: string }> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const texts = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  assert(success, texts.join("\n"));
  const [out = "", error = ""] = texts;
  return { stdout: out, stderr: error };
}

/** Whether a module is a file of the project. */
export function isOwn(url: string): boolean {
  return url.startsWith(root.href);
}

/** The path of a file of the project, from its root. */
export function pathOf(url: string): string {
  assert(isOwn(url), url);
  return url.slice(root.href.length);
}

/** The exports of `deno.json`: `./mod.ts`, `./framing.ts` and so on. */
export async function entryPoints(): Promise<string[]> {
  const config: { exports: Record<string, string> } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", root)),
  );
  return Object.values(config.exports);
}
