/** Holds line 3 as an output that is on, and line 0 as an input, until it is killed. Arguments: chip, backend. */
import { gpio } from '../../../drivers/gpio/driver.ts';
import { openPort } from '../../support/ports.ts';

const [chip, backend] = process.argv.slice(2);
await openPort(gpio, { chip, backend }, [
  { keys: { gpio: 3 }, direction: 'out', start: true },
  { keys: { gpio: 0 }, direction: 'in' },
]);
process.stdout.write('holding\n');
setInterval(() => {}, 1000);
