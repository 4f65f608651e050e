/**
 * socat, over TCP, TLS and Unix sockets.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import {
  connect,
  type Connection,
  lines,
  serve,
  type Server,
} from "../../mod.ts";
import { caCerts, certificate } from "../testdata/certificates.ts";
import {
  assertSameMessages,
  assertSuccess,
  isInstalled,
  lineThat,
  MAX_LENGTH,
  messagesUpTo,
  peerTest,
  type Program,
  start,
  temporaryFolder,
} from "./_peers.ts";

type Lines = Connection<string, string>;

const framing = lines({ maxLength: MAX_LENGTH });
const messages = messagesUpTo(MAX_LENGTH, "letters");
const hasSocat = await isInstalled("socat");

function testdata(name: string): string {
  return fileURLToPath(new URL(`../testdata/${name}`, import.meta.url));
}

// -t: seconds to wait for the other side after one side has ended; -b: no more than a
// pipe holds, otherwise socat's echo can block itself.
function socat(near: string, far: string, input?: string[]): Program {
  return start(["socat", "-d", "-d", "-t30", "-b4096", near, far], input);
}

/** Waits until socat listens, and returns its address. */
async function listening(program: Program): Promise<string> {
  const [address = ""] = await lineThat(
    program.stderr,
    /listening on AF=\d+ "?([^"]+)"?$/,
  );
  return address;
}

function portIn(address: string): number {
  return Number(address.split(":").at(-1));
}

/** An address of the other side, for this module and for socat. */
interface Transport {
  name: string;
  serve(
    path: string,
    handler: (connection: Lines) => Promise<void>,
    onError: (error: unknown) => void,
  ): Server<string, string, Deno.Addr>;
  /** The address that socat dials. */
  dial(addr: Deno.Addr): string;
  /** The address that socat listens on. */
  listen(path: string): string;
  connect(address: string): Promise<Lines>;
}

function port(addr: Deno.Addr): number {
  assert("port" in addr);
  return addr.port;
}

const hostname = "127.0.0.1";

const TRANSPORTS: Transport[] = [{
  name: "TCP",
  serve: (_path, handler, onError) =>
    serve({ hostname, port: 0, framing, onError }, handler),
  dial: (addr) => `TCP:127.0.0.1:${port(addr)}`,
  listen: () => "TCP-LISTEN:0,bind=127.0.0.1",
  connect: (address) => connect({ port: portIn(address), framing }),
}, {
  name: "TLS",
  serve: (_path, handler, onError) =>
    serve({ hostname, port: 0, framing, onError, tls: certificate }, handler),
  dial: (addr) =>
    `OPENSSL:127.0.0.1:${port(addr)},cafile=${
      testdata("ca.pem")
    },commonname=localhost`,
  listen: () =>
    `OPENSSL-LISTEN:0,bind=127.0.0.1,verify=0,certificate=${
      testdata("localhost.pem")
    },key=${testdata("localhost.key")}`,
  connect: (address) =>
    connect({ port: portIn(address), framing, tls: { caCerts } }),
}, {
  name: "Unix",
  serve: (path, handler, onError) => serve({ path, framing, onError }, handler),
  dial: (addr) => {
    assert("path" in addr);
    return `UNIX:${addr.path}`;
  },
  listen: (path) => `UNIX-LISTEN:${path}`,
  connect: (path) => connect({ path, framing }),
}];

for (const transport of TRANSPORTS) {
  peerTest(
    hasSocat,
    `serve() receives everything from socat over ${transport.name}, then answers`,
    async () => {
      await using folder = await temporaryFolder();
      const errors: unknown[] = [];
      await using server = transport.serve(
        `${folder.path}/socket`,
        async (connection) => {
          assertSameMessages(await Array.fromAsync(connection), messages);
          for (const message of messages) await connection.send(message);
        },
        (error) => void errors.push(error),
      );
      // socat ends its side at the end of its input.
      await using program = socat("-", transport.dial(server.addr), messages);
      const printed = await assertSuccess(program);
      await server.shutdown();
      assertEquals(errors, []);
      assertSameMessages(printed, messages);
    },
  );

  peerTest(
    hasSocat,
    `connect() receives socat's echo over ${transport.name} after it has half-closed`,
    async () => {
      await using folder = await temporaryFolder();
      await using program = socat(
        transport.listen(`${folder.path}/socket`),
        "PIPE",
      );
      const address = await listening(program);
      await using connection = await transport.connect(address);
      const [received] = await Promise.all([
        Array.fromAsync(connection),
        (async () => {
          for (const message of messages) await connection.send(message);
          await connection.closeWrite();
        })(),
      ]);
      assertSameMessages(received, messages);
      await connection.closed;
      await assertSuccess(program);
    },
  );
}
