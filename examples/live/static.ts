/**
 * Makes the page that needs no server, with a recorded run and the framings of lesson 3
 * inside.
 *
 * ```sh
 * deno run --allow-read=. --allow-run=deno examples/live/static.ts > lesson.html
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { fileURLToPath } from "node:url";
import { readCode } from "./code.ts";
import { RECORDED, type Recording } from "./record.ts";

/** The page as one file that works by itself. */
export async function staticPage(): Promise<string> {
  const page = await Deno.readTextFile(new URL("page.html", import.meta.url));
  const recording: Recording = JSON.parse(await Deno.readTextFile(RECORDED));
  const record = {
    ...recording,
    hello: { ...recording.hello, code: await readCode() },
  };
  const scripts = [
    `<script id="record" type="application/json">${
      escaped(JSON.stringify(record))
    }</script>`,
    `<script type="module">${escaped(await framings())}</script>`,
  ];
  // A function, because a string may contain patterns such as `$&`.
  return page.replace(
    '<script type="module">',
    (own) => `${scripts.join("\n    ")}\n    ${own}`,
  );
}

/** Text that looks like the end of a script would end it. */
function escaped(script: string): string {
  return script.replaceAll("</", "<\\/");
}

/** The framings as a script, which gives the page a global function. */
async function framings(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: [
      "bundle",
      "--quiet",
      "--minify",
      "--platform=browser",
      fileURLToPath(new URL("global_framings.ts", import.meta.url)),
    ],
  }).output();
  const [script, problem] = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  if (!success || script === undefined) {
    throw new Error(`Cannot bundle the framings: ${problem}`);
  }
  return script;
}

if (import.meta.main) console.log(await staticPage());
