import { median } from "./stats.ts";

/** One plot: a line through the medians, a dot for each round. x is drawn on a logarithmic scale, y from 0. */
export interface Panel {
  readonly title: string;
  readonly points: readonly { x: number; ys: readonly number[] }[];
}

const WIDTH = 380;
const HEIGHT = 260;
const LEFT = 64;
const RIGHT = 24;
const TOP = 28;
const BOTTOM = 44;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .title { font-weight: 600; fill: #1f2328; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .line { fill: none; stroke: #0969da; stroke-width: 2; }
  .dot { fill: #0969da; opacity: 0.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .title { fill: #f0f6fc; }
    .grid { stroke: #3d444d; }
    .line { stroke: #4493f8; }
    .dot { fill: #4493f8; }
  }`;

/** Events per second as an SVG of panels side by side, without a background, for light and for dark pages. */
export function plot(panels: readonly Panel[]): string {
  const most = niceMaximum(Math.max(...panels.flatMap(({ points }) => points.flatMap(({ ys }) => [...ys]))));
  const width = WIDTH * panels.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" role="img" aria-label="events per second, ${panels.map(({ title }) => `by ${title}`).join(" and ")}">
<style>${STYLE}
</style>
${panels.map((panel, index) => drawPanel(panel, index * WIDTH, most)).join("\n")}
</svg>
`;
}

function drawPanel({ title, points }: Panel, left: number, most: number): string {
  const logs = points.map(({ x }) => Math.log(x));
  const [least, greatest] = [Math.min(...logs), Math.max(...logs)];
  const atX = (x: number): string => {
    const share = greatest === least ? 0.5 : (Math.log(x) - least) / (greatest - least);
    return (left + LEFT + share * (WIDTH - LEFT - RIGHT)).toFixed(1);
  };
  const atY = (y: number): string => (TOP + (1 - y / most) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const shapes = [`<text class="title" x="${left + LEFT}" y="16">events/s by ${title}</text>`];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const y = atY(most * share);
    shapes.push(`<line class="grid" x1="${left + LEFT}" x2="${left + WIDTH - RIGHT}" y1="${y}" y2="${y}"/>`);
    shapes.push(`<text x="${left + LEFT - 8}" y="${Number(y) + 4}" text-anchor="end">${label(most * share)}</text>`);
  }
  for (const { x, ys } of points) {
    shapes.push(`<text x="${atX(x)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${label(x)}</text>`);
    for (const y of ys) shapes.push(`<circle class="dot" cx="${atX(x)}" cy="${atY(y)}" r="3"/>`);
  }
  const line = points.map(({ x, ys }) => `${atX(x)},${atY(median(ys))}`).join(" ");
  shapes.push(`<polyline class="line" points="${line}"/>`);
  return shapes.join("\n");
}

/** The next 1, 2, 4 or 8 of a power of ten, so that its quarters are round. */
function niceMaximum(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 4, 8].find((step) => step * power >= value) ?? 10);
}

function label(value: number): string {
  return value.toLocaleString("en-US");
}
