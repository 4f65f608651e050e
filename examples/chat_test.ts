import { assert, assertEquals } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerTest,
  type Program,
  start,
  startExample,
} from "../dev/interop/_peers.ts";
import { connect, type Connection, lines } from "../mod.ts";

function chat(...flags: string[]): Program {
  return startExample("chat.ts", [], flags);
}

Deno.test("chat.ts lets a slow guest miss lines, and slows down no other", async () => {
  await using program = chat();
  const printed = (await assertSuccess(program)).join("\n");
  assert(printed.includes("Ben has read all 400 long lines"), printed);
  const [, read, missed] =
    printed.match(/Sam reads on: (\d+) .*You missed (\d+) lines/) ?? [];
  assert(Number(missed) > 0, printed);
  assertEquals(Number(read) + Number(missed), 400);
});

Deno.test("chat.ts forwards the longest line that a guest may send", async () => {
  await using server = chat("--server", "--port", "0");
  const [port] = await lineThat(server.stdout, /listening on port (\d+)/);
  const framing = lines();
  const options = { port: Number(port), framing };
  await using ben = await connect(options);
  await ben.send("Ben");
  await receiveThat(ben, /^\* Here are/);
  await using ann = await connect(options);
  await ann.send("Ann");
  const longest = "x".repeat(64 * 1024);
  await ann.send(longest);
  assertEquals(await receiveThat(ben, /^Ann: /), `Ann: ${longest}`);
});

async function receiveThat(
  connection: Connection<string, string>,
  pattern: RegExp,
): Promise<string> {
  for await (const line of connection) if (pattern.test(line)) return line;
  throw new Error("The chat has closed");
}

const canInterrupt = Deno.build.os !== "windows";
const hasNetcat = await isInstalled("nc");

peerTest(
  hasNetcat,
  "chat.ts sends many guests with nc each line in order",
  async () => {
    await using server = chat("--server", "--port", "0");
    const [port = ""] = await lineThat(
      server.stdout,
      /listening on port (\d+)/,
    );
    await using stack = new AsyncDisposableStack();
    const guests = Array.from({ length: 30 }, (_, i) => {
      return stack.use(start(["nc", "127.0.0.1", port], [`Guest ${i}`]));
    });
    for (const { stdout } of guests) await lineThat(stdout, /^\* Here are: /);

    const numbers = Array.from({ length: 100 }, (_, i) => `${i}`);
    await using _ann = start(["nc", "127.0.0.1", port], ["Ann", ...numbers]);
    for (const { stdout } of guests) {
      await lineThat(stdout, /^\* Ann has come$/);
      for (const number of numbers) {
        assertEquals((await stdout.next()).value, `Ann: ${number}`);
      }
    }
  },
);

peerTest(
  canInterrupt && hasNetcat,
  "chat.ts serves nc, and says goodbye at Ctrl-C",
  async () => {
    await using server = chat("--server", "--port", "0");
    const [port = ""] = await lineThat(
      server.stdout,
      /listening on port (\d+)/,
    );

    await using ben = start(["nc", "127.0.0.1", port], ["Ben"]);
    await lineThat(ben.stdout, /^\* Here are: Ben$/);
    await using ann = start(["nc", "127.0.0.1", port], [
      "Ann",
      "Hello",
      "\x1b[2Jgone?",
    ]);
    await lineThat(ann.stdout, /^\* Here are: Ben, Ann$/);
    for (const line of ["* Ann has come", "Ann: Hello", "Ann: [2Jgone?"]) {
      assertEquals((await ben.stdout.next()).value, line);
    }
    // This guest half-closes after its name, and so leaves.
    await using _cat = start(["nc", "-N", "127.0.0.1", port], ["Cat"]);
    assertEquals((await ben.stdout.next()).value, "* Cat has come");
    assertEquals((await ben.stdout.next()).value, "* Cat has left");

    server.interrupt();
    assertEquals((await assertSuccess(ben))[0], "* The chat closes");
    assertEquals((await assertSuccess(ann)).slice(0, 3), [
      "* Cat has come",
      "* Cat has left",
      "* The chat closes",
    ]);
    await assertSuccess(server);
  },
);
