import { assertEquals } from "@std/assert";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import process from "node:process";
import { replacing } from "../dev/testdata/replacing.ts";

Deno.test("publishOpen() looks up channels again while they are being loaded", async () => {
  // A new instance of the module, which has not looked up the channels yet.
  const { publishOpen }: typeof import("./diagnostics.ts") = await import(
    `./diagnostics.ts?${crypto.randomUUID()}`
  );
  const published: unknown[] = [];
  const onOpen = (message: unknown) => published.push(message);
  subscribe("framed_tcp.connection.open", onOpen);
  const [early, late] = [{}, {}];
  {
    using _loading = replacing(process, {
      getBuiltinModule() {
        throw new ReferenceError("Cannot access 'B' before initialization");
      },
    });
    publishOpen(early, {});
  }
  publishOpen(late, {});
  unsubscribe("framed_tcp.connection.open", onOpen);
  assertEquals(published, [{ connection: late }]);
});
