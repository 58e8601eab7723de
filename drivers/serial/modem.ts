import type { Clock, Timer } from '../../src/clock/clock.ts';
import type { WriteResult } from '../../src/driver/contract.ts';
import { DcsError, toDcsError } from '../../src/errors/errors.ts';
import { type DrivenLine, drivenLines, type ModemControl, type SensedLine, sensedLines } from './line/transport.ts';
import type { SerialChannel } from './serial-channel.ts';

/** Period (ms) at which the device's lines are polled: the kernel reports no changes. */
const POLL_MS = 50;

/** The pins of a port that are modem control lines. */
export class ModemPins {
  readonly #clock: Clock;
  readonly #sensed: readonly { readonly channel: SerialChannel; readonly line: SensedLine }[];
  #control: ModemControl | undefined;
  #port = 'this port';
  #timer: Timer | undefined;

  constructor(channels: readonly SerialChannel[], clock: Clock) {
    this.#clock = clock;
    this.#sensed = channels.flatMap((channel) => {
      const line = sensedLines.find((name) => name === channel.channel.address.control);
      return line ? [{ channel, line }] : [];
    });
  }

  begin(port: string, control: ModemControl | undefined): void {
    this.#port = port;
    this.#control = control;
    if (this.#sensed.length > 0) this.#pollForever();
  }

  end(): void {
    this.#timer?.cancel();
  }

  /** Throws READ_ONLY for a line that the device drives, NOT_SUPPORTED when the port has no such lines. */
  write(name: DrivenLine | SensedLine, on: boolean): WriteResult {
    const line = drivenLines.find((driven) => driven === name);
    if (!line) throw new DcsError('READ_ONLY', `${name} is driven by the device`);
    this.#available().drive(line, on);
    return {};
  }

  /** Reads the device's lines and reports changes. */
  poll(): void {
    if (this.#sensed.length === 0) return;
    try {
      const states = this.#available().sense();
      const sourceTime = this.#clock.unix();
      for (const { channel, line } of this.#sensed) {
        const { last } = channel;
        const now = { ok: true, value: states[line], sourceTime } as const;
        // An unchanged state is kept with its new time, so that the next read does not look old.
        if (last?.ok && last.value === now.value) channel.last = now;
        else channel.report(now);
      }
    } catch (thrown) {
      const error = toDcsError(thrown);
      for (const { channel } of this.#sensed) if (channel.last?.ok !== false) channel.report({ ok: false, error });
    }
  }

  #pollForever(): void {
    this.poll();
    this.#timer = this.#clock.after(POLL_MS, () => this.#pollForever());
  }

  #available(): ModemControl {
    if (this.#control) return this.#control;
    throw new DcsError('NOT_SUPPORTED', `${this.#port} has no modem control lines`, {
      expected: 'a serial port of this machine, or rfc2217://',
    });
  }
}
