import { connect, type FramingError, serve, unframed } from "@framed/tcp";
import { verifyFraming } from "@framed/tcp/testing";
import { assertEquals } from "@std/assert";
import { sentences } from "./nmea.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const loopback = { hostname: "127.0.0.1", port: 0 };

Deno.test("nmea.ts drops a damaged sentence, and continues", async () => {
  const recorded = [
    "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
    "$GPGLL,4916.45,N,12311.12,W,225444,A*31",
    "$GPGLL,4916.45,N,12311.13,W,225444,A*31", // one digit differs
    "$GPGLL,4916.45,N,123", // cut off
    "",
    "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C",
    "$GPGLL,4916.45,N,12311.12,W,225444,A*31",
  ];
  await using server = serve(
    { ...loopback, framing: unframed() },
    (connection) => connection.send(bytes(`${recorded.join("\r\n")}\r\n`)),
  );
  const damaged: FramingError[] = [];
  await using connection = await connect({
    port: server.addr.port,
    framing: sentences((error) => void damaged.push(error)),
  });
  const received = await Array.fromAsync(connection);
  assertEquals(received.map(([type]) => type), [
    "GPGGA",
    "GPGLL",
    "AIVDM",
    "GPGLL",
  ]);
  assertEquals(damaged.map(({ code }) => code), Array(3).fill("malformed"));
  verifyFraming(sentences(), [["GPGLL", "4916.45", "N"], ["X"]]);
});
