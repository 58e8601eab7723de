import type { Fault } from './faults.ts';
import { now, pause, within } from './process.ts';
import type { WorldRecord } from './record.ts';

export type ReportFailure = (what: string) => void;

/** A site for faults: an agent, its hardware and a node that commands it. */
export interface Scene {
  readonly name: string;
  readonly record: WorldRecord;
  /** Longest time (ms) of the recovery from a fault, without help. */
  readonly recoveryMs: number;
  open(): Promise<void>;
  /** The first time after `since` at which everything was well. */
  healthySince(since: number): number | undefined;
  /** The first time after `since` at which a program's output matched. */
  said(pattern: RegExp, since: number): number | undefined;
  /** The last lines of output of all programs. */
  tail(lines: number): string;
  /** Further checks after a fault. */
  settle?(since: number, fail: ReportFailure): Promise<void>;
  /** Stops the agent, and checks the stop. */
  finish(fail: ReportFailure): Promise<void>;
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

/** Injects one fault after the other into a scene, until `next` has no more or the scene does not recover. */
export async function runFaults<Place extends Scene>(
  scene: Place,
  next: () => Fault<Place> | undefined,
  random: () => number,
  tell: { outcome(outcome: Outcome): void; wrong: ReportFailure },
): Promise<void> {
  const fail = (what: string) => tell.wrong(`${scene.name}: ${what}\n${scene.tail(12)}`);
  try {
    await scene.open();
    for (let fault = next(); fault; fault = next()) {
      await pause(random() * 400);
      const outcome = await injectAndCheck(scene, fault, fail);
      tell.outcome(outcome);
      if (outcome.recoveredMs === undefined) break;
    }
    await scene.finish(fail);
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  } finally {
    // Waits for the last lines of the controller.
    await pause(1000);
    scene.record.judge(now());
    for (const what of new Set(scene.record.wrong)) fail(what);
    await scene.close();
  }
}

async function injectAndCheck<Place extends Scene>(
  scene: Place,
  fault: Fault<Place>,
  fail: ReportFailure,
): Promise<Outcome> {
  const { record } = scene;
  // The way to the safe state shows only on an output that is on.
  await within(5000, () => (record.level?.value ?? 0) > 0);
  const begun = now();
  await fault.inject(scene);
  const over = now();
  const { safeMs, noticed } = fault;
  const safe = safeMs === undefined ? undefined : await within(safeMs + 2000, () => record.safeAt(begun));
  const detected = noticed && (await within(5000, () => noticed(scene, begun)));
  const recovered = await within(scene.recoveryMs, () => scene.healthySince(Math.max(over, safe ?? 0, detected ?? 0)));
  const lost = record.lost(begun, (recovered ?? now()) - 1500);
  if (noticed && detected === undefined) fail(`promise 5: nobody noticed: ${fault.name}`);
  if (safeMs !== undefined && (safe === undefined || safe - begun > safeMs))
    fail(`promise 4: after ${fault.name} the output was safe in ${ms(safe, begun) ?? '(never)'} ms, not ${safeMs}`);
  if (fault.harmless) checkHarmless(fault.name, lost, record.refused(begun, recovered ?? now()), fail);
  if (recovered === undefined) fail(`promise 8: no recovery from ${fault.name}`);
  else await scene.settle?.(begun, fail);
  return {
    fault: fault.name,
    detectedMs: ms(detected, begun),
    safeMs: ms(safe, begun),
    recoveredMs: ms(recovered, over),
    lost,
  };
}

function checkHarmless(fault: string, lost: number, refused: readonly string[], fail: ReportFailure): void {
  if (lost > 0) fail(`promise 5: ${fault} cost ${lost} commands to other hardware`);
  if (refused.length > 0) fail(`promise 5: with ${fault} commands to other hardware were refused: ${refused}`);
}

function ms(at: number | undefined, since: number): number | undefined {
  return at === undefined ? undefined : Math.max(0, Math.round(at - since));
}
