import { isUtf8 } from 'node:buffer';
import { Actor } from '../bus/actor.ts';
import type { MonotonicMs, UnixSeconds } from '../clock/clock.ts';
import type { ByteStream } from '../driver/contract.ts';
import { DcsError, toDcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import { type Envelope, isRecord } from '../message/envelope.ts';
import { type IoError, type SerialReport, serialCommandSchema } from '../message/payloads.ts';
import type { PortRunner } from './port-runner.ts';

/** Bridges the byte stream of a port to SerialPortMessages. Each command gets exactly one answer. */
export class StreamActor extends Actor {
  readonly #runner: PortRunner;
  readonly #log: Log;
  #forget: () => void = () => {};
  #unlisten: () => void = () => {};

  constructor(runner: PortRunner, log: Log) {
    super(`port ${runner.name}`);
    this.#runner = runner;
    this.#log = log;
    this.on('SerialPortMessage', (data, envelope, arrival) => this.#onMessage(data, envelope, arrival));
  }

  override onStart(): void {
    this.#forget = this.#runner.onStream((stream) => {
      this.#unlisten();
      this.#unlisten = stream.onFrame((frame, sourceTime) => this.#received(frame, sourceTime));
    });
  }

  override onStop(): void {
    this.#forget();
    this.#unlisten();
  }

  #received(frame: Uint8Array, sourceTime: UnixSeconds): void {
    const report: SerialReport = { port: this.#runner.name, ...encodeBytes(frame), source_time: sourceTime };
    this.send({ SerialPortMessage: report });
  }

  async #onMessage(data: unknown, { msg_id }: Envelope, arrival: MonotonicMs): Promise<void> {
    if (!isRecord(data) || data['port'] !== this.#runner.name || data['source_time'] !== undefined) return;
    try {
      const sent = await this.#command(data, arrival);
      const report: SerialReport = {
        port: this.#runner.name,
        data: '',
        source_time: this.clock.unix(),
        sent,
        reply_to: msg_id,
      };
      this.send({ SerialPortMessage: report });
    } catch (error) {
      const { code, message } = toDcsError(error);
      const answer: IoError = { port: this.#runner.name, code, message, reply_to: msg_id };
      this.#log.warn({ port: this.#runner.name, code }, `refused: ${message}`);
      this.send({ IoErrorMessage: answer });
    }
  }

  async #command(data: Record<string, unknown>, arrival: MonotonicMs): Promise<number> {
    const parsed = serialCommandSchema.safeParse(data);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new DcsError('BAD_COMMAND', `SerialPortMessage: ${issue?.path.join('.')}: ${issue?.message}`, {
        found: data,
        expected: '{port, data: text, encoding?: text|base64, ttl?}',
      });
    }
    const { data: text, encoding = 'text', ttl } = parsed.data;
    const age = (this.clock.now() - arrival) / 1000;
    if (ttl !== undefined && age > ttl) throw new DcsError('EXPIRED', `the message waited ${age.toFixed(3)} s`);
    const stream: ByteStream | undefined = this.#runner.stream;
    if (!stream) throw new DcsError('NOT_SUPPORTED', `port ${this.#runner.name} carries no byte stream`);
    return stream.send(decodeBytes(text, encoding));
  }
}

/** Encodes UTF-8 bytes as text and all others as base64, so that no byte is replaced. */
function encodeBytes(frame: Uint8Array): { data: string; encoding?: 'base64' } {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  return isUtf8(bytes) ? { data: bytes.toString('utf8') } : { data: bytes.toString('base64'), encoding: 'base64' };
}

function decodeBytes(text: string, encoding: 'text' | 'base64'): Uint8Array {
  if (encoding === 'text') return Buffer.from(text, 'utf8');
  const bytes = Buffer.from(text, 'base64');
  // Buffer.from skips invalid characters, and half a telegram must not be sent.
  if (bytes.toString('base64').replace(/=+$/, '') !== text.replace(/\s/g, '').replace(/=+$/, '')) {
    throw new DcsError('BAD_VALUE', 'data is not base64', { found: text, expected: 'base64 text' });
  }
  return bytes;
}
