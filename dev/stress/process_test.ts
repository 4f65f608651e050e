import { assert, assertEquals } from "@std/assert";
import { cutEndless, drainUnderLoad, finishUnderWay } from "./process.ts";

const ignore = Deno.build.os === "windows"; // Windows has no SIGTERM

Deno.test({
  name:
    "a server answers all requests that it has read after SIGTERM, and exits with code 0",
  ignore,
  async fn() {
    const { read, answered, wrong } = await drainUnderLoad(10, 50);
    assert(read > 500);
    assertEquals(answered, read);
    assertEquals(wrong, 0);
  },
});

Deno.test({
  name: "a server finishes a pending request after SIGTERM",
  ignore,
  fn: finishUnderWay,
});

Deno.test({
  name:
    "a server exits with code 0 after SIGTERM although a handler never ends",
  ignore,
  fn: cutEndless,
});
