import { z } from 'zod';
import type { Pattern } from './text.ts';

/** The captures that make up a value, and the text between them. */
export type CaptureParts = readonly (string | number | { readonly text: string })[];

const one = z.union([z.string().min(1), z.int().min(1)]);
export const captureSchema = z.union([one, z.array(one).min(2)]);
export type CaptureKey = z.output<typeof captureSchema>;

const PLACE = /\{([^{}]*)\}/;

/**
 * The parts of a value, from the key `capture`: a capture by name or number, several that are joined, or text with places for them:
 * `"{digits}e-{decimals}"`. Without the key: the capture named `value`, or the only one. The problem is for people.
 */
export function capturePartsOf(
  key: CaptureKey | undefined,
  pattern: Pattern,
): CaptureParts | { readonly problem: string } {
  if (key === undefined) return impliedPart(pattern);
  const parts = Array.isArray(key) ? key : typeof key === 'string' && PLACE.test(key) ? placesIn(key) : [key];
  for (const part of parts) {
    const problem = typeof part === 'object' ? undefined : captureProblem(part, pattern);
    if (problem !== undefined) return { problem };
  }
  return parts;
}

function impliedPart({ names, captures }: Pattern): CaptureParts | { readonly problem: string } {
  if (names.includes('value')) return ['value'];
  if (captures === 1) return [1];
  return {
    problem: `match has ${captures} captures; exactly one (…) must mark the value, or be named (?<value>…), or capture must name it; others are written (?:…)`,
  };
}

/** Text with places: every second piece is the name or number of a capture. */
function placesIn(text: string): CaptureParts {
  return text
    .split(PLACE)
    .map((piece, at) => (at % 2 === 0 ? { text: piece } : /^\d+$/.test(piece) ? Number(piece) : piece));
}

function captureProblem(part: string | number, { names, captures }: Pattern): string | undefined {
  if (typeof part === 'string' ? names.includes(part) : part >= 1 && part <= captures) return undefined;
  if (typeof part === 'number') return `match has no capture ${part}; it has ${captures}`;
  return `match has no capture named ${part}; it has ${names.length > 0 ? names.join(', ') : 'none'}`;
}

/** The text that the parts make; `undefined` when none of their captures has matched. A capture that has not matched is empty. */
export function joinedCaptures(found: RegExpExecArray, parts: CaptureParts): string | undefined {
  const texts = parts.map((part) => (typeof part === 'object' ? part.text : captureOf(found, part)));
  const matched = parts.some((part, at) => typeof part !== 'object' && texts[at] !== undefined);
  return matched ? texts.join('') : undefined;
}

function captureOf(found: RegExpExecArray, part: string | number): string | undefined {
  return typeof part === 'number' ? found[part] : found.groups?.[part];
}
