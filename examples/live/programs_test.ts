import { assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../../dev/interop/_peers.ts";

/** The programs that the page offers, one for each lesson. */
async function programsOf(): Promise<string[]> {
  const page = await Deno.readTextFile(new URL("page.html", import.meta.url));
  return [...page.matchAll(/data-program="\d"\s*>(.*?)<\/pre>/gs)].map((
    [, text = ""],
  ) =>
    text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll(
      "&amp;",
      "&",
    )
  );
}

/** Runs a program, and returns its output. */
async function outputOf(program: string): Promise<string> {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/program.ts`;
  await Deno.writeTextFile(path, program);
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const { stdout, stderr, success } = await new Deno.Command("deno", {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--allow-net=127.0.0.1",
      `--config=${config}`,
      path,
    ],
  }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

Deno.test("The programs of the page print the output that the lessons show", async () => {
  const [echo = "", waiting = "", framed = ""] = await Promise.all(
    (await programsOf()).map(outputOf),
  );
  assertEquals(echo, "I heard hello\n");
  assertMatch(waiting, /blockedTime: [\d.]+/);
  assertEquals(framed.trim().split("\n").length, 10);
  assertMatch(framed, /^>>>1<<<\n/);
});
