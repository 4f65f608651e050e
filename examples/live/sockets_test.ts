import { assertEquals, assertMatch } from "@std/assert";
import { Kernel } from "./kernel.ts";
import { type Call, Sockets, type SocketsState } from "./sockets.ts";

const kernel = await Kernel.open();

/** Makes calls, and returns their values or errors. */
async function callAll(sockets: Sockets, calls: Call[]): Promise<string[]> {
  const values: string[] = [];
  for (const call of calls) values.push((await sockets.call(call)).value);
  return values;
}

/** Waits until the kernel reports these states, by the names of the sockets. */
async function untilStates(
  sockets: Sockets,
  expected: Record<string, string>,
): Promise<SocketsState> {
  for (;;) {
    const state = await sockets.state();
    const isThere = ([name, expected]: [string, string]) =>
      state.rows.some((row) => row.name === name && row.state === expected);
    if (Object.entries(expected).every(isThere)) return state;
  }
}

const LISTEN_AND_CONNECT: Call[] = [{ name: "listen" }, { name: "connect" }];

Deno.test("Sockets refuses a connection before anything listens", async () => {
  using sockets = new Sockets(kernel);
  const { value, isError } = await sockets.call({ name: "connect" });
  assertEquals(isError, true);
  assertMatch(value, /^ConnectionRefused/);
});

Deno.test("Sockets writes before the server accepts, and reads two writes together", async () => {
  using sockets = new Sockets(kernel);
  await callAll(sockets, LISTEN_AND_CONNECT);
  const [first, second, , read] = await callAll(sockets, [
    { name: "write", end: "client 1", text: "hello" },
    { name: "write", end: "client 1", text: "again" },
    { name: "accept" },
    { name: "read", end: "server 1" },
  ]);
  assertEquals([first, second, read], ["5", "5", '10: "helloagain"']);
});

Deno.test("Sockets shows the direction of the last write", async () => {
  using sockets = new Sockets(kernel);
  await callAll(sockets, [
    ...LISTEN_AND_CONNECT,
    { name: "accept" },
    { name: "write", end: "server 1", text: "hello" },
    { name: "read", end: "client 1", bytes: 2 },
  ]);
  const { lane, writer } = await sockets.state();
  assertEquals(writer, "server 1");
  assertEquals([lane.made, lane.taken, lane.inKernel], [5, 2, 3]);
});

Deno.test("Sockets names an end that is not open", async () => {
  using sockets = new Sockets(kernel);
  await callAll(sockets, LISTEN_AND_CONNECT);
  const [accepted, , closed, unknown] = await callAll(sockets, [
    { name: "accept" },
    { name: "close", end: "server 1" },
    { name: "write", end: "server 1", text: "x" },
    { name: "read", end: "client 9" },
  ]);
  assertMatch(accepted ?? "", /^127\.0\.0\.1:\d+$/);
  assertEquals(closed, "Error: server 1 is not open");
  assertEquals(unknown, "Error: client 9 is not open");
});

Deno.test({
  name: "Sockets shows the kernel's states, from LISTEN to TIME-WAIT",
  ignore: kernel.source === "none",
  async fn() {
    using sockets = new Sockets(kernel);
    await callAll(sockets, LISTEN_AND_CONNECT);
    const { rows } = await untilStates(sockets, {
      "listener": "LISTEN",
      "client 1": "ESTAB",
      "server 1": "ESTAB",
    });
    assertEquals(rows.map(({ isHeld }) => isHeld), [true, true, false]);
    assertEquals(rows[0]?.receiveQueue, 1); // not yet accepted

    await callAll(sockets, [{ name: "accept" }, {
      name: "closeWrite",
      end: "client 1",
    }]);
    await untilStates(sockets, {
      "client 1": "FIN-WAIT-2",
      "server 1": "CLOSE-WAIT",
    });
    const [end] = await callAll(sockets, [
      { name: "read", end: "server 1" },
      { name: "close", end: "server 1" },
    ]);
    assertEquals(end, "null");
    await untilStates(sockets, { "client 1": "TIME-WAIT" });
  },
});

Deno.test({
  name: "Sockets shows the bytes that a reset has lost",
  ignore: kernel.source === "none",
  async fn() {
    using sockets = new Sockets(kernel);
    await callAll(sockets, [
      ...LISTEN_AND_CONNECT,
      { name: "accept" },
      { name: "write", end: "client 1", text: "unread" },
      { name: "close", end: "server 1" },
    ]);
    const { lane } = await untilStates(sockets, { "client 1": "CLOSED" });
    assertEquals(lane.lost, 6);
  },
});
