// deno-lint-ignore-file no-console -- its output is read by the test
// Serves on a relative path, changes the folder, and prints what is left at the end.
import { lines, serve } from "../../mod.ts";

const folder = await Deno.makeTempDir();
try {
  Deno.chdir(folder);
  await Deno.mkdir("other");
  await Deno.writeTextFile("other/app.sock", "precious");
  const server = serve({ path: "app.sock", framing: lines() }, () => {});
  Deno.chdir("other");
  await server.shutdown();
  Deno.chdir(folder);
  const left = [...Deno.readDirSync(".")].map(({ name }) => name);
  const others = [...Deno.readDirSync("other")].map(({ name }) => name);
  console.log([...left, ...others.map((name) => `other/${name}`)].join());
} finally {
  await Deno.remove(folder, { recursive: true });
}
