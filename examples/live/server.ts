/**
 * The lesson of `docs/lesson.md` as a page on which you can try everything.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 --allow-read=. --allow-run=ss,cat examples/live/server.ts
 * ```
 *
 * A real sender and a real receiver run in threads, and the figures are the kernel's
 * own: from `ss` on Linux, or from `/proc/net/tcp`, read by `cat`. Only this machine
 * reaches the page, and no other page may use this server. (Deno needs permission to
 * read the module's files, because threads are started from them.)
 *
 * With `sysctl` in `--allow-run`, and as root, the page can also limit the kernel's
 * buffers. That holds for the whole machine for as long as a run lasts.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { nextInterrupt, readPort } from "../_lesson.ts";
import { Kernel } from "./kernel.ts";
import { Session } from "./session.ts";

const HOSTNAME = "127.0.0.1";
const DEFAULT_PORT = 8017;
/** An open page may have three threads. */
const MAX_SESSIONS = 8;

/** How long pages have to close at the end. */
const CLOSE_MS = 1000;

/** The page may run only its own code, and talk only to its server. */
const POLICY = [
  "default-src 'none'",
  "script-src 'unsafe-inline'",
  "style-src 'unsafe-inline'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

/** A server of the lesson. */
export interface LessonServer extends AsyncDisposable {
  /** The address of the page. */
  readonly url: string;
}

/**
 * Serves the lesson until it is disposed.
 *
 * @param port The port; 0 for any free one.
 * @param kernel What tells of sockets.
 */
export function serveLesson(port: number, kernel: Kernel): LessonServer {
  const sessions = new Map<WebSocket, Session>();
  const server = Deno.serve(
    { hostname: HOSTNAME, port, onListen() {} },
    (request) => {
      if (!isOwn(request, server.addr.port)) {
        return refusal(403, "This server talks to its own page alone");
      }
      switch (new URL(request.url).pathname) {
        case "/":
          return servePage(request);
        case "/link":
          return openLink(request, kernel, sessions);
        default:
          return refusal(404, "There is nothing here");
      }
    },
  );
  return {
    url: `http://${HOSTNAME}:${server.addr.port}/`,
    async [Symbol.asyncDispose]() {
      for (const [socket, session] of sessions) {
        socket.close();
        await session[Symbol.asyncDispose]();
      }
      // Do not wait for pages that do not close, such as on a sleeping computer.
      const waiting = new AbortController();
      const { signal } = waiting;
      await Promise.race([
        server.shutdown(),
        delay(CLOSE_MS, undefined, { signal }).catch(() => {}),
      ]);
      waiting.abort();
    },
  };
}

/**
 * Whether a request comes from the page itself. It also checks the host: another page's
 * name may resolve to this address, and its origin would then look like ours.
 */
function isOwn({ headers }: Request, port: number): boolean {
  const host = headers.get("host");
  const origin = headers.get("origin");
  return (host === `${HOSTNAME}:${port}` || host === `localhost:${port}`) &&
    (origin === null || origin === `http://${host}`);
}

async function servePage({ headers }: Request): Promise<Response> {
  const page = await Deno.readFile(new URL("page.html", import.meta.url));
  // Named, because not every browser counts WebSockets to the page's own server as 'self'.
  const link = `connect-src ws://${headers.get("host")}`;
  return new Response(page, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": [...POLICY, link].join("; "),
      "cross-origin-resource-policy": "same-origin",
      "x-content-type-options": "nosniff",
    },
  });
}

/** Opens the WebSocket of a page, with a session of its own. */
function openLink(
  request: Request,
  kernel: Kernel,
  sessions: Map<WebSocket, Session>,
): Response {
  if (request.headers.get("upgrade") !== "websocket") {
    return refusal(426, "This is for the page's WebSocket");
  }
  if (sessions.size >= MAX_SESSIONS) {
    return refusal(503, `More than ${MAX_SESSIONS} pages are open`);
  }
  let upgrade: Deno.WebSocketUpgrade;
  try {
    upgrade = Deno.upgradeWebSocket(request);
  } catch (error) {
    return refusal(400, reasonOf(error));
  }
  const { socket, response } = upgrade;
  const session = new Session(kernel, (message) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify(message));
  });
  sessions.set(socket, session);
  socket.onopen = () => session.greet();
  socket.onmessage = ({ data }) => session.answer(String(data));
  socket.onclose = async () => {
    // Not earlier, so that a server that ends waits for it.
    await session[Symbol.asyncDispose]();
    sessions.delete(socket);
  };
  return response;
}

function refusal(status: number, reason: string): Response {
  return new Response(`${reason}\n`, { status });
}

/** The port that the command line names. */
function readFlags(): number | undefined {
  try {
    const { values: { port } } = parseArgs({
      options: { port: { type: "string" } },
    });
    return readPort(port);
  } catch (error) {
    console.error(reasonOf(error));
    Deno.exit(2);
  }
}

async function run(port: number): Promise<void> {
  const interrupted = nextInterrupt();
  await using server = serveLesson(port, await Kernel.open());
  console.log(`The lesson is at ${server.url} until you press Ctrl-C`);
  await interrupted;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) {
  const port = readFlags() ?? DEFAULT_PORT;
  try {
    await run(port);
  } catch (error) {
    console.error(
      `Cannot serve the lesson at port ${port}: ${reasonOf(error)}`,
    );
    Deno.exit(1);
  }
  Deno.exit(); // a page that does not close keeps its socket
}
