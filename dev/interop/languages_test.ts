/**
 * Echo programs in other languages, which use their own framing code.
 *
 * @module
 */
import {
  asText,
  connect,
  delimited,
  type Framing,
  lengthPrefixed,
  lines,
} from "../../mod.ts";
import {
  type Agreement,
  assertEchoesOf,
  assertEchoesTo,
  isInstalled,
  MAX_LENGTH,
  messagesUpTo,
  peerFile,
  peerTest,
  start,
} from "./_peers.ts";

const maxLength = MAX_LENGTH;

function connectTo(port: number, framing: Framing<string, string>) {
  return connect({ port, framing });
}

/** A framing of lines, whose messages must not contain a line end. */
function asLines(name: string, framing: Framing<string, string>): Agreement {
  return { name, framing, messages: messagesUpTo(MAX_LENGTH, "letters") };
}

/** A framing with a length, whose messages may contain any bytes. */
function asCounted(
  name: string,
  options: Parameters<typeof lengthPrefixed>[0],
  longest = MAX_LENGTH,
): Agreement {
  return {
    name,
    framing: asText(lengthPrefixed({ ...options, maxLength })),
    messages: messagesUpTo(longest, "controls"),
  };
}

/** Tests a peer as server and as client, with each of its framings. */
function testEchoes(
  language: string,
  hasPeer: boolean,
  command: () => string[],
  agreements: Agreement[],
): void {
  for (const agreement of agreements) {
    const { name } = agreement;
    peerTest(
      hasPeer,
      `connect() with ${language}'s listener and ${name}`,
      async () => {
        await using program = start([...command(), "listen", name]);
        await assertEchoesOf(program, agreement, connectTo);
      },
    );
    peerTest(
      hasPeer,
      `serve() with ${language}'s dialer and ${name}`,
      async () => {
        await assertEchoesTo(
          (port) => start([...command(), "connect", `${port}`, name]),
          agreement,
        );
      },
    );
  }
}

testEchoes(
  "Python",
  await isInstalled("python3"),
  () => ["python3", peerFile("echo.py")],
  [
    asLines("readline", lines({ maxLength })),
    asLines("readuntil", asText(delimited("<<>>", { maxLength }))),
    asCounted("readexactly", {}),
  ],
);

testEchoes(
  "Node",
  await isInstalled("node"),
  () => ["node", peerFile("echo.mjs")],
  [
    asLines("readline", lines({ maxLength })),
    asCounted("readUInt32LE", { littleEndian: true }),
  ],
);

testEchoes(
  "Erlang",
  await isInstalled("escript"),
  () => ["escript", peerFile("echo.erl")],
  [
    asLines("line", lines({ maxLength })),
    asCounted("2", { fieldSize: 2 }, 65_535),
    asCounted("4", { fieldSize: 4 }),
  ],
);

let goFolder: string | undefined;
let goProgram = "";
const hasGo = await isInstalled("go");

Deno.test.beforeAll(async () => {
  if (!hasGo) return;
  goFolder = await Deno.makeTempDir();
  goProgram = `${goFolder}/echo`;
  const { success, stderr } = await new Deno.Command("go", {
    args: ["build", "-o", goProgram, peerFile("echo.go")],
    env: {
      GOCACHE: `${goFolder}/cache`,
      GOPATH: `${goFolder}/path`,
      GOTOOLCHAIN: "local",
    },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
});

Deno.test.afterAll(async () => {
  if (goFolder !== undefined) await Deno.remove(goFolder, { recursive: true });
});

testEchoes(
  "Go",
  hasGo,
  // Run by the shell, because the test has no permission to run a temporary file.
  () => ["sh", "-c", 'exec "$0" "$@"', goProgram],
  [
    asLines("Scanner", lines({ maxLength })),
    asCounted("ReadUvarint", { fieldSize: "varint" }),
  ],
);
