/**
 * Netcat for messages: the command-line tool of this package.
 *
 * `nc` and `socat` know bytes. This tool knows where messages begin and end in
 * them: it connects, listens, proxies between two programs, replays recordings,
 * and measures.
 *
 * ```sh
 * deno run --allow-net jsr:@framed/tcp/cli connect localhost:6379
 * deno install --global --name framed --allow-net jsr:@framed/tcp/cli
 * framed help
 * ```
 *
 * With `--print-code`, it prints any command line as a program.
 *
 * @example A command line inside your own program
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
