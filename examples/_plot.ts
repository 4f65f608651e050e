/** What was seen of a sender and its receiver at one moment, in bytes. */
export interface Sample {
  /** Since the sender began, in milliseconds. */
  time: number;
  /** What the sender has made. */
  made: number;
  /** What the kernel has taken of it. */
  sent: number;
  /** What the receiver has read. */
  received: number;
  /** What waits in the sender's kernel, where that is known. */
  sendBuffer: number | undefined;
  /** What waits in the receiver's kernel, where that is known. */
  farBuffer: number | undefined;
}

/** Values over time, with a name and a colour. */
interface Line {
  name: string;
  color: string;
  valueOf: (sample: Sample) => number;
}

/** A piece of the drawing with an axis of its own. */
interface Panel {
  title: string;
  height: number;
  lines: Line[];
  isFilled: boolean;
}

interface Stop {
  from: Sample;
  to: Sample;
}

const WIDTH = 720;
const LEFT = 56;
const RIGHT = 700;
const TOP = 80;
const PANEL_GAP = 40;

const TOTALS: Panel = {
  title: "So far",
  height: 190,
  isFilled: false,
  lines: [
    {
      name: "sent: taken by the sender's kernel",
      color: "#1f5fa8",
      valueOf: ({ sent }) => sent,
    },
    {
      name: "received: read by the receiver",
      color: "#b3552d",
      valueOf: ({ received }) => received,
    },
  ],
};

const QUEUED = waiting("in the sender's process", (sample) => {
  return sample.made - sample.sent;
});
const SEND_BUFFER = waiting("in the sender's send buffer", (sample) => {
  return sample.sendBuffer ?? 0;
});
const FAR_BUFFER = waiting("in the receiver's receive buffer", (sample) => {
  return sample.farBuffer ?? 0;
});
const KERNEL = waiting("in the kernel, on both sides", (sample) => {
  return sample.sent - sample.received;
});

function waiting(where: string, valueOf: Line["valueOf"]): Panel {
  return {
    title: `Waiting ${where}`,
    height: 64,
    isFilled: true,
    lines: [{ name: "", color: "#2a7d4f", valueOf }],
  };
}

/**
 * Draws a run as SVG: how much was sent and received, and where the rest waited.
 * A pointer over the drawing shows the figures of that moment.
 */
export function drawRun(samples: Sample[]): string {
  const isKernelKnown = samples.every(({ sendBuffer, farBuffer }) =>
    sendBuffer !== undefined && farBuffer !== undefined
  );
  const panels = isKernelKnown
    ? [TOTALS, QUEUED, SEND_BUFFER, FAR_BUFFER]
    : [TOTALS, QUEUED, KERNEL];
  const end = Math.max(...samples.map(({ time }) => time));
  const xOf = (time: number) => LEFT + time / end * (RIGHT - LEFT);

  const drawn: string[] = [];
  let top = TOP;
  for (const panel of panels) {
    drawn.push(...drawPanel(panel, samples, top, xOf));
    top += panel.height + PANEL_GAP;
  }
  const bottom = top - PANEL_GAP;
  const height = bottom + 44;
  const stop = longestStop(samples);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="12" fill="#222">`,
    '<title id="title">A slow receiver stops a fast sender</title>',
    `<desc id="desc">${escapeXml(describe(samples, stop))}</desc>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(
      LEFT,
      22,
      "A slow receiver stops a fast sender",
      'font-size="15" font-weight="bold"',
    ),
    ...stop === undefined ? [] : drawStop(stop, bottom, xOf),
    ...drawn,
    ...drawTimes(end, bottom, xOf),
    ...drawFigures(samples, bottom, xOf),
    "</svg>",
  ].join("\n");
}

function drawPanel(
  { title, height, lines, isFilled }: Panel,
  samples: Sample[],
  top: number,
  xOf: (time: number) => number,
): string[] {
  const most = Math.max(
    1,
    ...lines.flatMap(({ valueOf }) => samples.map(valueOf)),
  );
  const [unit, unitBytes] = most >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  const bottom = top + height;
  const yOf = (bytes: number) => bottom - bytes / most * height;
  const drawn = [text(LEFT, top - 8, `${title} (${unit})`)];
  for (const tick of ticks(most / unitBytes, height / 30)) {
    const y = yOf(tick * unitBytes);
    drawn.push(
      `<path d="M${LEFT} ${y.toFixed(1)}H${RIGHT}" stroke="#ddd"/>`,
      text(LEFT - 6, y + 4, String(tick), 'text-anchor="end"'),
    );
  }
  lines.forEach(({ name, color, valueOf }, index) => {
    const points = samples.map((sample) =>
      `${xOf(sample.time).toFixed(1)},${yOf(valueOf(sample)).toFixed(1)}`
    );
    const stroke = `stroke="${color}" stroke-width="2"`;
    // Not by colour alone.
    const dash = index === 0 ? "" : ' stroke-dasharray="6 3"';
    const fill = isFilled ? color : "none";
    drawn.push(
      `<polyline points="${
        points.join(" ")
      }" fill="${fill}" fill-opacity="0.25" ${stroke}${dash}/>`,
    );
    if (name === "") return;
    const y = top + 14 + 18 * index;
    drawn.push(
      `<path d="M${LEFT + 12} ${y - 4}h28" ${stroke}${dash}/>`,
      text(LEFT + 48, y, name),
    );
  });
  return drawn;
}

/** Shades the time in which the kernel took nothing. */
function drawStop(
  { from, to }: Stop,
  bottom: number,
  xOf: (time: number) => number,
): string[] {
  const [left, right] = [xOf(from.time), xOf(to.time)];
  const width = (right - left).toFixed(1);
  const label = `the sender stands still: ${seconds(to.time - from.time)}`;
  return [
    `<rect x="${left.toFixed(1)}" y="${TOP}" width="${width}" height="${
      bottom - TOP
    }" fill="#eee"/>`,
    text((left + right) / 2, 46, label, 'text-anchor="middle"'),
    `<path d="M${left.toFixed(1)} 52h${width}" stroke="#222"/>`,
  ];
}

function drawTimes(
  end: number,
  bottom: number,
  xOf: (time: number) => number,
): string[] {
  const labels = ticks(end / 1000, 8).map((tick) =>
    text(xOf(tick * 1000), bottom + 18, String(tick), 'text-anchor="middle"')
  );
  return [
    ...labels,
    text((LEFT + RIGHT) / 2, bottom + 36, "time (s)", 'text-anchor="middle"'),
  ];
}

/** The figures of each moment, for a pointer over it. */
function drawFigures(
  samples: Sample[],
  bottom: number,
  xOf: (time: number) => number,
): string[] {
  let left = LEFT;
  const strips = samples.map((sample, index) => {
    const next = samples[index + 1]?.time ?? sample.time;
    const right = xOf((sample.time + next) / 2);
    const strip = `<rect x="${left.toFixed(1)}" y="${TOP}" width="${
      (right - left).toFixed(1)
    }" height="${bottom - TOP}"><title>${figures(sample)}</title></rect>`;
    left = right;
    return strip;
  });
  return ['<g fill="transparent">', ...strips, "</g>"];
}

function figures(sample: Sample): string {
  const { time, made, sent, received, sendBuffer, farBuffer } = sample;
  const kernel = sendBuffer === undefined || farBuffer === undefined
    ? `${count(sent - received)} in the kernel`
    : `${count(sendBuffer)} in the send buffer, ${
      count(farBuffer)
    } in the far buffer`;
  return `${seconds(time)}: made ${count(made)}, sent ${
    count(sent)
  }, received ${count(received)}; waiting: ${
    count(made - sent)
  } in the process, ${kernel}`;
}

function describe(samples: Sample[], stop: Stop | undefined): string {
  const parts = ["Bytes sent and received over time, and the bytes that wait."];
  if (stop === undefined) {
    parts.push("The sender never stood still.");
  } else {
    const { from, to } = stop;
    const middle = samples.findLast(({ time }) =>
      time <= (from.time + to.time) / 2
    );
    parts.push(
      `The sender stood still from ${seconds(from.time)} to ${
        seconds(to.time)
      }.`,
      `In the middle of that, at ${figures(middle ?? from)}.`,
    );
  }
  const last = samples.at(-1);
  if (last !== undefined) parts.push(`At the end, at ${figures(last)}.`);
  return parts.join(" ");
}

/** The longest time in which the kernel took no byte, though some waited. */
function longestStop(samples: Sample[]): Stop | undefined {
  let longest: Stop | undefined;
  let from: Sample | undefined;
  for (const sample of samples) {
    if (from?.sent !== sample.sent) from = sample;
    if (sample.made === sample.sent) continue;
    const duration = sample.time - from.time;
    const { from: begin, to: finish } = longest ?? { from, to: from };
    if (duration > finish.time - begin.time) longest = { from, to: sample };
  }
  return longest;
}

/** Round numbers from 0 to `most`, about as many as wanted. */
function ticks(most: number, wanted: number): number[] {
  const power = 10 ** Math.floor(Math.log10(most / wanted));
  const step = [1, 2, 5, 10].map((factor) => factor * power)
    .find((step) => most / step <= wanted) ?? power;
  const count = Math.floor(most / step + 1e-9) + 1;
  // A sum of steps would not be round.
  return Array.from({ length: count }, (_, i) => Number((i * step).toFixed(6)));
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${
    escapeXml(content)
  }</text>`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function count(bytes: number): string {
  return bytes.toLocaleString("en");
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
