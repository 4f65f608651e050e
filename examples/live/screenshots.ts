/**
 * Makes pictures of the page: each lesson at 1280 and at 390 pixels, light and dark, in
 * both languages.
 *
 * ```sh
 * deno run -A examples/live/screenshots.ts pictures
 * ```
 *
 * Without a folder, it makes those that the documentation shows.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { Browser, type Page, type View } from "./browser.ts";
import { Kernel } from "./kernel.ts";
import { serveLesson } from "./server.ts";

/** A picture of a lesson. */
interface Picture extends View {
  file: string;
  lesson: 1 | 2 | 3;
  language: "en" | "ko";
  /** The part of the page that it shows; by default the whole view. */
  part?: string;
}

const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

/** The pictures of the documentation. */
const SHOWN: Picture[] = [
  {
    file: "live.png",
    part: "#instruments",
    lesson: 2,
    language: "en",
    ...DESK,
  },
  {
    file: "live.ko.png",
    part: "#instruments",
    lesson: 2,
    language: "ko",
    ...DESK,
  },
  {
    file: "live_framing.png",
    part: "#labs",
    lesson: 3,
    language: "en",
    ...DESK,
  },
];

/** Every lesson in every form. */
function everyPicture(): Picture[] {
  const pictures: Picture[] = [];
  for (const lesson of [1, 2, 3] as const) {
    for (const language of ["en", "ko"] as const) {
      for (const view of [DESK, PHONE]) {
        for (const isDark of [false, true]) {
          const form = `${view.width}_${isDark ? "dark" : "light"}`;
          const file = `lesson_${lesson}_${language}_${form}.png`;
          pictures.push({ file, lesson, language, ...view, isDark });
        }
      }
    }
  }
  return pictures;
}

/** Runs a lesson up to the moment that its picture shows. */
const SCENES = {
  async 1(page: Page) {
    await page.click("[data-call=connect]");
    await page.waitFor(`document.querySelector("#calls .error")`);
    await page.click("[data-call=listen]");
    await page.waitFor(
      `document.querySelector('[data-key="listener accept"]')`,
    );
    await page.click("[data-call=connect]");
    await page.waitFor(`document.querySelector('[data-key="client 1 write"]')`);
    await page.click('[data-key="client 1 write"]');
    await page.waitFor(
      `document.querySelector("#verdict-1").textContent !== ""`,
    );
  },
  async 2(page: Page) {
    await page.click("#tab-2");
    await page.click("input[value=both]");
    await page.click("#start");
    await page.waitFor(
      `document.querySelector("#verdict-2").textContent !== ""`,
    );
    await page.click("#fast");
    // Long enough for three leaps.
    await page.waitFor(`document.getElementById("scrub").max > 42`);
    await page.click("#slow");
  },
  async 3(page: Page) {
    await page.click("#tab-3");
    await page.waitFor(`document.querySelector(".cut")`);
    await page.click("#lose");
    await page.waitFor(
      `document.querySelector("#verdict-3").textContent !== ""`,
    );
  },
};

/** The scroll position for a picture. */
const SCROLLED_TO = { 1: "#predict-1", 2: "body", 3: "#presets" };

async function take(
  picture: Picture,
  browser: Browser,
  url: string,
): Promise<Uint8Array> {
  const page = await browser.open(url, picture);
  await page.waitFor("document.documentElement.dataset.ready");
  await page.click(`[data-language=${picture.language}]`);
  await SCENES[picture.lesson](page);
  await page.value(`(() => {
    document.activeElement.blur();
    document.querySelector("${SCROLLED_TO[picture.lesson]}")
      .scrollIntoView({ behavior: "instant" });
    return new Promise(requestAnimationFrame);
  })()`);
  const image = await page.screenshot(picture.part);
  await page.send("Page.close");
  return image;
}

const [folder] = Deno.args;
const [pictures, target] = folder === undefined
  ? [SHOWN, fileURLToPath(new URL("../../docs", import.meta.url))]
  : [everyPicture(), folder];
await using server = serveLesson(0, await Kernel.open());
await using browser = await Browser.launch();
for (const picture of pictures) {
  const image = await take(picture, browser, server.url);
  await Deno.writeFile(`${target}/${picture.file}`, image);
}
