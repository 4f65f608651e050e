/**
 * The entry points that run anywhere must type-check with the types of a browser.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { entryPoints, isOwn, pathOf, root } from "./_project.ts";

/** Entry points that need the types of a runtime with sockets. */
const NEED_SOCKETS = ["mod.ts", "server.ts", "client.ts", "node.ts", "cli.ts"];

Deno.test("The entry points for any runtime type-check with browser types", async () => {
  const doors = (await entryPoints()).map((path) => path.replace("./", ""))
    .filter((path) => !NEED_SOCKETS.includes(path));
  assert(doors.includes("framing.ts"), `${doors}`);

  // The project's own configuration except for the types.
  const config: { compilerOptions: object } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", root)),
  );
  const lib = ["DOM", "DOM.Iterable", "ESNext"];
  const compilerOptions = { ...config.compilerOptions, lib };
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/deno.json`;
    await Deno.writeTextFile(
      path,
      JSON.stringify({ ...config, compilerOptions }),
    );
    const { success, stderr } = await new Deno.Command("deno", {
      args: ["check", "--quiet", "--config", path, ...doors],
      cwd: root,
      env: { NO_COLOR: "1" },
    }).output();
    const errors = new TextDecoder().decode(stderr);
    // "    at file:///…/framing/streams.ts:160:12"
    const places = [...errors.matchAll(/^ {4}at (file:\S+\.ts):\d+:\d+$/gm)]
      .map(([, url = ""]) => url).filter(isOwn).map(pathOf);
    assertEquals([...new Set(places)].sort(), [], errors);
    assertEquals(success, true, errors);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
