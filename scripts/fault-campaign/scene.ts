import type { Fault } from './faults.ts';
import { now, pause, within } from './process.ts';
import type { Record } from './record.ts';

export type Complain = (what: string) => void;

/** Where faults happen: an agent, its hardware and a node that commands it. */
export interface Scene {
  readonly name: string;
  readonly record: Record;
  /** After a fault everything is well again within this (ms), unaided. */
  readonly recoveryMs: number;
  open(): Promise<void>;
  /** When, after a time, everything was well. */
  healthySince(since: number): number | undefined;
  /** When, after a time, somebody said so. */
  said(pattern: RegExp, since: number): number | undefined;
  /** The last lines of all programs. */
  tail(lines: number): string;
  /** What is to be judged when a fault is over. */
  settle?(since: number, complain: Complain): Promise<void>;
  /** Ends the agent in good order, and judges that. */
  finish(complain: Complain): Promise<void>;
  close(): Promise<void>;
}

export interface Outcome {
  readonly fault: string;
  readonly detectedMs: number | undefined;
  readonly safeMs: number | undefined;
  readonly recoveredMs: number | undefined;
  /** Commands to the output that never got an answer. */
  readonly lost: number;
}

/** Lets a scene suffer one fault after the other, until `next` has no more or it does not recover. */
export async function live<Place extends Scene>(
  scene: Place,
  next: () => Fault<Place> | undefined,
  random: () => number,
  tell: { outcome(outcome: Outcome): void; wrong: Complain },
): Promise<void> {
  const complain = (what: string) => tell.wrong(`${scene.name}: ${what}\n${scene.tail(12)}`);
  try {
    await scene.open();
    for (let fault = next(); fault; fault = next()) {
      await pause(random() * 400);
      const outcome = await suffer(scene, fault, complain);
      tell.outcome(outcome);
      if (outcome.recoveredMs === undefined) break;
    }
    await scene.finish(complain);
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
  } finally {
    // The last lines of the controller are on their way.
    await pause(1000);
    scene.record.judge(now());
    for (const what of new Set(scene.record.wrong)) complain(what);
    await scene.close();
  }
}

async function suffer<Place extends Scene>(scene: Place, fault: Fault<Place>, complain: Complain): Promise<Outcome> {
  const { record } = scene;
  // Only an output that is on can be seen to go safe.
  await within(5000, () => (record.level?.value ?? 0) > 0);
  const begun = now();
  await fault.inject(scene);
  const over = now();
  const { safeMs, noticed } = fault;
  const safe = safeMs === undefined ? undefined : await within(safeMs + 2000, () => record.safeAt(begun));
  const detected = noticed && (await within(5000, () => noticed(scene, begun)));
  const recovered = await within(scene.recoveryMs, () => scene.healthySince(Math.max(over, safe ?? 0, detected ?? 0)));
  const lost = record.lost(begun, (recovered ?? now()) - 1500);
  if (noticed && detected === undefined) complain(`promise 5: nobody noticed: ${fault.name}`);
  if (safeMs !== undefined && (safe === undefined || safe - begun > safeMs))
    complain(`promise 4: after ${fault.name} the output was safe in ${ms(safe, begun) ?? '(never)'} ms, not ${safeMs}`);
  if (recovered === undefined) complain(`promise 8: no recovery from ${fault.name}`);
  if (fault.harmless && lost > 0) complain(`promise 5: ${fault.name} cost ${lost} commands to other hardware`);
  const refused = fault.harmless ? record.refused(begun, recovered ?? now()) : [];
  if (refused.length > 0) complain(`promise 5: with ${fault.name} commands to other hardware were refused: ${refused}`);
  if (recovered !== undefined) await scene.settle?.(begun, complain);
  return {
    fault: fault.name,
    detectedMs: ms(detected, begun),
    safeMs: ms(safe, begun),
    recoveredMs: ms(recovered, over),
    lost,
  };
}

function ms(at: number | undefined, since: number): number | undefined {
  return at === undefined ? undefined : Math.max(0, Math.round(at - since));
}
