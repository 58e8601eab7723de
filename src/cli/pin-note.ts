import { z } from 'zod';
import type { IoMessage } from '../message/payloads.ts';
import { colour, showTime, showValue } from './output.ts';

const value = z.union([z.boolean(), z.number(), z.string(), z.null()]);
const who = { node: z.string(), actor: z.string() };
/** The parts of an output's report that people are told of; what makes no sense is left out. */
const outputSchema = z.looseObject({
  desired: value.optional(),
  by: z.string(),
  why: z.string(),
  command: z.looseObject({ ...who, val: value, state: z.string(), at: z.number() }).optional(),
  override: z.looseObject({ ...who, val: value, until: z.number(), kept: z.boolean().optional() }).optional(),
});

/** What a person has to know of a pin beside its value: who decides it, and what is wrong. Empty: nothing. */
export function pinNote(report: IoMessage | undefined): string {
  if (!report) return '';
  const notes: string[] = [];
  const { quality, reason, simulated, val } = report;
  const parsed = outputSchema.safeParse(report['output']);
  const output = parsed.success ? parsed.data : undefined;
  const { override, desired, by, why, command } = output ?? {};
  if (override) {
    const { node, actor, until, kept = true } = override;
    notes.push(colour.yellow(`overridden by ${actor}@${node} until ${showTime(until).slice(0, 8)}`));
    if (!kept) notes.push('it ends with the process: it is not on the disk');
  } else if (by === 'safe' || by === 'rule') notes.push(colour.yellow(`${by}: ${why}`));
  else if (by === 'follow') notes.push(String(why));
  else if (command)
    notes.push(`${command.state}, by ${command.actor}@${command.node} ${showTime(command.at).slice(0, 8)}`);
  if (desired !== undefined && desired !== val) notes.push(`to be ${showValue(desired)}`);
  if (quality !== 'good' && typeof reason === 'string') notes.push(reason);
  if (simulated === true) notes.push(colour.dim('simulated'));
  return notes.join('; ');
}
