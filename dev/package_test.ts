/**
 * Checks the published files, and that their documentation is complete.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { entryPoints, isOwn, outputOf, pathOf, root } from "./_project.ts";

Deno.test("The package contains the files that its entry points import, and no others", async () => {
  const needed = new Set([
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "deno.json",
    "framing/_byte_search/scan.wat", // the source of scan_wasm.ts
  ]);
  for (const entryPoint of await entryPoints()) {
    const info: { modules: { specifier: string }[] } = JSON.parse(
      (await outputOf("info", "--json", entryPoint)).stdout,
    );
    for (const { specifier } of info.modules) {
      if (isOwn(specifier)) needed.add(pathOf(specifier));
    }
  }

  const { stderr } = await outputOf(
    ...["publish", "--dry-run", "--allow-dirty", "--no-check"],
  );
  // "   file:///…/connection.ts (22.7KB)"
  const published = [...stderr.matchAll(/^ +(file:\S+) \([\d.]+\w+\)$/gm)]
    .map(([, url = ""]) => pathOf(url));
  assertEquals(published.sort(), [...needed].sort());
});

interface Documented {
  readonly doc?: string;
  readonly tags?: { readonly kind: string; readonly doc?: string }[];
}

interface DocumentedModule {
  readonly module_doc?: Documented;
  readonly symbols: {
    readonly name: string;
    readonly declarations: { readonly jsDoc?: Documented }[];
  }[];
}

/** Whether the doc comment has text, and an example that asserts. */
function isShown(documented: Documented | undefined): boolean {
  const hasExample = documented?.tags?.some(({ kind, doc }) =>
    kind === "example" && /```ts\n[^]*\bassert[^]*```/.test(doc ?? "")
  );
  return hasExample === true && (documented?.doc ?? "") !== "";
}

Deno.test("Each entry point and each symbol that it exports has an example", async () => {
  const unshown: string[] = [];
  // One by one: together they only link to each other's symbols.
  for (const path of await entryPoints()) {
    const { nodes }: { nodes: Record<string, DocumentedModule> } = JSON.parse(
      (await outputOf("doc", "--json", path)).stdout,
    );
    for (const { module_doc, symbols } of Object.values(nodes)) {
      assert(symbols.length > 0, path);
      if (!isShown(module_doc)) unshown.push(path);
      for (const { name, declarations } of symbols) {
        // One overload of a function is enough.
        if (!declarations.some(({ jsDoc }) => isShown(jsDoc))) {
          unshown.push(`${path}: ${name}`);
        }
      }
    }
  }
  assertEquals(unshown, []);
});

Deno.test("The documentation builds as HTML", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await outputOf(
      ...["doc", "--html", "--name=@framed/tcp", `--output=${folder}`],
      ...await entryPoints(),
    );
    const page = await Deno.readTextFile(`${folder}/index.html`);
    assert(page.includes("@framed/tcp"), page);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The anchor of a heading, as GitHub generates it. */
function anchorsIn(page: string): Set<string> {
  const code = /^```.*?^```$/gms;
  const headings = page.replace(code, "").matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, heading = ""]) =>
      heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-")
    ),
  );
}

Deno.test("Links between the pages have existing targets", async () => {
  const pages = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "dev/testdata/README.md",
    "examples/README.md",
  ];
  for await (const { name } of Deno.readDir(new URL("docs/", root))) {
    if (name.endsWith(".md")) pages.push(`docs/${name}`);
  }
  let count = 0;
  const broken: string[] = [];
  for (const path of pages) {
    const url = new URL(path, root);
    const page = await Deno.readTextFile(url);
    for (const [, link = ""] of page.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^\w+:/.test(link)) continue; // a web address
      count++;
      const target = new URL(link, url);
      const anchor = decodeURIComponent(target.hash.slice(1));
      target.hash = "";
      try {
        const { isFile } = await Deno.stat(fileURLToPath(target));
        const isThere = anchor === "" ||
          isFile && anchorsIn(await Deno.readTextFile(target)).has(anchor);
        if (!isThere) broken.push(`${path}: ${link}`);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        broken.push(`${path}: ${link}`);
      }
    }
  }
  assert(count > 10, `${count} links were found`);
  assertEquals(broken, []);
});
