import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  assertSuccess,
  isInstalled,
  lineThat,
  peerFile,
  peerTest,
  type Program,
  start,
  startExample,
} from "../dev/interop/_peers.ts";
import { connect, lengthPrefixed } from "../mod.ts";

function modbus(...flags: string[]): Program {
  return startExample("modbus.ts", [], flags);
}

const CLIENT_PRINTS = [
  "Client: wrote 21, 22 and 65535 into the registers from 0 on",
  "Client: register 0 is 21, register 1 is 22",
  "Client: the first four are 21, 22, 65535, 0",
  "Client: asked for register 100, which is not there: The server refused: illegal address",
];

Deno.test("modbus.ts writes and reads registers", async () => {
  await using program = modbus();
  const [, ...printed] = await assertSuccess(program);
  assertEquals(printed, CLIENT_PRINTS);
});

Deno.test("modbus.ts refuses a function code with the exception bit", async () => {
  const { server, port } = await modbusServer();
  await using _server = server;
  const framing = lengthPrefixed({ fieldSize: 2, fieldOffset: 4, strip: 0 });
  await using client = await connect({ port: Number(port), framing });
  const request = Uint8Array.of(0, 1, 0, 0, 0, 2, 1, 0x83);
  // Without the check, the response would look like registers.
  assertEquals(
    await client.request(request),
    Uint8Array.of(0, 1, 0, 0, 0, 3, 1, 0x83, 1),
  );
});

async function modbusServer(): Promise<{ server: Program; port: string }> {
  const server = modbus("--server", "--port", "0");
  const [port = ""] = await lineThat(server.stdout, /listening on port (\d+)/);
  return { server, port };
}

/** Runs mbpoll, which reads or writes once, with registers counted from 0. */
async function mbpoll(
  port: string,
  args: string[],
  values: string[] = [],
): Promise<string[]> {
  await using program = start([
    "mbpoll",
    ...["-0", "-1", "-p", port, ...args, "127.0.0.1", ...values],
  ]);
  const [stdout, stderr] = await Promise.all([
    Array.fromAsync(program.stdout),
    Array.fromAsync(program.stderr),
  ]);
  return [...stdout, ...stderr];
}

function registersIn(lines: string[]): string[] {
  return lines.flatMap((line) => line.match(/^\[\d+\]:\s*(\d+)/)?.[1] ?? []);
}

peerTest(await isInstalled("mbpoll"), "modbus.ts serves mbpoll", async () => {
  const { server, port } = await modbusServer();
  await using _server = server;

  await mbpoll(port, ["-r", "3"], ["7"]);
  await mbpoll(port, ["-r", "4"], ["8", "9", "32767"]);
  const read = await mbpoll(port, ["-r", "2", "-c", "6"]);
  assertEquals(registersIn(read), ["0", "7", "8", "9", "32767", "0"]);
  const most = await mbpoll(port, ["-r", "0", "-c", "100"]);
  assertEquals(registersIn(most).length, 100);
  const beyond = await mbpoll(port, ["-r", "99", "-c", "2"]);
  assertStringIncludes(beyond.join("\n"), "Illegal data address");
});

function modbusSerial(...args: string[]): Program {
  return start([
    "deno",
    "run",
    "--quiet",
    "--no-prompt",
    "--allow-env",
    "--allow-read",
    "--allow-net=127.0.0.1",
    peerFile("modbus_serial.mjs"),
    ...args,
  ]);
}

/** Whether the package is installed or can be downloaded; prints a note if not. */
async function hasModbusSerial(): Promise<boolean> {
  await using program = start(["deno", "cache", peerFile("modbus_serial.mjs")]);
  const { success } = await program.status;
  if (!success) {
    // deno-lint-ignore no-console -- a skipped test must be visible
    console.log("Skipped the tests with modbus-serial, which cannot be got");
  }
  return success;
}

const hasPackage = await hasModbusSerial();

peerTest(hasPackage, "modbus.ts serves the package modbus-serial", async () => {
  const { server, port } = await modbusServer();
  await using _server = server;
  await using program = modbusSerial("connect", port);
  const [printed = ""] = await assertSuccess(program);
  assertEquals(JSON.parse(printed), {
    one: [1234],
    many: Array.from({ length: 80 }, (_, i) => 700 * i),
    together: [0, 700, 1400],
    beyond: 2,
    unknown: 1,
  });
});

peerTest(
  hasPackage,
  "modbus.ts sends requests to the package modbus-serial",
  async () => {
    await using server = modbusSerial("listen");
    const [port = ""] = await lineThat(server.stdout, /^(\d+)$/);
    await using program = modbus("--client", "--port", port);
    assertEquals(await assertSuccess(program), CLIENT_PRINTS);
  },
);
