/** Draws a line of text as a picture, with the font of `glyphs.ts`. */
import { BenchError } from '../bench-error.js';
import { drawableCharacters, glyphFor, type Glyph } from './glyphs.js';

/** Eight-bit colours, row-major, three bytes (red, green, blue) a pixel. */
export interface Picture {
  width: number;
  height: number;
  rgb: Uint8Array;
}

export interface DrawOptions {
  /** Pixels; default 96. The text fills about half of it. */
  height?: number;
  /** Width of the pen as a part of the capital height; default 0.12. */
  weight?: number;
  /** Horizontal shift for each pixel upwards; 0.2 looks like italics. Default 0. */
  slant?: number;
  /** Default near black. */
  ink?: Colour;
  /** Default white. */
  paper?: Colour;
}

export type Colour = readonly [red: number, green: number, blue: number];

/** The parts of the picture's height above the capitals and below the baseline: descenders need a third of the text. */
const TOP_MARGIN = 0.2;
const BOTTOM_MARGIN = 0.28;
/** Space between letters, in the font's units (a tenth of the capital height). */
const LETTER_SPACING = 2.1;
const SIDE_MARGIN = 1.5;
/** Chords of an arc are this many degrees wide: at 96 pixels the error is a hundredth of a pixel. */
const ARC_STEP_DEGREES = 6;

/** @throws BenchError UNDRAWABLE_TEXT where the font lacks a character, or where there is none to draw */
export function drawTextLine(text: string, options: DrawOptions = {}): Picture {
  const { height = 96, weight = 0.12, slant = 0, ink = [24, 24, 28], paper = [255, 255, 255] } = options;
  const capitalHeight = height * (1 - TOP_MARGIN - BOTTOM_MARGIN);
  const unit = capitalHeight / 10;
  const baseline = height * (1 - BOTTOM_MARGIN);
  const radius = (weight * capitalHeight) / 2;

  const segments: Segment[] = [];
  // A slanted letter leans out on both sides.
  let x = SIDE_MARGIN + 3 * Math.abs(slant);
  for (const [index, glyph] of glyphsOf(text).entries()) {
    if (index > 0) x += LETTER_SPACING;
    for (const [x0, y0, x1, y1] of strokesOf(glyph)) {
      segments.push([
        (x + x0 + slant * y0) * unit,
        baseline - y0 * unit,
        (x + x1 + slant * y1) * unit,
        baseline - y1 * unit,
      ]);
    }
    x += glyph.width;
  }
  const width = Math.ceil((x + SIDE_MARGIN + 10 * Math.abs(slant)) * unit);
  return paint(width, height, coverageOf(segments, radius, width, height), ink, paper);
}

/** From and to, each x then y. */
type Segment = readonly [number, number, number, number];

function glyphsOf(text: string): Glyph[] {
  if (text.trim() === '')
    throw new BenchError('UNDRAWABLE_TEXT', 'a text is empty; give at least one letter');
  return [...text].map((character) => {
    const glyph = glyphFor(character);
    if (glyph) return glyph;
    throw new BenchError(
      'UNDRAWABLE_TEXT',
      `"${text}" cannot be drawn: the built-in font has no ${JSON.stringify(character)}, only the space and ` +
        drawableCharacters().join('').trim(),
    );
  });
}

/** The pen's way as straight pieces, in the font's units; a dot is a piece without length. */
function strokesOf({ path }: Glyph): Segment[] {
  const segments: Segment[] = [];
  let pen: [number, number] | null = null;
  const lineTo = (x: number, y: number) => {
    if (pen) segments.push([...pen, x, y]);
    pen = [x, y];
  };
  for (const [, command, written = ''] of path.matchAll(/([mlod])([^mlod]*)/g)) {
    const numbers = written
      .trim()
      .split(/[\s,]+/)
      .map(Number);
    if (command === 'o') {
      arc(numbers, lineTo);
      continue;
    }
    if (command !== 'l') pen = null;
    for (let index = 0; index + 1 < numbers.length; index += 2) {
      const [x = 0, y = 0] = numbers.slice(index, index + 2);
      lineTo(x, y);
      if (command === 'd') lineTo(x, y);
    }
    if (command === 'd') pen = null;
  }
  return segments;
}

function arc(numbers: number[], lineTo: (x: number, y: number) => void): void {
  const [cx = 0, cy = 0, rx = 0, ry = 0, from = 0, to = 0] = numbers;
  const steps = Math.ceil(Math.abs(to - from) / ARC_STEP_DEGREES);
  for (let step = 0; step <= steps; step++) {
    const angle = ((from + ((to - from) * step) / steps) * Math.PI) / 180;
    lineTo(cx + rx * Math.cos(angle), cy + ry * Math.sin(angle));
  }
}

/**
 * How much of each pixel the pen covers, 0 to 1: from the distance of the pixel's centre to the nearest piece, which
 * is exact to within a few per cent for a round pen that is wider than a pixel.
 */
function coverageOf(segments: Segment[], radius: number, width: number, height: number): Float32Array {
  const coverage = new Float32Array(width * height);
  const reach = radius + 0.5;
  for (const [x0, y0, x1, y1] of segments) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    const lengthSquared = dx * dx + dy * dy;
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - reach));
    const right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + reach));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - reach));
    const bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + reach));
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const [px, py] = [column + 0.5 - x0, row + 0.5 - y0];
        const along = lengthSquared === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / lengthSquared));
        const distance = Math.hypot(px - along * dx, py - along * dy);
        const covered = Math.min(1, reach - distance);
        const index = row * width + column;
        if (covered > (coverage[index] ?? 0)) coverage[index] = covered;
      }
    }
  }
  return coverage;
}

function paint(width: number, height: number, coverage: Float32Array, ink: Colour, paper: Colour): Picture {
  const rgb = new Uint8Array(width * height * 3);
  for (const [pixel, covered] of coverage.entries()) {
    for (let channel = 0; channel < 3; channel++) {
      const [from, to] = [paper[channel] ?? 0, ink[channel] ?? 0];
      rgb[pixel * 3 + channel] = Math.round(from + (to - from) * covered);
    }
  }
  return { width, height, rgb };
}
