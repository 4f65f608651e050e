// Like assert_test.ts: every test runs on the original and on the stand-in.
import { assertEquals, assertRejects } from "@std/assert";
import * as original from "@std/streams";
import * as standIn from "./streams/mod.ts";

type Std = Pick<typeof original, keyof typeof standIn>;

testOn("original", original satisfies typeof standIn);
testOn("stand-in", standIn);

/** "é€", cut inside its second character. */
const CHUNKS = [new Uint8Array([195, 169, 226]), new Uint8Array([130, 172])];

function failing(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      controller.error(new RangeError("Cannot read"));
    },
  });
}

function testOn(side: string, std: Std): void {
  Deno.test(`toText() joins chunks of bytes and of text (${side})`, async () => {
    assertEquals(await std.toText(ReadableStream.from(CHUNKS)), "é€");
    assertEquals(await std.toText(ReadableStream.from(["é", "€"])), "é€");
    assertEquals(await std.toText(ReadableStream.from<string>([])), "");
    assertEquals(
      await std.toText(ReadableStream.from([new Uint8Array([97, 195])])),
      "a\ufffd",
    );
    await assertRejects(() => std.toText(failing()), RangeError, "Cannot read");
  });
}
