import { DcsError } from '../../../src/errors/errors.ts';
import { checksumHolds } from '../checksum.ts';
import { type Deciphered, decipher, type MeterKeys } from './ciphering.ts';
import { CIPHERED_TAG, segmentOf } from './links.ts';
import { NOTIFICATION_TAG, notificationText } from './notification.ts';

/** Most segments of a telegram. */
const MAX_SEGMENTS = 16;

/** Turns the frames of a meter into the text of its telegrams: joins segments, decrypts, writes a line for each value. */
export class TelegramReader {
  readonly #keys: MeterKeys | undefined;
  readonly #lost: (bytes: number) => void;
  #segments: Buffer[] = [];

  /** `lost` is told of bytes of a telegram of which a part is missing. */
  constructor(keys: MeterKeys | undefined, lost: (bytes: number) => void) {
    this.#keys = keys;
    this.#lost = lost;
  }

  /** The text of the telegram that ends with this frame; `undefined` when more must come. Throws BAD_REPLY or BAD_CONFIG. */
  read(frame: Buffer): Buffer | undefined {
    const segment = segmentOf(frame, this.#segments.length > 0);
    if (!segment) return undefined;
    if (segment.first || this.#segments.length >= MAX_SEGMENTS) this.#drop();
    if (!segment.first && this.#segments.length === 0) {
      this.#lost(frame.length);
      return undefined;
    }
    this.#segments.push(segment.data);
    if (!segment.last) return undefined;
    const apdu = Buffer.concat(this.#segments);
    this.#segments = [];
    const { text, authenticated } =
      apdu[0] === CIPHERED_TAG ? this.#decipher(apdu) : { text: apdu, authenticated: false };
    // A bare APDU has no checksum: it may be the rest of a damaged frame.
    return readable(text, authenticated || frame[0] !== CIPHERED_TAG);
  }

  #drop(): void {
    if (this.#segments.length > 0) this.#lost(Buffer.concat(this.#segments).length);
    this.#segments = [];
  }

  #decipher(apdu: Buffer): Deciphered {
    if (this.#keys) return decipher(apdu, this.#keys);
    throw new DcsError('BAD_CONFIG', 'the telegrams of this meter are encrypted', { expected: 'key: "…" in its port' });
  }
}

/** A decrypted telegram is a DSMR telegram with its own checksum, or a data-notification, which another check must have `proved`. */
function readable(apdu: Buffer, proved: boolean): Buffer {
  if (apdu[0] === NOTIFICATION_TAG && proved) return notificationText(apdu);
  const end = /![0-9A-Fa-f]{1,4}(\r?\n)?$/.exec(apdu.toString('latin1'));
  const rule = { type: 'crc16-arc', as: 'hex', from: 0, before: 0, after: end?.[1]?.length ?? 0 } as const;
  if (apdu[0] === 0x2f && end && checksumHolds(apdu, rule)) return apdu;
  throw new DcsError('BAD_REPLY', 'the telegram cannot be read: it is damaged, or the key is wrong', {
    found: `${apdu.length} bytes`,
    expected: 'a DSMR telegram with its checksum, or a DLMS data-notification',
  });
}
