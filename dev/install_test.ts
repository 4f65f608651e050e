/**
 * The package as users install it: from a registry in Deno, and compiled, as npm serves
 * it, in Node and Bun.
 *
 * Stand-ins replace the `@std` packages, so that the tests need no network.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import config from "../deno.json" with { type: "json" };
import { isOwn, outputOf, pathOf, root } from "./_project.ts";
import { isInstalled, peerTest, temporaryFolder } from "./interop/_peers.ts";
import { mirrorFiles } from "./jsr_mirror/jsr_url.ts";

const { name, version } = config;

/** Programs of users. Each prints a word. */
const PROGRAMS: Readonly<Record<string, string>> = {
  // The server of the README.
  server: `
    import { connect, lines, serve } from "@framed/tcp";

    const framing = lines();
    await using server = serve(
      { hostname: "127.0.0.1", port: 0, framing },
      async (connection) => {
        for await (const line of connection) {
          await connection.send(line.toUpperCase());
        }
      },
    );
    await using client = await connect({ port: server.addr.port, framing });
    console.log(await client.request("hello"));`,
  node: `
    import { broadcast, type Connection } from "@framed/tcp/connection";
    import { FramingError, lines } from "@framed/tcp/framing";
    import { connect, reconnect, serve } from "@framed/tcp/node";
    import { connectionPair } from "@framed/tcp/testing";

    const framing = lines();
    const server = await serve(
      { hostname: "127.0.0.1", port: 0, framing },
      async (connection, { remoteAddr }) => {
        const hostname: string = remoteAddr.hostname;
        for await (const line of connection) {
          await connection.send(\`\${hostname} \${line.toUpperCase()}\`);
        }
      },
    );
    const { port } = server.addr;
    const client: Connection<string, string> = await connect({ port, framing });
    // @ts-expect-error A line is a string.
    client.send(1).catch(() => {});
    const line = await client.request("hello");
    if (\`\${line}\` !== "127.0.0.1 HELLO") throw new Error(\`\${line}\`);
    await client.close();
    await reconnect({ port, framing }, (connection) => connection.request("again"));
    await server.shutdown();

    const pair = connectionPair({ framing });
    await broadcast([pair.near], "all");
    if (await pair.far.receive() !== "all") throw new Error("Not received");
    await pair[Symbol.asyncDispose]();
    console.log(typeof FramingError === "function" ? "HELLO" : "nothing");`,
};

/** A program for a browser, whose types are checked. */
const BROWSER_PROGRAM = `
  import { Connection } from "@framed/tcp/connection";
  import { FrameDecoderStream, lines } from "@framed/tcp/framing";
  import { connectionPair } from "@framed/tcp/testing";

  const messages: ReadableStream<string> = new Blob(["one"]).stream()
    .pipeThrough(new FrameDecoderStream(lines()));
  const streams = new TransformStream<Uint8Array, Uint8Array>();
  const connection = new Connection(streams, { framing: lines() });
  for await (const line of connection) line.toUpperCase();
  new Response(connection.receiveStream(5));
  const pair = connectionPair({ framing: lines() });
  const line: string | undefined = await pair.near.receive();
  console.log(messages, line);`;

/** What `deno task example` runs. */
const LESSONS = ["listen_and_connect.ts", "backpressure.ts", "framing.ts"];

/** The files that are published to the registry. */
async function publishedFiles(): Promise<string[]> {
  const { stderr } = await outputOf(
    ...["publish", "--dry-run", "--allow-dirty", "--no-check"],
  );
  // "   file:///…/connection.ts (22.7KB)"
  return [...stderr.matchAll(/^ +(file:\S+) \([\d.]+\w+\)$/gm)]
    .map(([, url = ""]) => url).filter(isOwn).map(pathOf);
}

/** Writes a registry with this package and the stand-ins. */
async function makeRegistry(folder: string): Promise<void> {
  const files = mirrorFiles();
  const manifest: Record<string, { size: number; checksum: string }> = {};
  for (const path of await publishedFiles()) {
    const bytes = await Deno.readFile(new URL(path, root));
    files.set(`${name}/${version}/${path}`, bytes);
    const checksum = createHash("sha256").update(bytes).digest("hex");
    manifest[`/${path}`] = {
      size: bytes.length,
      checksum: `sha256-${checksum}`,
    };
  }
  const toBytes = (value: unknown) =>
    new TextEncoder().encode(JSON.stringify(value));
  files.set(
    `${name}/${version}_meta.json`,
    toBytes({ manifest, exports: config.exports }),
  );
  files.set(
    `${name}/meta.json`,
    toBytes({ latest: version, versions: { [version]: {} } }),
  );
  for (const [path, bytes] of files) await write(`${folder}/${path}`, bytes);
}

async function write(
  path: string,
  content: string | Uint8Array,
): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await (typeof content === "string"
    ? Deno.writeTextFile(path, content)
    : Deno.writeFile(path, content));
}

/** Runs a program in a folder, and returns its output. */
async function run(
  [command = "", ...args]: string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd,
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decoder = new TextDecoder();
  const printed = decoder.decode(stdout);
  assert(success, printed + decoder.decode(stderr));
  return printed;
}

Deno.test("The package works in Deno when installed from a registry", async () => {
  await using registry = await temporaryFolder();
  await using app = await temporaryFolder();
  await makeRegistry(registry.path);
  const imports = {
    ...config.imports, // for the examples
    [name]: `jsr:${name}@^${version}`,
  };
  await write(
    `${app.path}/deno.json`,
    JSON.stringify({ imports, lock: false }),
  );
  for (const [program, text] of Object.entries(PROGRAMS)) {
    await write(`${app.path}/${program}.ts`, text);
  }
  const doors = Object.keys(config.exports)
    .map((door) => `import "${name}${door.slice(1)}";\n`);
  await write(`${app.path}/doors.ts`, doors.join(""));
  for (const file of [...LESSONS, "_lesson.ts", "_plot.ts"]) {
    const text = await Deno.readTextFile(new URL(`examples/${file}`, root));
    await write(`${app.path}/${file}`, text);
  }
  const env = { JSR_URL: pathToFileURL(`${registry.path}/`).href };
  const programs = Object.keys(PROGRAMS).map((program) => `${program}.ts`);
  await run(
    ["deno", "check", "--quiet", "doors.ts", ...programs],
    app.path,
    env,
  );
  const start = ["deno", "run", "--quiet", "--allow-net=127.0.0.1"];
  for (const program of programs) {
    assertEquals(await run([...start, program], app.path, env), "HELLO\n");
  }
  const runs = ["doors.ts", ...LESSONS].map((program) =>
    run(
      [...start, "--allow-run=cat", program],
      app.path,
      env,
    )
  );
  await Promise.all(runs);
});

const hasTsc = await isInstalled("tsc");
const runtimes: string[] = [];
for (const command of ["node-lowest-lts", "node-current", "bun"]) {
  if (await isInstalled(command)) runtimes.push(command);
}

/** Writes the package and its dependencies, compiled, as npm installs them. */
async function installCompiled(folder: string): Promise<void> {
  const modules = `${folder}/node_modules`;
  const tarball = `${folder}/package.tgz`;
  await outputOf("pack", "--quiet", "--allow-dirty", `--output=${tarball}`);
  await Deno.mkdir(`${modules}/@framed`, { recursive: true });
  await run(["tar", "-xzf", tarball, "-C", `${modules}/@framed`], folder);
  await Deno.rename(`${modules}/@framed/package`, `${modules}/${name}`);
  // Only the imported modules: the other stand-ins are for tests.
  for (
    const [standIn, module] of [["async", "abortable"], ["async", "delay"], [
      "bytes",
      "concat",
    ]]
  ) {
    const source = new URL(`dev/jsr_mirror/std/${standIn}/${module}.ts`, root);
    const target = `${modules}/@std/${standIn}`;
    await write(
      `${target}/package.json`,
      JSON.stringify({ type: "module", exports: { "./*": "./*.js" } }),
    );
    await outputOf(
      ...["bundle", "--quiet", "--platform=browser", "--external=node:*"],
      `--output=${target}/${module}.js`,
      fileURLToPath(source),
    );
  }
}

peerTest(
  runtimes.length > 0,
  `The npm package works in ${runtimes.join(", ")}`,
  async () => {
    await using app = await temporaryFolder();
    await installCompiled(app.path);
    await write(`${app.path}/package.json`, JSON.stringify({ type: "module" }));
    // Bundling removes only the types.
    const { node: program = "" } = PROGRAMS;
    await write(`${app.path}/source.ts`, program);
    await outputOf(
      ...["bundle", "--quiet", "--platform=browser", "--packages=external"],
      ...["--external=node:*", "--external=@framed/tcp*"],
      `--output=${app.path}/program.js`,
      `${app.path}/source.ts`,
    );
    // These use Deno when they are called, but not when they are imported.
    const doors = [".", "./server", "./client"]
      .map((door) => `import "${name}${door.slice(1)}";\n`);
    await write(`${app.path}/doors.js`, doors.join(""));
    for (const command of runtimes) {
      await run([command, "doors.js"], app.path);
      const printed = await run([command, "program.js"], app.path);
      assertEquals(printed, "HELLO\n", command);
    }
  },
);

peerTest(
  hasTsc,
  "The types of the npm package are correct",
  async () => {
    await using app = await temporaryFolder();
    await installCompiled(app.path);
    await write(`${app.path}/package.json`, JSON.stringify({ type: "module" }));
    const { node: program = "" } = PROGRAMS;
    await write(`${app.path}/program.ts`, program);
    await write(`${app.path}/browser.ts`, BROWSER_PROGRAM);
    const node = { lib: ["esnext"], types: ["node"] };
    const browser = { lib: ["es2022", "dom", "esnext.disposable"], types: [] };
    const typeRoots = [await nodeTypes()];
    for (
      const [file, options] of [
        ["program.ts", { ...node, module: "nodenext" }],
        ["program.ts", { ...node, module: "esnext" }],
        ["browser.ts", { ...browser, module: "esnext" }],
      ] as const
    ) {
      await write(
        `${app.path}/tsconfig.json`,
        JSON.stringify({
          compilerOptions: {
            strict: true,
            exactOptionalPropertyTypes: true,
            noUncheckedIndexedAccess: true,
            skipLibCheck: false,
            noEmit: true,
            target: "es2022",
            typeRoots,
            moduleResolution: options.module === "esnext"
              ? "bundler"
              : "nodenext",
            ...options,
          },
          files: [file],
        }),
      );
      await run(["tsc", "--project", "tsconfig.json"], app.path);
    }
  },
);

/** The folder of Node's types, which `.ci/run` installs next to `tsc`. */
async function nodeTypes(): Promise<string> {
  const tsc = await run(["sh", "-c", "readlink -f $(command -v tsc)"], ".");
  return `${dirname(dirname(dirname(tsc.trim())))}/@types`;
}
