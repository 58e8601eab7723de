import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { campaign } from './campaign.ts';
import { table } from './table.ts';

const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '200' },
    rig: { type: 'string', default: '12' },
    worlds: { type: 'string', default: '4' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    kind: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});
// The kernel ends its processes and mounts with it, because it is the first process of a namespace.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
const seed = Number(values.seed);
process.stdout.write(
  `seed ${seed}: ${values.faults} faults in ${values.worlds} worlds, ${values.rig} in a virtual machine\n`,
);
const begun = performance.now();
const { outcomes, wrong } = await campaign({
  project: resolve('.'),
  faults: Number(values.faults),
  worlds: Number(values.worlds),
  rigFaults: Number(values.rig),
  seed,
  kind: values.kind,
  log: (line) => values.verbose && process.stdout.write(`${line}\n`),
});
process.stdout.write(`${table(outcomes)}\n`);
for (const what of wrong) process.stdout.write(`\nBROKEN ${what}\n`);
const s = Math.round((performance.now() - begun) / 1000);
process.stdout.write(`\n${outcomes.length} faults in ${s} s (seed ${seed}): ${wrong.length} promises broken\n`);
process.exit(wrong.length === 0 && outcomes.length === Number(values.faults) + Number(values.rig) ? 0 : 1);
