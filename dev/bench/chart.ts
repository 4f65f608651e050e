/** Draws the ratios as bars on a logarithmic axis around 1. */

import type { CaseResult } from "./measure.ts";
import { comparisonTitle, formatRatio, isReached } from "./report.ts";

const WIDTH = 1100;
const PLOT_LEFT = 600;
const PLOT_RIGHT = 1030;
const ROW_HEIGHT = 20;
const HEADING_HEIGHT = 30;
const TOP = 50;
const TICKS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(
    '"',
    "&quot;",
  );
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${
    escapeXml(content)
  }</text>`;
}

function line(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  attributes: string,
): string {
  const [from, to] = [x1.toFixed(1), x2.toFixed(1)];
  return `<line x1="${from}" y1="${y1}" x2="${to}" y2="${y2}" ${attributes}/>`;
}

/** Returns a chart of all ratios, as SVG. */
export function drawChart(cases: CaseResult[]): string {
  const compared = cases.filter(({ comparisons }) => comparisons.length > 0);
  const shown = compared.flatMap(({ comparisons }) =>
    comparisons.flatMap((
      { ratio, reach = 1 },
    ) => [ratio.least, ratio.most, reach])
  );
  const least = TICKS.findLast((tick) => tick <= Math.min(0.5, ...shown)) ??
    0.1;
  const most = TICKS.find((tick) => tick >= Math.max(2, ...shown)) ?? 100;
  const xOf = (ratio: number) => {
    const share = Math.log(ratio / least) / Math.log(most / least);
    return PLOT_LEFT +
      Math.min(1, Math.max(0, share)) * (PLOT_RIGHT - PLOT_LEFT);
  };

  const rows: string[] = [];
  let y = TOP;
  for (const { title, comparisons } of compared) {
    y += HEADING_HEIGHT;
    rows.push(text(20, y - 6, title, 'font-weight="bold"'));
    for (const comparison of comparisons) {
      const { ratio, reach } = comparison;
      const [one, end] = [xOf(1), xOf(ratio.median)];
      const color = reach === undefined
        ? "#8795a8"
        : isReached(ratio.median, reach)
        ? "#2a7d4f"
        : "#b3552d";
      const x = Math.min(one, end).toFixed(1);
      const width = Math.abs(end - one).toFixed(1);
      rows.push(
        text(36, y + 14, comparisonTitle(comparison)),
        `<rect x="${x}" y="${
          y + 4
        }" width="${width}" height="12" fill="${color}"/>`,
        line(
          xOf(ratio.least),
          y + 10,
          xOf(ratio.most),
          y + 10,
          'stroke="#222"',
        ),
        text(PLOT_RIGHT + 8, y + 14, formatRatio(ratio.median)),
      );
      if (reach !== undefined) {
        const mark = 'stroke="#222" stroke-width="2" stroke-dasharray="3 2"';
        rows.push(line(xOf(reach), y + 2, xOf(reach), y + 18, mark));
      }
      y += ROW_HEIGHT;
    }
  }

  const axis = TICKS.filter((tick) => tick >= least && tick <= most).flatMap((
    tick,
  ) => [
    line(
      xOf(tick),
      TOP,
      xOf(tick),
      y,
      `stroke="${tick === 1 ? "#222" : "#ddd"}"`,
    ),
    text(xOf(tick), TOP - 6, `${tick}×`, 'text-anchor="middle"'),
  ]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${
      y + 20
    }" ` +
    'font-family="sans-serif" font-size="12" fill="#222">',
    `<rect width="${WIDTH}" height="${y + 20}" fill="#fff"/>`,
    text(
      20,
      22,
      "How many times faster (or smaller); dashed: to reach, green where reached; grey: to compare",
      'font-size="14"',
    ),
    ...axis,
    ...rows,
    "</svg>\n",
  ].join("\n");
}
