/**
 * Netcat for messages: the command-line tool of this package.
 *
 * `nc` and `socat` know bytes. This knows where messages begin and end in them: it
 * connects, listens, stands between two programs, replays what it saw, and measures.
 *
 * ```sh
 * deno run --allow-net jsr:@framed/tcp/cli connect localhost:6379
 * deno install --global --name framed --allow-net jsr:@framed/tcp/cli
 * framed help
 * ```
 *
 * `--print-code` prints any of its command lines as a program.
 *
 * @example A command line, in a program of your own
 * ```ts
 * import { main } from "@framed/tcp/cli";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(await main(["help", "proxy"]), 0);
 * ```
 *
 * @module
 */
export { main } from "./cli/main.ts";

if (import.meta.main) {
  const { main } = await import("./cli/main.ts");
  Deno.exit(await main(Deno.args));
}
