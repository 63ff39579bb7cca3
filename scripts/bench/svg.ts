/** What the charts have in common. They follow the reader's light or dark colours. */
export const STYLE = `<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .note, .tick { font-size: 12px; fill: #59636e; }
  .tick { text-anchor: middle; }
  .axis { font-size: 12px; fill: #59636e; text-anchor: end; }
  .label { text-anchor: end; }
  .heading { font-weight: 600; }
  .value { font-weight: 600; }
  .value .note { font-weight: 400; }
  .grid { stroke: #d1d9e0; }
  .one { stroke: #59636e; stroke-width: 1.5; }
  .faster { fill: #2da44e; fill-opacity: 0.75; }
  .slower { fill: #cf5f3c; fill-opacity: 0.8; }
  .dot { fill: #0b3d91; fill-opacity: 0.55; }
  .curve { fill: none; stroke-width: 2; }
  .curve0 { stroke: #cf5f3c; }
  .curve1 { stroke: #2da44e; }
  .point0 { fill: #cf5f3c; }
  .point1 { fill: #2da44e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note, .tick, .axis { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .one { stroke: #9198a1; }
    .dot { fill: #79b8ff; fill-opacity: 0.7; }
  }
</style>`;

export const escape = (value: string) =>
  value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
export const text = (x: number, y: number, value: string, kind: string) =>
  `<text class="${kind}" x="${x}" y="${y}">${escape(value)}</text>`;
export const round = (value: number) => Math.round(value * 10) / 10;
