import { assertEquals } from "@std/assert";
import { hostAndPort } from "./host_and_port.ts";

Deno.test("hostAndPort() puts an IPv6 address between brackets", () => {
  assertEquals(hostAndPort("127.0.0.1", 80), "127.0.0.1:80");
  assertEquals(hostAndPort("::1", 80), "[::1]:80");
});
