import { assertEquals, assertThrows } from "@std/assert";
import { verifyFraming } from "../testing.ts";
import { bytes, decodeInEverySplit, encode, failure } from "./_testing.ts";
import { ChunkDecoder } from "./chunk_decoder.ts";
import { delimited } from "./delimited.ts";
import { dotStuffed } from "./dot_stuffed.ts";
import type { GroupedOptions } from "./grouped.ts";
import { lines } from "./lines.ts";

const strict = lines({ eol: "\r\n", strict: true, trailing: "error" });

Deno.test("dotStuffed() gives the lines up to a single dot, in every split", () => {
  const text = "a\r\n\r\n..\r\n...b\r\n.c\r\n.\r\n.\r\nd\r\n";
  assertEquals(decodeInEverySplit(dotStuffed(strict), text), [
    // A dot that was not doubled is removed too, as RFC 5321 says.
    ["a", "", ".", "..b", "c"],
    [],
    failure("truncated", 25),
  ]);
});

Deno.test("dotStuffed() passes verifyFraming()", () => {
  const framing = dotStuffed(strict, { maxLength: 100, maxFrames: 10 });
  verifyFraming(framing, [[], [""], [".", "..", ".a", "a."], ["é", "\0"]], {
    refused: [".", ".\r", "a\r\n", "a\n.\r\n", "a\r.\r\n"].map(bytes),
    rounds: 50,
  });
  assertEquals(encode(framing, [".", ""]), "..\r\n\r\n.\r\n");
});

Deno.test("dotStuffed() applies its limits in both directions", () => {
  const limited = (options: GroupedOptions) => dotStuffed(lines(), options);
  for (const options of [{ maxLength: 5 }, { maxFrames: 2 }]) {
    const framing = limited(options);
    assertEquals(decodeInEverySplit(framing, "ab\n.\na\nb\n.\n"), [
      ["ab"],
      failure("too-long", 5),
    ]);
    assertEquals(encode(framing, ["ab"]), "ab\n.\n");
    const [name = ""] = Object.keys(options);
    assertThrows(() => encode(framing, ["a", "b"]), RangeError, name);
  }
  for (const limit of [0, -1, 1.5, NaN]) {
    for (const name of ["maxLength", "maxFrames"]) {
      assertThrows(
        () => limited({ [name]: limit }),
        RangeError,
        "Cannot make dotStuffed framing",
      );
    }
  }
});

Deno.test("dotStuffed() sends nothing of a text with a line end inside a line", () => {
  assertThrows(() => encode(dotStuffed(strict), ["a", "b\r\n."]), TypeError);
  assertThrows(
    () => encode(dotStuffed(strict), "text" as never),
    TypeError,
    "an array of lines: current value is of type string",
  );
  assertThrows(
    () => encode(dotStuffed(strict), ["a", 1] as never),
    TypeError,
    "a string: current value is of type number",
  );
});

Deno.test("dotStuffed() throws for a framing that gives no text", () => {
  // @ts-expect-error A framing of bytes.
  const decoder = new ChunkDecoder(dotStuffed(delimited("\n")));
  assertThrows(
    () => decoder.decode(bytes("a\n.\n")),
    TypeError,
    "must give text: it gave a value of type object",
  );
});
