import { assertEquals, assertStrictEquals } from "@std/assert";
import { copyOptions } from "./copy_options.ts";

Deno.test("copyOptions() copies own properties and those of the class", () => {
  class Defaults {
    readonly #port = 4000;
    hostname = "localhost";
    get port(): number {
      return this.#port;
    }
    filter(): boolean {
      return this.hostname === "127.0.0.1";
    }
  }
  class Options extends Defaults {
    override hostname = "127.0.0.1";
  }
  const options = new Options();
  const copy = copyOptions(options);
  options.hostname = "";

  assertEquals([copy.hostname, copy.port, copy.filter()], [
    "127.0.0.1",
    4000,
    true,
  ]);
});

Deno.test("copyOptions() adds nothing to a plain object", () => {
  const signal = AbortSignal.abort();
  const copy = copyOptions({ port: 1, signal });
  assertEquals(Object.keys(copy), ["port", "signal"]);
  assertStrictEquals(copy.signal, signal);
  assertEquals(Object.keys(copyOptions(Object.create(null))), []);
});
