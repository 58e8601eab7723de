// A paced RTU slave for the benchmark: `modbus-slave BAUD SLAVE_MS`. Prints the TCP port on which it takes the line.
import { createServer } from 'node:net';
import { rtu } from '../../drivers/modbus/protocol/framing.ts';
import { RtuRequestReader } from '../../drivers/modbus/server/line-server.ts';
import { SimulatedMemory } from '../../drivers/modbus/simulator/memory.ts';
import { LineSlave } from '../../drivers/modbus/simulator/slaves.ts';
import { lineTiming } from '../../drivers/modbus/transport/line-timing.ts';
import type { Clock } from '../../src/clock/clock.ts';

/** Exact to some 10 µs: the last two milliseconds are waited out turn by turn of the event loop. */
const precise: Clock = {
  now: () => performance.now(),
  unix: () => Date.now() / 1000,
  after(delay, action) {
    const due = performance.now() + delay;
    let over = false;
    const turn = () => {
      if (over) return;
      if (performance.now() >= due) action();
      else setImmediate(turn);
    };
    if (delay > 2) setTimeout(turn, delay - 2);
    else setImmediate(turn);
    return {
      cancel: () => {
        over = true;
      },
    };
  },
};

const [baud = 9600, slaveMs = 0] = process.argv.slice(2).map(Number);
const server = createServer({ noDelay: true }, (socket) => {
  const slave = new LineSlave({
    clock: precise,
    framing: rtu,
    reader: new RtuRequestReader(),
    timing: lineTiming({ baud, dataBits: 8, parity: 'none', stopBits: 1 }),
    responseMs: slaveMs,
    store: new SimulatedMemory(precise),
    echo: false,
    send: (bytes) => {
      socket.write(Buffer.from(bytes));
    },
    unplug: () => socket.destroy(),
  });
  socket.on('data', (bytes: Buffer) => slave.receive(bytes));
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(typeof address === 'object' && address ? address.port : 0);
});
