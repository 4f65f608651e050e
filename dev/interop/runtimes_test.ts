/**
 * The tests of `framing.ts` and its parts, in other runtimes.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import { pathToFileURL } from "node:url";
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
import { caCerts, certificate } from "../testdata/certificates.ts";

const root = new URL("../../", import.meta.url);

/** Bundles a program into one module, which imports only Node's built-in modules. */
async function bundle(program: string, file: string): Promise<string> {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/${file}`;
  await Deno.writeTextFile(path, program);
  return await bundleFile(path);
}

/** Bundles all tests of framings, which pass their report to a global function. */
async function bundleSuites(): Promise<string> {
  const suites: string[] = [];
  for await (const { name } of Deno.readDir(new URL("framing/", root))) {
    if (name.endsWith("_test.ts")) {
      suites.push(new URL(`framing/${name}`, root).href);
    }
  }
  assert(suites.length > 10);
  return await bundle(
    `import { runTests } from "${pathToFileURL(peerFile("suites.js"))}";
    ${suites.map((url) => `import "${url}";`).join("\n")}
    report(JSON.stringify(await runTests()));`,
    "suites.js",
  );
}

/** Runs a program in another runtime, and returns its output. */
async function outputOf(command: string, script: string): Promise<string> {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/script.mjs`;
  await Deno.writeTextFile(path, script);
  await using program = start([command, path]);
  return (await assertSuccess(program)).join("\n");
}

// The installed Node, and the lowest supported LTS and the current version, which
// `.ci/run` installs under these names.
const RUNTIMES = ["node", "node-lowest-lts", "node-current", "bun"];
const CHROMIUM = "chromium-headless-shell";

const installed: string[] = [];
for (const command of [...RUNTIMES, CHROMIUM]) {
  if (await isInstalled(command)) installed.push(command);
}

peerTest(
  installed.length > 0,
  `framing.ts passes its tests in ${installed.join(", ")}`,
  async () => {
    const script = await bundleSuites();
    // In parallel, because each takes seconds.
    await Promise.all(installed.map(async (command) => {
      const report = command === CHROMIUM
        ? await reportOfChromium(script)
        : await outputOf(
          command,
          `globalThis.report = console.log;\n${script}`,
        );
      const { passed, failures } = JSON.parse(report);
      assertEquals({ command, failures }, { command, failures: [] });
      assert(passed > 100, `${passed} tests ran in ${command}`);
    }));
  },
);

/** Whether this Node is too old for anything but framings. */
async function isOldNode(command: string): Promise<boolean> {
  if (!command.startsWith("node") || !installed.includes(command)) return false;
  const { stdout } = await new Deno.Command(command, { args: ["--version"] })
    .output();
  const [, major] = /^v(\d+)/.exec(new TextDecoder().decode(stdout)) ?? [];
  return Number(major) < 22;
}

/** The snippets of the page as scripts. */
const bundledSnippets = sharing(async () => {
  const page = await Deno.readTextFile(new URL("docs/runtimes.md", root));
  const snippets = [...page.matchAll(/^```ts\n(.*?)^```$/gms)];
  return await Promise.all(
    snippets.map(([, snippet = ""]) => bundle(snippet, "snippet.ts")),
  );
});

for (const command of RUNTIMES) {
  peerTest(
    installed.includes(command) && !await isOldNode(command),
    `The snippets of docs/runtimes.md run in ${command}`,
    async () => {
      const scripts = await bundledSnippets();
      assert(scripts.length > 0);
      for (const script of scripts) {
        assertEquals(
          await outputOf(command, `${script}\nconsole.log("done");`),
          "done",
        );
      }
    },
  );
}

/**
 * A program that ends by itself: its servers do not keep it alive for peers that start
 * no handshake.
 */
const UNREF_WHILE_SHAKING_HANDS = `
  import { once } from "node:events";
  import { connect as dial } from "node:net";
  import { lines } from "@framed/tcp/framing";
  import { connect, serve } from "@framed/tcp/node";

  const framing = lines({ eol: "\\r\\n" });
  const { caCerts, ...tls } = ${JSON.stringify({ ...certificate, caCerts })};

  async function acceptSilentPeer(port, clientTls) {
    const socket = dial(port, "127.0.0.1").unref();
    await once(socket, "connect");
    // It is accepted before the next one.
    const client = await connect({ port, framing, tls: clientTls });
    if (!clientTls) client.send("PROXY UNKNOWN");
    console.log(await client.receive());
    await client.close();
  }

  for (const how of [{ proxyProtocol: true }, { tls }]) {
    const server = await serve({
      hostname: "127.0.0.1",
      port: 0,
      framing,
      handshakeTimeout: 2 ** 31 - 1,
      ...how,
    }, (connection) => connection.send("accepted"));
    const clientTls = how.tls && { caCerts };
    await acceptSilentPeer(server.addr.port, clientTls);
    server.unref();
    await acceptSilentPeer(server.addr.port, clientTls);
  }
`;

const bundledUnref = sharing(() =>
  bundle(UNREF_WHILE_SHAKING_HANDS, "unref.ts")
);

for (const command of RUNTIMES) {
  peerTest(
    installed.includes(command) && !await isOldNode(command),
    `Server.unref() lets the process end while peers shake hands in ${command}`,
    async () => {
      assertEquals(
        await outputOf(command, await bundledUnref()),
        Array(4).fill("accepted").join("\n"),
      );
    },
  );
}

// The stand-ins for @std/assert import node:assert, which browsers do not have.
const PAGE = `<!DOCTYPE html>
<script type="importmap">
  { "imports": { "node:assert": "data:text/javascript,export class AssertionError extends Error {}" } }
</script>
<script>
  function report(body) {
    fetch("report", { method: "POST", body });
  }
</script>
<script type="module" src="suites.js"></script>
`;

/** Runs the tests in Chromium, and returns their report. */
async function reportOfChromium(script: string): Promise<string> {
  const report = Promise.withResolvers<string>();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const path = new URL(request.url).pathname;
      if (path === "/report") report.resolve(await request.text());
      const [type, body] = path === "/suites.js"
        ? ["text/javascript", script]
        : ["text/html", path === "/" ? PAGE : ""];
      // Only a cross-origin isolated page may share memory.
      const headers = {
        "content-type": type,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
      };
      return new Response(body, { headers });
    },
  );
  await using folder = await temporaryFolder();
  {
    await using browser = start([
      "chromium-headless-shell",
      "--no-sandbox",
      "--disable-gpu",
      "--remote-debugging-port=0", // otherwise the browser ends when the page has loaded
      `--user-data-dir=${folder.path}`,
      `http://127.0.0.1:${server.addr.port}/`,
    ]);
    const ended = browser.status.then(({ code }) => {
      throw new Error(`The browser ended with code ${code}`);
    });
    ended.catch(() => {});
    const result = await Promise.race([report.promise, ended]);
    await closeBrowser(folder.path);
    await browser.status;
    return result;
  }
}

/**
 * Asks the browser to end. The command is a shell script on Debian, so killing it would
 * leave the browser running.
 */
async function closeBrowser(userDataFolder: string): Promise<void> {
  const file = `${userDataFolder}/DevToolsActivePort`;
  const [port, path] = (await Deno.readTextFile(file)).split("\n");
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
  await once(socket, "open");
  socket.send(JSON.stringify({ id: 1, method: "Browser.close" }));
  await once(socket, "close");
}
