// deno-lint-ignore-file no-console

/**
 * Prints the address of the JSR registry to use, for the variable `JSR_URL`.
 *
 * Not every network reaches JSR. If it is neither cached nor reachable, the address is
 * that of a local mirror with this project's stand-ins for the packages that it
 * imports.
 *
 * Run it with `--cached-only`, so that the check of the cache downloads nothing.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import config from "../../deno.json" with { type: "json" };

const JSR = "https://jsr.io/";
const REACH_TIMEOUT_MS = 3_000;
const STAND_INS = new URL("./std/", import.meta.url);
const PACKAGES = Object.values(config.imports)
  .filter((specifier) => specifier.startsWith("jsr:"));

/** Whether all these modules can be imported. */
export async function canImport(specifiers: string[]): Promise<boolean> {
  try {
    for (const specifier of specifiers) await import(specifier);
    return true;
  } catch {
    return false;
  }
}

/** Whether a registry answers with a package's description, and in time. */
export async function isReachable(
  registry: string,
  timeout = REACH_TIMEOUT_MS,
): Promise<boolean> {
  try {
    const response = await fetch(new URL("@std/assert/meta.json", registry), {
      signal: AbortSignal.timeout(timeout),
    });
    // A network's own login page also answers, but not in JSON.
    const description = await response.json();
    return response.ok && "versions" in description;
  } catch {
    return false;
  }
}

/**
 * The files of a JSR registry, by path, that serves the stand-ins.
 *
 * Every package has the lowest version that its specifier allows. Its file
 * `index_of_needle.ts` is exported as `./index-of-needle`, as in the originals.
 */
export function mirrorFiles(
  packages: string[] = PACKAGES,
): Map<string, Uint8Array<ArrayBuffer>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const specifier of packages) {
    const [, name, version] =
      /^jsr:(@std\/[a-z-]+)@\^(\d+\.\d+\.\d+)$/.exec(specifier) ?? [];
    if (!name || !version) {
      throw new Error(
        `Cannot stand in for a package: its specifier must be "jsr:@std/<name>@^<version>": current value is "${specifier}"`,
      );
    }
    const folder = new URL(`${name.replace("@std/", "")}/`, STAND_INS);
    const exports: Record<string, string> = {};
    const manifest: Record<string, { size: number; checksum: string }> = {};
    const fileNames = [...Deno.readDirSync(folder)].map((entry) => entry.name);
    for (const fileName of fileNames.sort()) {
      const bytes = Deno.readFileSync(new URL(fileName, folder));
      files.set(`${name}/${version}/${fileName}`, bytes);
      manifest[`/${fileName}`] = {
        size: bytes.length,
        checksum: `sha256-${sha256(bytes)}`,
      };
      if (!fileName.startsWith("_")) {
        exports[exportName(fileName)] = `./${fileName}`;
      }
    }
    files.set(`${name}/${version}_meta.json`, toJson({ manifest, exports }));
    files.set(
      `${name}/meta.json`,
      toJson({ latest: version, versions: { [version]: {} } }),
    );
  }
  return files;
}

function exportName(fileName: string): string {
  return fileName === "mod.ts"
    ? "."
    : `./${fileName.replace(".ts", "").replaceAll("_", "-")}`;
}

function toJson(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Writes a mirror, or finds an identical one written before.
 *
 * It is outside the project, because `deno publish` refuses imports of project files
 * that are not published.
 *
 * @param parent The system's folder for temporary files, when left out.
 * @returns The mirror's folder.
 */
export function makeMirror(
  files: Map<string, Uint8Array>,
  parent?: string,
): string {
  const made = Deno.makeTempDirSync({
    prefix: "framed-tcp-jsr-",
    ...(parent && { dir: parent }),
  });
  for (const [path, bytes] of files) {
    const target = join(made, path);
    Deno.mkdirSync(dirname(target), { recursive: true });
    Deno.writeFileSync(target, bytes);
  }

  // The name depends on the content, because Deno caches by address.
  const content = [...files].map(([path, bytes]) => `${path} ${sha256(bytes)}`);
  const shared = join(
    dirname(made),
    `framed-tcp-jsr-${sha256(toJson(content)).slice(0, 16)}`,
  );
  try {
    // In one step, for other processes that run at the same time.
    Deno.renameSync(made, shared);
    return shared;
  } catch {
    // Others can write to this folder too: use only our own, unchanged mirror.
    if (!isCopy(shared, made, files)) return made;
    Deno.removeSync(made, { recursive: true });
    return shared;
  }
}

function isCopy(
  folder: string,
  original: string,
  files: Map<string, Uint8Array>,
): boolean {
  try {
    const { isDirectory, uid } = Deno.lstatSync(folder);
    if (!isDirectory || uid !== Deno.lstatSync(original).uid) return false;
    return files.entries().every(([path, bytes]) =>
      sha256(Deno.readFileSync(join(folder, path))) === sha256(bytes)
    );
  } catch {
    return false;
  }
}

async function main(): Promise<void> {
  const chosen = Deno.env.get("JSR_URL");
  if (chosen) return console.log(chosen);

  if (await canImport(PACKAGES) || await isReachable(JSR)) {
    return console.log(JSR);
  }

  console.error(
    "JSR cannot be reached: using this project's own stand-ins for @std, from dev/jsr_mirror/std",
  );
  console.log(`${pathToFileURL(makeMirror(mirrorFiles()))}/`);
}

if (import.meta.main) await main();
