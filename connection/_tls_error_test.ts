import { assert, assertEquals } from "@std/assert";
import { tlsError } from "./_tls_error.ts";

Deno.test("tlsError() names the task and the kind of error in one line", () => {
  const original = Object.assign(new Error("0A0000C1:no shared cipher\n"), {
    code: "ERR_SSL_NO_SHARED_CIPHER",
  });
  const error = tlsError(original, "start TLS");
  assert(error instanceof Error);
  assertEquals(
    `${error}`,
    "InvalidData: Cannot start TLS: 0A0000C1:no shared cipher",
  );
});

Deno.test("tlsError() returns an error of the transport unchanged", () => {
  const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" });
  assertEquals(tlsError(reset, "start TLS"), reset);
});
