import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };
import { canImport, isReachable, makeMirror, mirrorFiles } from "./jsr_url.ts";

const ROOT = new URL("../../", import.meta.url);
const TOOL = fileURLToPath(new URL("jsr_url.ts", import.meta.url));

interface TempFolder extends Disposable {
  readonly path: string;
}

function tempFolder(): TempFolder {
  const path = Deno.makeTempDirSync();
  return {
    path,
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}

async function deno(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args,
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

/** Runs the tool with an empty cache and without a network. */
function runTool(
  jsrUrl: string,
  cache: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return deno([
    "run",
    "--no-prompt",
    "--cached-only",
    "--allow-env=JSR_URL",
    "--allow-read",
    "--allow-write",
    TOOL,
  ], { JSR_URL: jsrUrl, DENO_DIR: cache });
}

function fileNames(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name);
}

Deno.test("jsr_url.ts prints a JSR_URL that is already set", async () => {
  using cache = tempFolder();
  assertEquals(await runTool("https://jsr.example/", cache.path), {
    code: 0,
    stdout: "https://jsr.example/\n",
    stderr: "",
  });
});

Deno.test("jsr_url.ts falls back to a mirror that Deno can use", async () => {
  using cache = tempFolder();
  const { code, stdout, stderr } = await runTool("", cache.path);
  assertEquals(code, 0);
  assert(stdout.startsWith("file:///") && stdout.endsWith("/\n"));
  assertEquals(stderr.match(/\n/g)?.length, 1);
  assert(stderr.includes("stand-ins"));

  using program = tempFolder();
  const main = `${program.path}/main.ts`;
  await Deno.writeTextFile(
    main,
    `
      import { assertEquals } from "${config.imports["@std/assert"]}/equals";
      import { concat } from "${config.imports["@std/bytes"]}";
      assertEquals(concat([new Uint8Array(2)]).length, 2);
    `,
  );
  const run = await deno(["run", "--no-config", "--check", main], {
    JSR_URL: stdout.trim(),
    DENO_DIR: cache.path,
  });
  assertEquals(run.code, 0, run.stderr);
});

Deno.test("canImport() checks whether a module can be imported", async () => {
  const there = "data:text/javascript,1";
  assertEquals(await canImport([]), true);
  assertEquals(await canImport([there, there]), true);
  assertEquals(await canImport([there, "data:text/javascript,("]), false);
});

Deno.test("isReachable() accepts only the answer of a registry", async () => {
  const respond: Record<string, () => Response | Promise<Response>> = {
    "/jsr/": () => Response.json({ versions: {} }),
    "/login/": () => new Response("<html>"),
    "/other/": () => Response.json({}),
    "/broken/": () => Response.json({ versions: {} }, { status: 502 }),
    "/silent/": () => silence.promise,
  };
  const silence = Promise.withResolvers<Response>();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) => {
      const [, registry, path] =
        /^(\/\w+\/)(.*)$/.exec(new URL(url).pathname) ??
          [];
      assertEquals(path, "@std/assert/meta.json");
      return respond[registry ?? ""]?.() ?? new Response(null, { status: 404 });
    },
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  assertEquals(await isReachable(`${origin}/jsr/`), true);
  assertEquals(await isReachable(`${origin}/login/`), false);
  assertEquals(await isReachable(`${origin}/other/`), false);
  assertEquals(await isReachable(`${origin}/broken/`), false);
  assertEquals(await isReachable(`${origin}/silent/`, 1), false);
  silence.resolve(new Response());

  await server.shutdown();
  assertEquals(await isReachable(`${origin}/jsr/`), false);
});

Deno.test("makeMirror() reuses only an identical mirror", () => {
  using parent = tempFolder();
  const files = mirrorFiles();
  const first = makeMirror(files, parent.path);
  assertEquals(makeMirror(files, parent.path), first);
  assertEquals(fileNames(parent.path).length, 1);

  const more = new Map(files).set("@std/more/meta.json", new Uint8Array());
  assertNotEquals(makeMirror(more, parent.path), first);

  Deno.writeTextFileSync(`${first}/@std/assert/meta.json`, "{}");
  const whole = makeMirror(files, parent.path);
  assertNotEquals(whole, first);
  for (const [path, bytes] of files) {
    assertEquals(Deno.readFileSync(`${whole}/${path}`), bytes);
  }
});

Deno.test("mirrorFiles() throws for a package without a stand-in", () => {
  for (const specifier of ["jsr:@other/assert@^1.0.0", "jsr:@std/assert@1"]) {
    let message = "";
    try {
      mirrorFiles([specifier]);
    } catch (error) {
      if (error instanceof Error) message = error.message;
    }
    assert(message.includes(specifier), message);
  }
});

Deno.test("The stand-ins export exactly the symbols that the project imports", async () => {
  const imported = new Map<string, Set<string>>();
  for (const text of sources(ROOT)) {
    const plain = text.replaceAll(/\n \* ?/g, "\n");
    for (
      const [, list = "", specifier = ""] of plain.matchAll(
        /(?:import|export) (?:type )?\{([^}]*)\} from "(@std\/[^"]+)"/g,
      )
    ) {
      const names = imported.get(specifier) ?? new Set();
      for (const [name] of list.matchAll(/\w+(?= as )|(?<! as )\b\w+/g)) {
        if (name !== "type" && name !== "as") names.add(name);
      }
      imported.set(specifier, names);
    }
  }

  const used = new Set<string>();
  for (const [specifier, names] of imported) {
    const [, name, path = "mod"] = specifier.split("/");
    const file = `./std/${name}/${path.replaceAll("-", "_")}.ts`;
    const standIn = Object.keys(await import(file));
    for (const symbol of names) {
      assert(
        standIn.includes(symbol),
        `The stand-in for "${specifier}" must export ${symbol}`,
      );
      used.add(`${name} ${symbol}`);
    }
  }

  const exported: string[] = [];
  for (const specifier of Object.keys(config.imports)) {
    if (!specifier.startsWith("@std/")) continue;
    const name = specifier.replace("@std/", "");
    const symbols = Object.keys(await import(`./std/${name}/mod.ts`));
    exported.push(...symbols.map((symbol) => `${name} ${symbol}`));
  }
  assertEquals(
    exported.filter((symbol) => !used.has(symbol)),
    [],
    "A stand-in must export nothing that the project does not import",
  );
});

/** The texts of all files that may import from `@std`, except the stand-ins. */
function* sources(folder: URL): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory && !/^(\..*|std|node_modules)$/.test(name)) {
      yield* sources(new URL(`${name}/`, folder));
    } else if (/\.(ts|md)$/.test(name)) {
      yield Deno.readTextFileSync(new URL(name, folder));
    }
  }
}
