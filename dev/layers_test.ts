/**
 * Checks the rules for files and imports in CONTRIBUTING.md against the module graph.
 *
 * Each test collects the violations of one rule. `KNOWN` lists the accepted ones; an
 * entry that is no longer needed fails its test.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { entryPoints, isOwn, outputOf, pathOf, root } from "./_project.ts";

const KNOWN = {
  private: [],
  circles: [],
  deno: [],
  builtins: [],
};

const CORE = ["framing", "connection", "internal"];

/** What each part may import besides itself. A part is an entry point and its folder. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  internal: [],
  framing: ["internal"],
  connection: ["framing", "internal"],
  server: CORE,
  client: CORE,
  node: [...CORE, "server", "client"],
  mod: [...CORE, "server", "client", "node"],
  testing: CORE,
  otel: CORE,
  cli: [...CORE, "server", "client", "node", "mod", "testing", "otel"],
};

/** Only these may use `Deno`; the others run in any runtime. */
const DENO_PARTS = ["server", "client", "cli"];

/** The tool's proxy resets connections, and only Node's sockets can do that. */
const SOCKETS_OF_NODE = "cli/_sockets.ts";

interface Import {
  /** The specifier as written. */
  readonly specifier: string;
  readonly target: string;
  readonly isDynamic: boolean;
  /** Whether it imports only types, and loads nothing. */
  readonly isType: boolean;
}

/** The project's modules by their paths, each with what it imports. */
type Graph = ReadonlyMap<string, readonly Import[]>;

interface DenoInfo {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly specifier: string;
      readonly isDynamic?: boolean;
      readonly code?: { readonly specifier?: string };
      readonly type?: { readonly specifier?: string };
    }[];
  }[];
}

async function sourceFiles(folder: URL = root): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory && !name.startsWith(".") && name !== "node_modules") {
      found.push(...await sourceFiles(new URL(`${name}/`, folder)));
    } else if (name.endsWith(".ts")) {
      found.push(pathOf(new URL(name, folder).href));
    }
  }
  return found;
}

/** Includes files that no entry point imports: tests, examples and tools. */
async function readGraph(): Promise<Graph> {
  const folder = await Deno.makeTempDir();
  try {
    // One graph of all files takes one process; a graph for each file would take two
    // hundred.
    const importer = `${folder}/all.ts`;
    const imports = (await sourceFiles()).map((path) =>
      `import ${JSON.stringify(new URL(path, root).href)};\n`
    );
    await Deno.writeTextFile(importer, imports.join(""));
    const config = ["--config", "deno.json"];
    const { stdout } = await outputOf("info", "--json", ...config, importer);
    const { modules }: DenoInfo = JSON.parse(stdout);
    return new Map(
      modules.filter(({ specifier }) =>
        isOwn(specifier) && specifier.endsWith(".ts")
      ).map(({ specifier, dependencies = [] }) => [
        pathOf(specifier),
        dependencies.map(({ specifier, isDynamic = false, code, type }) => {
          // A type-only import has no `code`.
          const target = code?.specifier ?? type?.specifier ?? specifier;
          return {
            specifier,
            target: isOwn(target) ? pathOf(target) : target,
            isDynamic,
            isType: code?.specifier === undefined &&
              type?.specifier !== undefined,
          };
        }),
      ]),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const graph = await readGraph();

function partOf(path: string): string {
  return path.replace(/\.ts$/, "").split("/", 1)[0] ?? "";
}

function isTest(path: string): boolean {
  return /_test\.ts$|(^|\/)_testing\.ts$/.test(path);
}

/** The published files of the parts. */
const parts = graph.keys().filter((path) =>
  partOf(path) in MAY_IMPORT && !isTest(path)
).toArray();

/** The folder that a file is private to: `a/` for `a/_b.ts` and `a/_b/c.ts`. */
function privateTo(path: string): string | undefined {
  return /^((?:[^/]+\/)*?)_/.exec(path)?.[1];
}

/**
 * All imports between the project's files for which `breaksRule` returns true, as
 * sentences.
 */
function importsThat(
  breaksRule: (from: string, imported: Import) => boolean,
): string[] {
  return graph.entries().flatMap(([from, imports]) =>
    imports.filter((imported) => breaksRule(from, imported))
      .map(({ target }) => `${from} imports ${target}`)
  ).toArray().sort();
}

/** The files among `paths` with a syntax node that `selector` matches. */
async function filesWith(
  selector: string,
  paths: readonly string[],
): Promise<string[]> {
  const plugin: Deno.lint.Plugin = {
    name: "house",
    rules: {
      found: {
        create: (context) => ({
          [selector]: (node: Deno.lint.Node) =>
            context.report({ node, message: selector }),
        }),
      },
    },
  };
  const found: string[] = [];
  for (const path of paths) {
    const source = await Deno.readTextFile(new URL(path, root));
    if (Deno.lint.runPlugin(plugin, path, source).length > 0) found.push(path);
  }
  return found.sort();
}

Deno.test("The root contains only the entry points, which only re-export", async () => {
  const doors = graph.keys().filter((path) =>
    !path.includes("/") && !isTest(path)
  ).toArray();
  assertEquals(
    doors.sort(),
    (await entryPoints()).map((path) => path.replace("./", "")).sort(),
  );
  const isReexport =
    ":matches(ExportAllDeclaration, ExportNamedDeclaration[source.type])";
  const others = `Program > :not(${isReexport})`;
  // The tool is also a program, which starts if it is the main module.
  assertEquals(await filesWith(others, doors), ["cli.ts"]);
  assertEquals(await filesWith(`${others}:not(IfStatement)`, doors), []);
});

Deno.test("A file or folder whose name begins with _ is imported only from its folder", () => {
  assertEquals(
    importsThat((from, { target }) => {
      const folder = privateTo(target);
      if (folder === undefined || from.startsWith(folder)) return false;
      if (!(partOf(target) in MAY_IMPORT)) return false;
      const isForTests = isTest(from) || partOf(from) === "dev";
      return !(isForTests && target.endsWith("/_testing.ts"));
    }),
    KNOWN.private,
  );
});

Deno.test("Each entry point re-exports every public file of its folder", () => {
  const unexported = parts.filter((path) => {
    const part = partOf(path);
    // `internal/` is shared by the parts, and not exported.
    if (!path.includes("/") || part === "internal") return false;
    const door = graph.get(`${part}.ts`) ?? [];
    return privateTo(path) === undefined &&
      !door.some(({ target }) => target === path);
  });
  assertEquals(unexported, []);
});

Deno.test("Files import only from lower layers", async () => {
  const folders = (await Array.fromAsync(Deno.readDir(root)))
    .filter(({ name, isDirectory }) => isDirectory && !name.startsWith("."))
    .map(({ name }) => name);
  const known = ["dev", "docs", "examples", "coverage", "node_modules"];
  const doors = (await entryPoints()).map((path) => path.replace("./", ""));
  const unknown = [...folders, ...doors.map(partOf)].filter((name) =>
    !(name in MAY_IMPORT) && !known.includes(name)
  );
  assertEquals(unknown, [], "parts of which no rule tells what they import");

  assertEquals(
    importsThat((from, { target }) => {
      if (isTest(from) || !graph.has(target)) return false;
      const [importer, imported] = [partOf(from), partOf(target)];
      if (importer === "dev") return false;
      if (importer === "examples") {
        return imported !== "examples" && imported !== "dev" &&
          target.includes("/");
      }
      return importer !== imported && !MAY_IMPORT[importer]?.includes(imported);
    }),
    [],
  );
});

Deno.test("No imports are circular, not even of types", () => {
  const reachable = new Map(parts.map((path) => {
    const reached = new Set<string>();
    const waiting = [path];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const { target } of graph.get(next) ?? []) {
        if (reached.has(target)) continue;
        reached.add(target);
        waiting.push(target);
      }
    }
    return [path, reached];
  }));
  const circles = new Set<string>();
  for (const [path, reached] of reachable) {
    const circle = [...reached].filter((other) =>
      reachable.get(other)?.has(path)
    );
    if (circle.length > 0) circles.add(circle.sort().join(", "));
  }
  assertEquals([...circles].sort(), KNOWN.circles);
});

Deno.test("Only server, client and cli use Deno", async () => {
  const others = parts.filter((path) => !DENO_PARTS.includes(partOf(path)));
  const names = ':matches(Identifier[name="Deno"], Literal[value="Deno"])';
  assertEquals(await filesWith(names, others), KNOWN.deno);
});

Deno.test("The core imports only itself and @std, and only node.ts imports Node's sockets", () => {
  assertEquals(
    importsThat((from, { specifier, target, isDynamic }) => {
      const part = partOf(from);
      if (isTest(from) || !(part in MAY_IMPORT) || graph.has(target)) {
        return false;
      }
      if (CORE.includes(part)) {
        return !isDynamic && !specifier.startsWith("@std/");
      }
      if (from === SOCKETS_OF_NODE) return false;
      return part !== "node" && /^node:(net|tls)$/.test(specifier);
    }),
    KNOWN.builtins,
  );
});

Deno.test("The tool starts without loading the library, which a verb loads when it runs", () => {
  const seen = new Set<string>();
  const follow = (path: string) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { target, isDynamic, isType } of graph.get(path) ?? []) {
      if (!isDynamic && !isType) follow(target);
    }
  };
  follow("cli/main.ts");
  const foreign = [...seen].filter((path) =>
    !path.startsWith("cli/") && graph.has(path)
  );
  assertEquals(foreign, []);
  assertEquals(seen.has("cli/_verbs.ts"), true);
});

Deno.test("Each entry point can be imported alone, without permissions", async () => {
  const paths = await entryPoints();
  const flags = ["--quiet", "--no-prompt"];
  await Promise.all(paths.map((path) => outputOf("run", ...flags, path)));
});
