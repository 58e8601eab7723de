/** A process that uses the polling thread and then ends: `release` by having nothing left to do, `exit` by exit(3). */
import { loadLibc } from '../../../drivers/gpio/libc.ts';
import { leasePoller } from '../../../drivers/gpio/shared-poller.ts';

const begun = performance.now();
const libc = await loadLibc();
const lease = await leasePoller(libc);
const { reader } = libc.pipe();
const token = lease.poller.watch(reader, { event() {}, ended() {} });
process.stdout.write(`used for ${Math.round(performance.now() - begun)} ms\n`);
if (process.argv[2] === 'exit') process.exit(3);
await lease.poller.close(token);
lease.release();
