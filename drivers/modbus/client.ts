import { type Clock, sleep } from '../../src/clock/clock.ts';
import type { Channel, Reading } from '../../src/driver/contract.ts';
import { DcsError } from '../../src/errors/errors.ts';
import type { Log } from '../../src/log/log.ts';
import type { RawValue } from '../../src/pin/pin.ts';
import type { ModbusAddress } from './address.ts';
import type { ModbusOptions } from './options.ts';
import { PolledChannel } from './polled-channel.ts';
import { isBitTable, MAX_READ_BITS, MAX_READ_REGISTERS, type Request } from './protocol/request.ts';
import { isUnanswered, sendWrite, writeFailure } from './send-write.ts';
import { openTransport } from './transport/open.ts';
import type { Transport } from './transport/transport.ts';
import { checkWrite, prepareWrite, readBack, settledError, settleWrite } from './write.ts';
import { WriteFunctions } from './write-functions.ts';

export interface ReadValue {
  /** Address of its first register or bit, counted from 0. */
  readonly at: number;
  /** `undefined` when the registers hold none; `reason` says why. */
  readonly value: RawValue | undefined;
  readonly reason: string | undefined;
}

/** A bus for single requests: the same transactions as a port's, one after the other, without polling. */
export class ModbusClient {
  readonly counters = new Map<string, number>();
  /** What has been learned about the device, for people. */
  readonly learned: string[] = [];
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #functions = new WriteFunctions((message) => this.learned.push(message));

  private constructor(transport: Transport, clock: Clock, counters: Map<string, number>) {
    this.#transport = transport;
    this.#clock = clock;
    this.counters = counters;
  }

  /** Rejects when the link to the devices cannot be opened. */
  static async open(options: ModbusOptions, clock: Clock, log: Log): Promise<ModbusClient> {
    const counters = new Map<string, number>();
    const count = (name: string, by = 1) => {
      counters.set(name, (counters.get(name) ?? 0) + by);
    };
    const context = { clock, log, count, down: () => undefined };
    const transport = await openTransport(options, new Map(), context, { ...context, unitReleased: () => undefined });
    if (typeof transport === 'string') throw new DcsError('PORT_SKIPPED', transport);
    return new ModbusClient(transport, clock, counters);
  }

  /** Rejects as Transport.transact does. Waits while a late reply of the unit could be taken for the reply. */
  async transact(request: Request): Promise<Buffer> {
    const wait = this.#transport.freeAt(request.unit) - this.#clock.now();
    if (wait > 0) await sleep(this.#clock, wait);
    return this.#transport.transact(request);
  }

  /** Reads `count` consecutive values in as few requests as the standard allows. */
  async read(channel: Channel<ModbusAddress>, count: number, unit: number): Promise<ReadValue[]> {
    const polled = new PolledChannel(channel, { unit, poll: 0 });
    const { span } = polled;
    const values: ReadValue[] = [];
    const most = Math.floor((isBitTable(span.table) ? MAX_READ_BITS : MAX_READ_REGISTERS) / span.count);
    for (let done = 0; done < count; done += most) {
      const here = Math.min(most, count - done);
      const first = span.first + done * span.count;
      const data = await this.transact({ kind: 'read', ...span, first, count: here * span.count });
      for (let index = 0; index < here; index++) {
        const reading = polled.decode(data, index * span.count);
        values.push({
          at: first + index * span.count,
          value: reading.ok ? reading.value : undefined,
          reason: reading.ok ? undefined : reading.error.message,
        });
      }
    }
    return values;
  }

  /** Writes and reads back. `undefined` when the value cannot be read back. Rejects as Port.write does. */
  async write(channel: Channel<ModbusAddress>, value: RawValue, unit: number): Promise<RawValue | undefined> {
    const polled = new PolledChannel(channel, { unit, poll: 0 });
    const transact = (request: Request) => this.transact(request);
    const ignore = () => undefined;
    checkWrite(polled, value);
    const attempt = this.#functions.attempt(polled.written);
    let reading: Reading | undefined;
    let parts = 0;
    try {
      const requests = await prepareWrite(transact, polled, value);
      parts = requests.length;
      await sendWrite(transact, requests, attempt);
      reading = await readBack(transact, polled, ignore);
    } catch (thrown) {
      const error = writeFailure(thrown);
      if (error.code !== 'TIMEOUT' || parts !== 1) throw error;
      const other = isUnanswered(error) ? attempt.afterSilence() : undefined;
      reading = await settleWrite(transact, polled, value, other, error, ignore).catch((failure: unknown) => {
        throw settledError(failure, error);
      });
    }
    return reading?.ok ? reading.value : undefined;
  }

  /** Idempotent, never rejects. */
  close(): Promise<void> {
    return this.#transport.close();
  }
}
