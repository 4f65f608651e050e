import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";

/** Runs the program with this `JSR_URL`, and returns its output. */
async function folderOf(registry: string): Promise<string> {
  const program = fileURLToPath(new URL("jsr_folder.ts", import.meta.url));
  const { stdout } = await new Deno.Command("deno", {
    args: ["run", "--allow-env=JSR_URL", program],
    env: { JSR_URL: registry },
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("jsr_folder.ts prints the folder of the mirror or of the project", async () => {
  const mirror = new URL("a mirror/", import.meta.url);
  assertEquals(await folderOf(mirror.href), fileURLToPath(mirror));
  assertEquals(await folderOf("https://jsr.io/"), ".");
});
