/**
 * Runs the tests of connections, servers and clients in Node and Bun: the same files,
 * with `@framed/tcp/node` in place of the functions for Deno, and `peers/sockets.js` in
 * place of Deno itself.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import config from "../../deno.json" with { type: "json" };
import {
  assertSuccess,
  bundleFile,
  isInstalled,
  peerFile,
  peerTest,
  sharing,
  start,
  temporaryFolder,
} from "./_peers.ts";
import { SKIPPED } from "./_skipped.ts";

const root = new URL("../../", import.meta.url);

/**
 * Test files that run in one process each. They run in parallel, because they mostly
 * wait.
 */
const GROUPS: readonly (readonly string[])[] = [
  [
    "connection/_stream_transport_test.ts",
    "connection/_transports_test.ts",
    "connection/broadcast_test.ts",
    "connection/connection_test.ts",
    "connection/connection_reading_test.ts",
    "connection/connection_writing_test.ts",
    "connection/connection_switching_test.ts",
    "connection/connection_start_tls_test.ts",
    "connection/watching_test.ts",
  ],
  [
    "connection/connection_ending_test.ts",
    "connection/connection_timeouts_test.ts",
  ],
  [
    "connection/correlate_test.ts",
    "connection/ending_table_test.ts",
    "connection/transports_suite_test.ts",
  ],
  [
    "server/serve_test.ts",
    "client/connect_test.ts",
    "client/reconnect_test.ts",
    "connection/proxy_protocol_test.ts",
    "node/connect_test.ts",
    "node/serve_test.ts",
    "node/socket_transport_test.ts",
  ],
];

/** Modules for Deno, and the modules that replace them. */
const STAND_INS: Readonly<Record<string, string>> = {
  "client/connect.ts": "node/connect.ts",
  "client/reconnect.ts": "node/reconnect.ts",
  "server/serve.ts": "node/serve.ts",
};

/**
 * Bundles suites into one module, which prints their report. Its parts are in `folder`.
 *
 * `serve()` returns a promise in Node, so copies of the suites get an `await` where
 * they have none. An import map resolves the imports of the copies.
 */
async function bundle(
  suites: readonly string[],
  folder: string,
): Promise<string> {
  const copies = pathToFileURL(`${folder}/`);
  const imports: Record<string, string> = { ...config.imports };
  for await (const { name } of Deno.readDir(root)) {
    const isFolder = !name.includes(".");
    const path = isFolder ? `${name}/` : name;
    imports[new URL(path, copies).href] = new URL(path, root).href;
  }
  const standIns = { ...STAND_INS, [CERTIFICATES]: "certificates.ts" };
  await Deno.writeTextFile(`${folder}/certificates.ts`, await certificates());
  for (const [path, standIn] of Object.entries(standIns)) {
    const base = path === CERTIFICATES ? copies : root;
    for (const from of [copies, root]) {
      imports[new URL(path, from).href] = new URL(standIn, base).href;
    }
  }
  for (const path of suites) {
    const text = await Deno.readTextFile(new URL(path, root));
    await Deno.mkdir(dirname(`${folder}/${path}`), { recursive: true });
    await Deno.writeTextFile(
      `${folder}/${path}`,
      text.replaceAll(/(?<== )(?=serve\w*\()/g, "await "),
    );
    const { href } = new URL(path, copies);
    imports[href] = href;
  }
  const entry = `${folder}/entry.js`;
  await Deno.writeTextFile(
    entry,
    `import { runTests } from "${pathToFileURL(peerFile("suites.js"))}";
    import "${pathToFileURL(peerFile("sockets.js"))}";
    ${suites.map((path) => `import "./${path}";`).join("\n")}
    const report = await runTests(JSON.parse(process.argv[2]));
    console.log(JSON.stringify(report));`,
  );
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    JSON.stringify({ imports, compilerOptions: config.compilerOptions }),
  );
  return await bundleFile(entry, { config: `${folder}/deno.json` });
}

const CERTIFICATES = "dev/testdata/certificates.ts";

/** The certificates as a module that reads no files. */
async function certificates(): Promise<string> {
  const read = async (name: string) =>
    JSON.stringify(
      await Deno.readTextFile(new URL(`dev/testdata/${name}`, root)),
    );
  return `export const certificate = {
    cert: ${await read("localhost.pem")},
    key: ${await read("localhost.key")},
  };
  export const caCerts = [${await read("ca.pem")}];`;
}

/** Compiles a module for a runtime without `using`: Node before version 24. */
async function withoutUsing(path: string, folder: string): Promise<string> {
  const source = `${folder}/source.ts`;
  await Deno.copyFile(path, source);
  await runTool("tsc", [
    "--noCheck",
    "--target",
    "es2022",
    "--module",
    "esnext",
    "--moduleResolution",
    "bundler",
    "--outDir",
    `${folder}/lowered`,
    source,
  ]);
  const lowered = `${folder}/lowered.mjs`;
  await Deno.rename(`${folder}/lowered/source.js`, lowered);
  return lowered;
}

async function runTool(command: string, args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args })
    .output();
  const decoder = new TextDecoder();
  assert(success, decoder.decode(stdout) + decoder.decode(stderr));
}

interface Report {
  readonly passed: number;
  readonly failures: readonly string[];
  /** Skipped names that match no test. */
  readonly unknown: readonly string[];
}

/** The text of each group as one module, for all runtimes. */
const bundles = sharing(() =>
  Promise.all(GROUPS.map(async (suites) => {
    await using folder = await temporaryFolder();
    return await bundle(suites, folder.path);
  }))
);

/** Runs a bundle of suites in another runtime. */
async function runSuites(
  command: string,
  bundled: string,
  skipped: readonly string[],
): Promise<Report> {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/suites.mjs`;
  await Deno.writeTextFile(path, bundled);
  const script = command === "node-lowest-lts"
    ? await withoutUsing(path, folder.path)
    : path;
  // The program must end by itself, so the tests leave nothing open.
  await using program = start([command, script, JSON.stringify(skipped)]);
  return JSON.parse((await assertSuccess(program)).at(-1) ?? "");
}

/** The names of the tests to skip. */
function skippedIn(command: string): string[] {
  return SKIPPED.filter(({ runtime }) =>
    runtime === undefined || runtime === command
  ).flatMap(({ tests }) => tests);
}

Deno.test("The table in docs/runtimes.md has a row for each reason in SKIPPED", async () => {
  const page = await Deno.readTextFile(new URL("docs/runtimes.md", root));
  const rows = [...page.matchAll(/^\| ([^|]+?) +\|/gm)].map(([, row]) => row);
  const missing = SKIPPED.flatMap(({ row = [] }) => row)
    .filter((row) => !rows.includes(row));
  assertEquals(missing, []);
});

const hasTsc = await isInstalled("tsc");

for (const command of ["node-lowest-lts", "node-current", "bun"]) {
  const canRun = await isInstalled(command) &&
    (hasTsc || command !== "node-lowest-lts");
  peerTest(
    canRun,
    `Connections, servers and clients pass their tests in ${command}`,
    async () => {
      const skipped = skippedIn(command);
      const reports = await Promise.all(
        (await bundles()).map((bundled) =>
          runSuites(command, bundled, skipped)
        ),
      );
      const failures = reports.flatMap(({ failures }) => failures);
      assertEquals(failures.join("\n"), "");
      const unknown = skipped.filter((name) =>
        reports.every(({ unknown }) => unknown.includes(name))
      );
      assertEquals(unknown, []);
      const passed = reports.reduce((sum, { passed }) => sum + passed, 0);
      assert(passed > 450, `${passed} tests ran`);
    },
  );
}
