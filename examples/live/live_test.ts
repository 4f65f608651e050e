/**
 * Tests the page in a browser: its controls, its sums and its three lessons.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
} from "@std/assert";
import {
  isInstalled,
  peerTest,
  temporaryFolder,
} from "../../dev/interop/_peers.ts";
import { pathToFileURL } from "node:url";
import { Browser, CHROMIUM, type Page } from "./browser.ts";
import { Kernel } from "./kernel.ts";
import type { Sample } from "./sample.ts";
import { serveLesson } from "./server.ts";
import type { Message } from "./session.ts";
import { staticPage } from "./static.ts";

const hasBrowser = await isInstalled(CHROMIUM);
const kernel = await Kernel.open();
const { source } = kernel;
/** A kernel without figures, as on other systems. */
const silent = await Kernel.open(() => Promise.resolve(undefined));
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

/** Opens the page, calls `use` with it, and asserts that no script has failed. */
async function withPage(
  { kernel: asked = kernel, ...view }: typeof DESK & { kernel?: Kernel },
  use: (page: Page, browser: Browser) => Promise<void>,
): Promise<void> {
  await using server = serveLesson(0, asked);
  await using browser = await Browser.launch();
  const page = await browser.open(server.url, view);
  await page.waitFor("document.documentElement.dataset.ready");
  await use(page, browser);
  assertEquals(browser.problems, []);
}

const textOf = (page: Page, selector: string) =>
  page.value(`document.querySelector(${JSON.stringify(selector)}).textContent`);

const untilText = (page: Page, selector: string) =>
  page.waitFor(
    `document.querySelector(${JSON.stringify(selector)}).textContent !== ""`,
  );

const untilIsThere = (page: Page, selector: string) =>
  page.waitFor(`document.querySelector(${JSON.stringify(selector)})`);

/** The values in the line of sums, by name. */
async function sumsOf(page: Page): Promise<Record<string, number>[]> {
  const sums = await page.value(`
    [...document.querySelectorAll(".sum")].map((sum) =>
      Object.fromEntries([...sum.querySelectorAll("[data-term]")].map(({ dataset }) =>
        [dataset.term, Number(dataset.bytes)])))
  `);
  return sums as Record<string, number>[];
}

/** The samples that the server has sent. */
function samplesOf({ received }: Browser): Sample[] {
  return received.flatMap((json) => {
    const message: Message = JSON.parse(json);
    return message.event === "sample" ? [message.sample] : [];
  });
}

/**
 * Moves the timeline to a sample, with the keyboard: from the first one, or to the
 * last.
 */
async function lookBack(page: Page, index: number): Promise<void> {
  await page.value(`document.getElementById("scrub").focus()`);
  const isLast = await page.value(
    `document.getElementById("scrub").max === "${index}"`,
  );
  await page.press(isLast ? "End" : "Home");
  for (let step = 0; step < index && !isLast; step++) {
    await page.press("ArrowRight");
  }
  await page.waitFor(`document.getElementById("scrub").value === "${index}"`);
  await page.value("new Promise(requestAnimationFrame)");
}

/** Asserts that no element is wider than the page. */
async function assertFits(page: Page): Promise<void> {
  assertEquals(
    await page.value(`document.documentElement.scrollWidth <= innerWidth`),
    true,
  );
}

peerTest(
  hasBrowser,
  "Lesson 1: the page makes every call and shows its results",
  async () => {
    await withPage(DESK, async (page) => {
      const press = async (key: string) => {
        const selector = `[data-key="${key}"]:not(:disabled)`;
        await untilIsThere(page, selector);
        await page.click(selector);
      };
      await page.click("input[value=returns]");
      await page.click("[data-call=connect]");
      await untilIsThere(page, "#calls .error"); // refused
      await page.click("[data-call=listen]");
      await untilIsThere(page, `[data-key="listener accept"]`);
      for (let number = 1; number <= 3; number++) {
        await page.click("[data-call=connect]");
        await untilIsThere(page, `[data-key="client ${number} write"]`);
      }
      await press("client 1 write");
      if (source === "none") return;

      await untilText(page, "#verdict-1");
      assertMatch(
        String(await textOf(page, "#verdict-1")),
        /^Right\. write returned 5/,
      );
      await page.click("[data-call=connect]");
      await untilIsThere(page, "[data-seen=syn].is-seen");
      for (let number = 1; number <= 3; number++) {
        await press("listener accept");
        await untilIsThere(page, `[data-key="server ${number} read"]`);
      }
      await press("client 1 write");
      await page.waitFor(
        `document.querySelectorAll("#calls .waits").length <= 1`,
      );
      await press("server 1 read");
      await untilIsThere(page, "[data-seen=glued].is-seen");
      await untilIsThere(page, "[data-term=received][data-bytes='10']");
      assertEquals((await sumsOf(page))[0], {
        made: 10,
        received: 10,
        read: 0,
        receiveBuffer: 0,
        sendBuffer: 0,
        queued: 0,
      });

      await press("client 2 closeWrite");
      await untilIsThere(page, "[data-seen=half].is-seen");
      await press("server 2 close");
      await untilIsThere(page, "[data-seen=timewait].is-seen");
      while (
        !await page.value(
          `document.querySelector("[data-seen=blocked].is-seen")`,
        )
      ) {
        // The button is disabled while the call waits, so this does nothing.
        await page.value(
          `document.querySelector('[data-key="client 3 write 1 MiB"]').click()`,
        );
      }
      await press("server 3 close");
      await untilIsThere(page, "[data-seen=reset].is-seen");
      assertEquals(
        await page.value(
          `document.querySelectorAll("#seen li:not(.is-seen)").length`,
        ),
        0,
      );
      await page.click("#reset");
      await page.waitFor(`document.querySelectorAll(".socket").length === 0`);
    });
  },
);

peerTest(
  hasBrowser,
  "Lesson 2: the page shows the server's sums at any time",
  async () => {
    await withPage(DESK, async (page, browser) => {
      await page.click("#tab-2");
      await page.click("input[value=far]");
      await page.value(
        `document.getElementById("readBufferSize").value = "65536"`,
      );
      // The switch in the code removes `await`, so the sender never waits.
      await page.click(".codes [role=switch]");
      await untilIsThere(page, "#await:not(:checked)");
      await page.click("#start");
      await page.waitFor(`document.getElementById("scrub").max > 2`);
      assertEquals(await textOf(page, ".sender .does"), "running");
      await page.click("#stop");
      await untilIsThere(page, "#start:not(:disabled)");
      await page.click("#await");

      browser.received.length = 0;
      await page.click("#start");
      await untilText(page, "#verdict-2");
      assertMatch(String(await textOf(page, "#verdict-2")), /^Not quite\. Yes/);
      assertEquals(await textOf(page, ".sender .does"), "waits at await sent");
      assertMatch(String(await textOf(page, ".codes .lit")), /await sent/);

      await page.click("#fast");
      await page.click("#drain");
      await untilText(page, "#end-2");
      assertMatch(
        String(await textOf(page, "#end-2")),
        /^The pipe has run dry/,
      );

      const samples = samplesOf(browser);
      for (const index of [0, 4, samples.length - 1]) {
        await lookBack(page, index);
        const lane = samples[index]?.lanes[0];
        assert(lane);
        const [sum] = await sumsOf(page);
        const {
          sendBuffer,
          receiveBuffer,
          inKernel,
          made,
          taken,
          queued,
          read,
        } = lane;
        assertEquals<unknown>(sum, {
          made,
          received: taken,
          read,
          queued,
          ...(sendBuffer === undefined
            ? { inKernel }
            : { sendBuffer, receiveBuffer }),
        });
        const { made: _, ...parts } = sum ?? {};
        assertEquals(Object.values(parts).reduce((a, b) => a + b), made);
      }
      if (source === "ss") await untilIsThere(page, "#graph .band");

      await page.value(`document.getElementById("follow").focus()`);
      await page.send("Input.insertText", { text: "1" });
      await untilText(page, "#followed");
      assertEquals(await textOf(page, "#followed"), "Message 1 was received.");
    });
  },
);

peerTest(
  hasBrowser,
  "Lesson 2: a broadcast shows two lanes and sums, also without figures of the kernel",
  async () => {
    await withPage({ ...PHONE, kernel: silent }, async (page) => {
      assertMatch(
        String(await textOf(page, "#source")),
        /This system does not say how full its buffers are/,
      );
      await page.click("#tab-2");
      await page.click("#broadcast");
      await page.click("#start");
      await page.waitFor(`document.querySelectorAll(".lane").length === 2`);
      await page.waitFor(
        `document.querySelectorAll("[data-term=inKernel]").length === 2`,
      );
      await page.waitFor(
        `document.querySelectorAll(".sum .holds").length === 2`,
      );
      assertEquals(Object.keys((await sumsOf(page))[1] ?? {}), [
        "made",
        "received",
        "read",
        "inKernel",
        "queued",
      ]);
      await page.click("#slow");
      await page.click("#stop");
      await page.waitFor(`!document.getElementById("start").disabled`);
      await page.click("#nagle");
      await untilText(page, "#verdict-nagle");
      assertEquals(
        await page.value(
          `document.querySelectorAll("#nagle-bars rect").length`,
        ),
        16,
      );
      await assertFits(page);
    });
  },
);

peerTest(
  hasBrowser,
  "Lesson 3: messages stay whole in every cut until a byte is dropped",
  async () => {
    await withPage(DESK, async (page) => {
      const scores = () =>
        page.value(
          `[...document.querySelectorAll(".score")].map(({ textContent }) => parseInt(textContent))`,
        );
      const cuts = () =>
        page.value(
          `[...document.querySelectorAll("#cells-delimiter .cut")].map(({ parentElement }) => parentElement.id)`,
        );
      await page.click("#tab-3");
      await untilIsThere(page, ".cut");
      assertEquals(await scores(), [10, 10, 10]);

      // With the keyboard: make, move and remove a cut.
      await page.value(`document.getElementById("cells-delimiter").focus()`);
      const before = await cuts();
      for (let step = 0; step < 3; step++) await page.press("ArrowRight");
      await page.press("Enter");
      await untilIsThere(page, "#delimiter-3 .cut");
      await page.press("ArrowRight", { shift: true });
      await untilIsThere(page, "#delimiter-4 .cut");
      assertEquals(await scores(), [10, 10, 10]);

      // With the pointer: drag a cut.
      const from = await page.placeOf("#delimiter-4 .cut");
      const to = await page.placeOf("#delimiter-6");
      await page.pointer("mousePressed", from.x, from.y);
      await page.pointer("mouseMoved", to.x - 4, to.y);
      await page.pointer("mouseReleased", to.x - 4, to.y);
      await untilIsThere(page, "#delimiter-6 .cut");
      const there = await page.placeOf("#delimiter-6");
      await page.pointer("mousePressed", there.x, there.y);
      await page.pointer("mouseReleased", there.x, there.y);
      await page.waitFor(`!document.querySelector("#delimiter-6 .cut")`);
      assertEquals(await cuts(), before);

      await page.click("#lose");
      await untilText(page, "#verdict-3");
      assertEquals((await scores() as number[])[0], 9);
      assert((await scores() as number[])[1]! < 9); // from the server's answer
      await page.click("#lose");
      await page.waitFor(
        `document.querySelector("#verdict-3").textContent === ""`,
      );

      for (
        const preset of [
          "delimiter",
          "long",
          "huge",
          "empty",
          "letters",
          "plain",
        ]
      ) {
        await page.value(`document.getElementById("labs").replaceChildren()`);
        await page.click(`[data-preset=${preset}]`);
        await untilIsThere(page, ".cut");
      }
      assertEquals(await scores(), [10, 10, 10]);
      await page.click("#reread");
      await assertFits(page);
    });
  },
);

peerTest(
  hasBrowser,
  "The page shows everything in both languages and works by keyboard",
  async () => {
    await withPage(PHONE, async (page) => {
      await page.value(`document.getElementById("tab-1").focus()`);
      for (const lesson of [2, 3, 1]) {
        await page.press("ArrowRight");
        await page.waitFor(`document.activeElement.id === "tab-${lesson}"`);
        const english = await textOf(page, "body");
        await page.click("[data-language=ko]");
        assertEquals(await page.value("document.documentElement.lang"), "ko");
        const korean = await page.value(
          `document.querySelector("#lesson-${lesson} h2").innerText`,
        );
        assertMatch(String(korean), /[가-힣]/);
        assertNotEquals(await textOf(page, "body"), english);
        await assertFits(page);
        await page.click("[data-language=en]");
        await page.value(`document.getElementById("tab-${lesson}").focus()`);
      }
      // Each text that a script uses exists in both languages, with the same
      // placeholders.
      const script = await textOf(page, "script[type=module]");
      const words = String(script).match(/const WORDS = (\{[^]*?\n {4}\});/)
        ?.[1];
      const { en, ko } = await page.value(`(${words})`) as Record<
        string,
        Record<string, string>
      >;
      assertEquals(Object.keys(ko ?? {}).sort(), Object.keys(en ?? {}).sort());
      const places = (text = "") =>
        [...text.matchAll(/\{\w+\}/g)].map(String).sort();
      for (const key of Object.keys(en ?? {})) {
        assertEquals(places(ko?.[key]), places(en?.[key]), key);
      }
      await page.click("#expand");
      await untilIsThere(page, "#instruments.is-open");
    });
  },
);

peerTest(
  hasBrowser,
  "The recorded page runs the lessons without a server",
  async () => {
    await using folder = await temporaryFolder();
    const path = `${folder.path}/lesson.html`;
    await Deno.writeTextFile(path, await staticPage());
    await using browser = await Browser.launch();
    const page = await browser.open(pathToFileURL(path).href, DESK);
    await page.waitFor("document.documentElement.dataset.ready");
    while (
      await page.value(`!document.getElementById("replay-call").disabled`)
    ) {
      const calls = await page.value(
        `document.querySelectorAll("#calls li").length`,
      );
      await page.click("#replay-call");
      await page.waitFor(
        `document.querySelectorAll("#calls li").length > ${calls}`,
      );
    }
    await untilIsThere(page, "[data-seen=timewait].is-seen");
    await page.click("#tab-2");
    await page.click("#start");
    await page.waitFor(`document.getElementById("scrub").max > 3`);
    await page.click("#stop");
    await page.click("#tab-3");
    await untilIsThere(page, ".cut");
    await page.click("#lose");
    await untilText(page, "#verdict-3");
    assertEquals(browser.problems, []);
  },
);
