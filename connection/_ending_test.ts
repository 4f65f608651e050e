import { assertStrictEquals } from "@std/assert";
import { FramingError } from "../framing/framing_error.ts";
import { endingOfRead, endingOfWrite, ENDINGS } from "./_ending.ts";

Deno.test("endingOfRead() distinguishes a FramingError from other errors", () => {
  const malformed = new FramingError("Bad", { code: "malformed", offset: 0 });
  assertStrictEquals(endingOfRead(malformed), ENDINGS.malformed);
  const ofAnotherCopy = Object.assign(new Error("Bad"), {
    name: "FramingError",
    code: "malformed",
  });
  assertStrictEquals(endingOfRead(ofAnotherCopy), ENDINGS.malformed);
  assertStrictEquals(endingOfRead(new Error("other")), ENDINGS.failed);
  assertStrictEquals(endingOfRead("no error at all"), ENDINGS.failed);
});

Deno.test("endingOfWrite() recognizes that the peer is gone by Deno's names and Node's codes", () => {
  for (
    const gone of [
      new Deno.errors.BrokenPipe("gone"),
      new Deno.errors.ConnectionReset("gone"),
      new Deno.errors.ConnectionAborted("gone"),
      Object.assign(new Error("gone"), { code: "EPIPE" }),
      Object.assign(new Error("gone"), { code: "ECONNRESET" }),
      Object.assign(new Error("gone"), { code: "ECONNABORTED" }),
      Object.assign(new Error("gone"), { code: "ABORT_ERR" }),
      Object.assign(new Error("gone"), { code: "ERR_STREAM_PREMATURE_CLOSE" }),
      Object.assign(new Error("gone"), { code: "ERR_STREAM_DESTROYED" }),
    ]
  ) assertStrictEquals(endingOfWrite(gone), ENDINGS.peerGone);
  for (
    const other of [
      new Error("other"),
      Object.assign(new Error("other"), { code: "EIO" }),
      Object.assign(new Error("other"), { code: 32 }),
      new DOMException("other", "AbortError"),
      "EPIPE",
      undefined,
    ]
  ) assertStrictEquals(endingOfWrite(other), ENDINGS.failed);
});
