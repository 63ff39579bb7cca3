/** A curve drawn with characters (asciichart), made to fit the terminal. */
import { plot } from "asciichart";

export interface PlotOptions {
  title: string;
  /** Default: the terminal's width, or 80. */
  width?: number;
  /** Lines. Default 12. */
  height?: number;
}

/**
 * Averages of `width` equal parts of the values, so that long curves fit and noise evens out; fewer values stay as
 * they are.
 */
export function resample(values: readonly number[], width: number): number[] {
  const count = Math.min(values.length, width);
  return Array.from({ length: count }, (_, i) => {
    const part = values.slice(Math.floor((i * values.length) / count), Math.floor(((i + 1) * values.length) / count));
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

/** The plot as text; "" when there are fewer than two finite values. */
export function plotText(
  values: readonly number[],
  { title, width = process.stdout.columns || 80, height = 12 }: PlotOptions,
): string {
  const finite = values.filter((value) => Number.isFinite(value));
  if (finite.length < 2) return "";
  const label = (value: number) => value.toPrecision(4).padStart(10);
  const curve = plot(resample(finite, Math.max(2, width - 13)), { height: height - 1, format: label });
  return `${title}\n${curve}`;
}
