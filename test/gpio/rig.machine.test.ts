import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { buildForGuest } from './support/guest-build.ts';

/** What vitest's JSON reporter writes, as far as it is needed here. */
const reportSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(
        z.object({
          ancestorTitles: z.array(z.string()),
          title: z.string(),
          status: z.string(),
          duration: z.number().nullish(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});
type Report = z.infer<typeof reportSchema>;

const LIMIT_S = 540;
/** Boots the rig once and runs all guest tests in it: an emulated boot is far dearer than a test. */
async function runGuest(): Promise<{ report: Report | undefined; status: number | null; output: string }> {
  const share = await mkdtemp(join(tmpdir(), 'dcs-io-rig-'));
  const build = await buildForGuest();
  try {
    const environment = ['env', `DCS_IO_GUEST_BUILD=${build}`];
    const vitest = [
      ...environment,
      'node',
      'node_modules/vitest/vitest.mjs',
      'run',
      '--config',
      'test/gpio/guest/vitest.config.ts',
    ];
    const reporters = ['--reporter=json', '--outputFile=/run/share/report.json'];
    const child = spawn('scripts/rig/run', ['-t', String(LIMIT_S), '-s', share, '--', ...vitest, ...reporters]);
    let output = '';
    const keep = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const text = await readFile(join(share, 'report.json'), 'utf8').catch(() => undefined);
    return { report: text === undefined ? undefined : reportSchema.parse(JSON.parse(text)), status, output };
  } finally {
    for (const folder of [share, build]) await rm(folder, { recursive: true, force: true });
  }
}

// While tests are being collected: each test of the guest becomes one here.
const { report, status, output } = await runGuest();

describe('gpio on a real kernel, in the rig', () => {
  it('boots and runs every guest test to its end', () => {
    expect(report, `status ${status}\n${output.slice(-4000)}`).toBeDefined();
    const broken = report?.testResults.filter(({ assertionResults }) => assertionResults.length === 0);
    expect(broken?.map(({ name, message }) => `${name}: ${message}`)).toEqual([]);
  });

  for (const { assertionResults } of report?.testResults ?? []) {
    for (const { ancestorTitles, title, status: came, failureMessages } of assertionResults) {
      it([...ancestorTitles, title].join(' › '), () => {
        if (came !== 'passed') throw new Error(failureMessages?.join('\n') ?? `the guest says ${came}`);
      });
    }
  }
});
