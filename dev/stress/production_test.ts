import { assertEquals } from "@std/assert";
import {
  attackProduction,
  crowdProduction,
  ProductionServer,
} from "./production.ts";

for (const door of ["lines", "lengths", "tls"] as const) {
  Deno.test(`The server of docs/production.md ends every hostile peer and answers good clients (${door})`, async () => {
    const { operations, note: _, ...figures } = await attackProduction(door, {
      pace: 100,
      attackers: 2,
      clients: 3,
      duration: 0,
    });
    assertEquals(operations > 0, true);
    const { lost, duplicated, unsettled } = figures;
    assertEquals([lost, duplicated, unsettled], [0, 0, 0]);
  });
}

for (const door of ["lines", "tls"] as const) {
  Deno.test(`The server of docs/production.md lets good clients in after silent ones (${door})`, async () => {
    const { operations, lost } = await crowdProduction(door, 60, 16);
    assertEquals([operations, lost], [8, 0]);
  });
}

Deno.test({
  name:
    "The server of docs/production.md says goodbye at SIGTERM, and limits the connections of an address",
  ignore: Deno.build.os === "windows", // there SIGTERM ends a process immediately
  async fn() {
    await using server = await ProductionServer.start({ door: "lines" });
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => server.join()),
    );
    assertEquals(
      await Promise.all(clients.map((client) => client.request("hello"))),
      clients.map(() => "hello"),
    );
    await using tooMany = await server.join();
    assertEquals(await tooMany.receive().catch(() => undefined), undefined);

    const goodbyes = Promise.all(clients.map(async (client) => {
      const goodbye = await client.receive();
      await client.close();
      return goodbye;
    }));
    assertEquals(await server.terminate(), { code: 0, stderr: "" });
    assertEquals(await goodbyes, clients.map(() => "The server goes down"));
  },
});
