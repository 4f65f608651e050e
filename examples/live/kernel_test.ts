import { assertEquals, assertRejects } from "@std/assert";
import { Kernel, parseProc, parseSs, type Run } from "./kernel.ts";

const SS = `LISTEN 1      2       127.0.0.1:34409   0.0.0.0:*    
\t skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0) bbr cwnd:10
ESTAB  124928 0       127.0.0.1:34409 127.0.0.1:37708
\t skmem:(r125760,rb131072,t0,tb3939840,f1216,w0,o0,bl0,d1) ts sack bbr rcvmss:54272 bytes_received:124928 segs_out:3
ESTAB  0      3815424 127.0.0.1:37708 127.0.0.1:34409 timer:(persist,056ms,0)
\t skmem:(r0,rb131072,t0,tb4194304,f1152,w3873664,o0,bl0,d0) ts sack bytes_sent:179200 bytes_acked:124929 busy:408ms rwnd_limited:408ms(100.0%) notsent:3815424 minrtt:0.014
`;

const PROC =
  `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   1: 0100007F:8669 00000000:0000 0A 00000000:00000001 00:00000000 00000000     0        0 48121 1 00000000859ffba6 100 0 0 10 0
   4: 0100007F:8669 0100007F:934C 01 00000000:0001E7BA 00:00000000 00000000     0        0 48123 1 000000008d73cba3 20 8 0 10 -1
   8: 0100007F:934C 0100007F:8669 01 003A3800:00000000 04:00000032 00000000     0        1 48122 2 0000000099efd221 20 0 0 15 -1
   9: 0100007F:9999 0100007F:8888 06 00000000:00000000 03:00001694 00000000     0        0 0 3 0000000098a6cbac
`;

Deno.test("parseSs() reads states, queues, timers and details", () => {
  const [listener, far, near] = parseSs(SS);
  assertEquals(
    [listener?.state, listener?.receiveQueue, listener?.sendQueue],
    ["LISTEN", 1, 2],
  );
  assertEquals([far?.localPort, far?.remotePort], [34409, 37708]);
  assertEquals(far?.details?.bytesReceived, 124_928);
  assertEquals(near?.timer, "persist");
  assertEquals(near?.details, {
    receiveMemory: 0,
    receiveLimit: 131_072,
    sendMemory: 3_873_664,
    sendLimit: 4_194_304,
    bytesAcked: 124_929,
    bytesReceived: 0,
    notSent: 3_815_424,
    windowLimitedTime: 408,
  });
});

Deno.test("parseProc() reads states, queues and timers", () => {
  const [listener, far, near, old] = parseProc(PROC);
  assertEquals([listener?.state, listener?.receiveQueue], ["LISTEN", 1]);
  assertEquals([far?.localPort, far?.receiveQueue], [0x8669, 0x1e7ba]);
  assertEquals([near?.sendQueue, near?.timer], [0x3a3800, "persist"]);
  assertEquals([old?.state, old?.timer], ["TIME-WAIT", "timewait"]);
});

/** A machine on which these programs exist and print these texts. */
function machine(outputs: Record<string, string>): { run: Run; ran: string[] } {
  const ran: string[] = [];
  return {
    ran,
    run: (command, args) => {
      ran.push([command, ...args].join(" "));
      return Promise.resolve(outputs[`${command} ${args[0]}`]);
    },
  };
}

Deno.test("Kernel.open() uses ss, or else /proc/net/tcp, or else nothing", async () => {
  const release = { "cat /proc/sys/kernel/osrelease": "6.1.7-generic\n" };
  const proc = { "cat /proc/net/tcp": PROC };
  const withSs = await Kernel.open(
    machine({ ...release, ...proc, "ss -tnH": "", "ss -tinmaoH": SS }).run,
  );
  const withProc = await Kernel.open(machine({ ...release, ...proc }).run);
  const without = await Kernel.open(machine({}).run);

  assertEquals([withSs.source, withSs.system], ["ss", "Linux 6.1"]);
  assertEquals((await withSs.sockets(34409)).length, 3);
  assertEquals(withProc.source, "proc");
  assertEquals((await withProc.sockets(0x8669)).length, 3);
  assertEquals([without.source, without.system], ["none", Deno.build.os]);
  assertEquals(await without.sockets(1), []);
  assertEquals(await without.buffers(), undefined);
});

Deno.test("Kernel limits buffers and restores them", async () => {
  const { run, ran } = machine({
    "cat /proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304\n",
    "cat /proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t33554432\n",
    "sysctl -qw": "",
  });
  const kernel = await Kernel.open(run);
  assertEquals(kernel.canLimitBuffers, true);
  ran.length = 0;
  {
    await using _limits = await kernel.limitBuffers({ send: 65_536 });
    assertEquals(
      ran.pop(),
      "sysctl -qw net.ipv4.tcp_wmem=4096 16384 65536 net.ipv4.tcp_rmem=4096 131072 33554432",
    );
  }
  assertEquals(
    ran.pop(),
    "sysctl -qw net.ipv4.tcp_wmem=4096 16384 4194304 net.ipv4.tcp_rmem=4096 131072 33554432",
  );
});

Deno.test("Kernel reports that it cannot limit buffers", async () => {
  const { run } = machine({
    "cat /proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304\n",
    "cat /proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t33554432\n",
  });
  const kernel = await Kernel.open(run);
  assertEquals(kernel.canLimitBuffers, false);
  await assertRejects(
    () => kernel.limitBuffers({ send: 65_536 }),
    Error,
    "only root may",
  );
});
