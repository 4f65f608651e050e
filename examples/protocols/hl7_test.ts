import { connect, serve, unframed } from "@framed/tcp";
import { ChunkDecoder, FramingError } from "@framed/tcp/framing";
import { verifyFraming } from "@framed/tcp/testing";
import { assertEquals, assertThrows } from "@std/assert";
import { acknowledge, framing, handle, type Message } from "./hl7.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const loopback = { hostname: "127.0.0.1", port: 0 };

const ADMISSION: Message = [
  [
    "MSH",
    "^~\\&",
    "LAB",
    "HOME",
    "EHR",
    "CLINIC",
    "20260102",
    "",
    "ADT^A01",
    "7",
  ],
  ["PID", "1", "", "Müller^Ann"],
];

Deno.test("hl7.ts acknowledges messages, and drops other bytes", async () => {
  await using server = serve({ ...loopback, framing }, handle);
  await using connection = await connect({
    port: server.addr.port,
    framing,
  });
  connection.send(bytes("no start block\x1c\r"), { framing: unframed() });
  assertEquals(await connection.request(ADMISSION), acknowledge(ADMISSION));
  assertEquals(acknowledge(ADMISSION)[1], ["MSA", "AA", "7"]);
  verifyFraming(framing, [ADMISSION, acknowledge(ADMISSION)]);
});

Deno.test("hl7.ts does not acknowledge a message that is cut off", () => {
  const decoder = new ChunkDecoder(framing);
  assertEquals(decoder.decode(bytes("\x0bMSH|^~\\&\rPID|1\r")), []);
  const { code } = assertThrows(() => decoder.end(), FramingError);
  assertEquals(code, "truncated");
});
