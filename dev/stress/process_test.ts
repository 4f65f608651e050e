import { assert, assertEquals } from "@std/assert";
import { cutEndless, drainUnderLoad, finishUnderWay } from "./process.ts";

const ignore = Deno.build.os === "windows"; // which has no SIGTERM

Deno.test({
  name: "SIGTERM lets a server answer all that it has read, and end with 0",
  ignore,
  async fn() {
    const { read, answered, wrong } = await drainUnderLoad(10, 50);
    assert(read > 500);
    assertEquals(answered, read);
    assertEquals(wrong, 0);
  },
});

Deno.test({
  name: "SIGTERM waits for a request that is under way",
  ignore,
  fn: finishUnderWay,
});

Deno.test({
  name: "SIGTERM ends a server with 0 though a handler never ends",
  ignore,
  fn: cutEndless,
});
