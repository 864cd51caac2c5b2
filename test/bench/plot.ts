/**
 * Figures of one part as a picture: a bar for each value, above it one for what stands beside it.
 * Each pair has a scale of its own, since units differ. Readable on light and dark ground.
 */
import { type Figure, round } from "../report/report.ts";

const WIDTH = 760;
const BAR_LEFT = 250;
const BAR_MOST = 300;
const BAR_HEIGHT = 9;
const ROW_HEIGHT = 38;
const TOP = 44;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .ground { fill: #ffffff; } .quiet { fill: #59636e; } .beside { fill: #b6bfc9; }
  .value { fill: #2f6fba; } .missed { fill: #c4501b; } .goal { stroke: #1f2328; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .ground { fill: #0d1117; } .quiet { fill: #9198a1; }
    .beside { fill: #59636e; } .value { fill: #539bf5; } .missed { fill: #f0883e; } .goal { stroke: #f0f6fc; }
  }`;

export function plot(title: string, figures: readonly Figure[]): string {
  const height = TOP + figures.length * ROW_HEIGHT + 8;
  const rows = figures.map((figure, at) => row(figure, TOP + at * ROW_HEIGHT));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${escaped(title)}</title>
<style>${STYLE}
</style>
<rect class="ground" width="100%" height="100%"/>
<text class="title" x="12" y="24">${escaped(title)}</text>
${rows.join("\n")}
</svg>
`;
}

function row({ name, value, unit, baseline, ratio, goal, ok }: Figure, y: number): string {
  // Where the goal judges the value itself, its mark has a place on the scale; a ratio's is a share of what stands beside.
  let mark = goal?.value;
  if (goal && ratio !== null) mark = baseline === null ? undefined : goal.value * baseline;
  const most = Math.max(value, baseline ?? 0, mark ?? 0);
  const long = (n: number) => (most > 0 ? (Math.max(0, n) / most) * BAR_MOST : 0).toFixed(1);
  const bar = (kind: string, n: number, top: number) =>
    `<rect class="${kind}" x="${BAR_LEFT}" y="${top}" width="${long(n)}" height="${BAR_HEIGHT}"/>`;
  const text = (x: number, top: number, words: string, more = "") =>
    `<text x="${x}" y="${top}"${more}>${escaped(words)}</text>`;
  const right = BAR_LEFT + BAR_MOST + 12;
  const quiet = ' class="quiet"';
  const parts = [text(12, y + 16, name), bar(ok === false ? "missed" : "value", value, y + 8)];
  parts.push(text(right, y + 16, `${round(value)} ${unit}`));
  if (baseline !== null) parts.push(bar("beside", baseline, y - 2));
  if (mark !== undefined) {
    const x = BAR_LEFT + Number(long(mark));
    parts.push(`<line class="goal" x1="${x}" x2="${x}" y1="${y - 4}" y2="${y + 19}"/>`);
  }
  const beside = baseline === null ? [] : [`beside ${round(baseline)}`];
  if (ratio !== null) beside.push(`${round(ratio)} x`);
  if (goal) beside.push(`goal ${goal.op} ${goal.value}`);
  if (beside.length > 0) parts.push(text(right, y + 2, beside.join(", "), quiet));
  return parts.join("\n");
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
