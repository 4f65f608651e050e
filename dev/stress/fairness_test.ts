import { assertEquals } from "@std/assert";
import {
  busyWhileConnecting,
  busyWhileOthersBeat,
  busyWhileReceiving,
  busyWhileSending,
  busyWhileShakingHands,
  busyWithLinesThere,
  overloaded,
} from "./fairness.ts";
import type { Setup } from "./fairness_server.ts";

const isWindows = Deno.build.os === "windows";
const LONG_MESSAGE_BYTES = 50_000_000;

for (
  const [peers, door] of [[1, "tcp"], [500, "tcp"], [200, "unix"], [
    30,
    "tls",
  ]] as const
) {
  Deno.test({
    name:
      `idleTimeout ends no connection whose line is in its socket when the thread was busy (${door}, ${peers})`,
    ignore: isWindows,
    async fn() {
      const folder = await Deno.makeTempDir();
      try {
        const path = `${folder}/fair.sock`;
        const { open, ended } = await busyWithLinesThere(peers, {
          door: door === "unix" ? { path } : door,
          timeouts: { idleTimeout: 200 },
        }, 300);
        assertEquals({ open, ended }, { open: peers, ended: {} });
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

for (const isStopped of [false, true]) {
  Deno.test({
    name: `timeouts end only the silent one of 300 peers when the ${
      isStopped ? "process was stopped" : "thread was busy"
    } for longer`,
    ignore: isWindows,
    async fn() {
      const { open, ended } = await busyWhileOthersBeat(300, {
        door: "tcp",
        timeouts: { idleTimeout: 300, messageTimeout: 300 },
      }, { interval: 60, milliseconds: 400, isStopped, silent: 1 });
      assertEquals({ open, ended }, { open: 300, ended: { idleTimeout: 1 } });
    },
  });
}

Deno.test({
  name:
    "timeouts end only silent peers beside 200 that always send, when the thread is overloaded",
  ignore: isWindows,
  async fn() {
    const { open, ended } = await overloaded(200, {
      door: "tcp",
      timeouts: {
        idleTimeout: 100,
        messageTimeout: 100,
        readBufferSize: 512,
      },
      work: 0.02,
    }, { milliseconds: 1000, silent: 2 });
    assertEquals({ open, ended }, { open: 200, ended: { idleTimeout: 2 } });
  },
});

Deno.test({
  name:
    "sendTimeout ends no peer that reads a long message while the thread is busy",
  ignore: isWindows,
  async fn() {
    const setup: Setup = {
      door: "tcp",
      timeouts: { sendTimeout: 300 },
      sends: LONG_MESSAGE_BYTES,
    };
    const { ended } = await busyWhileSending(setup, 500);
    assertEquals(ended, {});
  },
});

Deno.test({
  name:
    "messageTimeout ends no peer that sends a long message while the thread is busy",
  ignore: isWindows,
  async fn() {
    const { ended } = await busyWhileReceiving({
      door: "tcp",
      timeouts: { messageTimeout: 300 },
    }, { bytes: LONG_MESSAGE_BYTES, milliseconds: 500 });
    assertEquals(ended, {});
  },
});

Deno.test({
  name: "connectTimeout ends none of 300 attempts while the thread is busy",
  ignore: isWindows,
  async fn() {
    const failures = await busyWhileConnecting({
      count: 300,
      milliseconds: 400,
      connectTimeout: 200,
    });
    assertEquals(failures, 0);
  },
});

for (const isTls of [false, true]) {
  Deno.test({
    name:
      `connectTimeout ends none of 20 attempts while the thread is busy in every turn (${
        isTls ? "TLS" : "TCP"
      })`,
    ignore: isWindows,
    async fn() {
      // An answer of the server is read after up to 61 turns.
      const failures = await busyWhileConnecting({
        count: 20,
        milliseconds: 5,
        inTurns: true,
        connectTimeout: 50,
        isTls,
      });
      assertEquals(failures, 0);
    },
  });
}

Deno.test({
  name:
    "handshakeTimeout ends only peers that start no handshake while the thread is busy in every turn",
  ignore: isWindows,
  async fn() {
    const { open, ended } = await busyWhileShakingHands(20, {
      handshakeTimeout: 50,
      milliseconds: 3,
      silent: 1,
    });
    assertEquals({ open, ended }, { open: 20, ended: { handshakeTimeout: 1 } });
  },
});
