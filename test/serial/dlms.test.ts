import { createCipheriv } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checksumOf } from '../../drivers/serial/checksum.ts';
import { readKeys } from '../../drivers/serial/dlms/keys.ts';
import { TelegramReader } from '../../drivers/serial/dlms/telegrams.ts';
import { serial } from '../../drivers/serial/driver.ts';
import { SerialPort } from '../../drivers/serial/port.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { DcsError } from '../../src/errors/errors.ts';
import { memoryLog, recordReadings } from '../support/ports.ts';
import { collector, everySplit, framing } from './framers.ts';

const bytes = (hex: string) => Buffer.from(hex.replace(/\s/g, ''), 'hex');

/** The lines of the telegrams in these bytes, or the messages of those that cannot be read. */
function read(pieces: readonly Buffer[], key?: string, authentication?: string) {
  const lost: number[] = [];
  const reader = new TelegramReader(readKeys(key, authentication), (count) => lost.push(count));
  const told: string[] = [];
  const { sink, cut } = collector();
  const framer = framing('dlms')({
    ...sink,
    frame: (frame) => {
      try {
        const text = reader.read(frame);
        if (text)
          told.push(
            ...text
              .toString('latin1')
              .split('\r\n')
              .filter((line) => line !== ''),
          );
      } catch (error) {
        if (!(error instanceof DcsError)) throw error;
        told.push(error.message);
      }
    },
  });
  for (const piece of pieces) framer.push(piece);
  return { told, lost, ...cut };
}

/** Kaifa MA309 of TINETZ in two M-Bus frames, encrypted without a tag, with its key (github.com/fneur/smart-meter-tirol). */
const TIROL = bytes(`
  68FAFA6853FF000167DB084B464D10100000238201092100295B9AEFC1546E644A2C9E32EDD42CBD0F1B945B194D086885C4D8DF86DD52CB5B448854A6
  D548D5D270739B2A169D05B013F9015070089D3C5FA45CA05E92309A645CC83D7DA40FBC8F4CF9C225AFA69A25FF0B2AC9C2744550ABA53CE9143FD10B
  0AD85FD30BD6B6DFFEE65F8204DC9C5067CA73B62E299A39D50AA730B2B9AE3836BC2F3490FB41BE5B6F930D84952976369DD7DABBB5A4354AECA1D248
  6CFF2EB0C6206380BA501D122AF75D716D3092C3960506A15E06FAB0EE5B7DFA3C2CDF0CAFD051B88E44B8B9FB8865F20CB89D1143CDC7EFEB07FB4C48
  98E764E9E3A32DDC3D1F0F166826266853FF110167B46961CE962B2C78050C96598C7E4D26658043F9CBCA78189BD01B139F8AE0F7391116`);
const TIROL_KEY = '101112131415161718191A1B1C1D1E1F';
const TIROL_LINES = [
  '0-0:1.0.0(210719154635S)',
  '0-0:96.1.0(1KFM0100000035)',
  '0-0:42.0.0(KFM1100100000035)',
  '1-0:32.7.0(230.8*V)',
  '1-0:31.7.0(0.00*A)',
  '1-0:1.7.0(0*W)',
  '1-0:2.7.0(0*W)',
  '1-0:1.8.0(9108*Wh)',
  '1-0:2.8.0(0*Wh)',
  '1-0:3.8.0(96*varh)',
  '1-0:4.8.0(9*varh)',
];

/** Sagemcom T210-D of EVN, from the description of its customer interface by Netz NÖ. */
const EVN = bytes(`
  68FAFA6853FF000167DB084B464D675000000981F8200000002388D5AB4F97515AAFC6B88D2F85DAA7A0E3C0C40D004535C397C9D037AB7DBDA3291076
  15444894A1A0DD7E85F02D496CECD3FF46AF5FB3C9229CFE8F3EE4606AB2E1F409F36AAD2E50900A4396FC6C2E083F373233A69616950758BFC7D63A9E
  9B6E99E21B2CBC2B934772CA51FD4D69830711CAB1F8CFF25F0A329337CBA51904F0CAED88D61968743C8454BA922EB00038182C22FE316D16F2A9F544
  D6F75D51A4E92A1C4EF8AB19A2B7FEAA32D0726C0ED80229AE6C0F7621A4209251ACE2B2BC66FF0327A653BB686C756BE033C7A281F1D2A7E1FA31C398
  3E15F8FD16CC5787E6F517166814146853FF110167419A3CFDA44BE438C96F0E38BF83D98316`);
const EVN_KEY = '36C66639E48A8CA4D6BC8B282A793BBB';

const LUX_KEY = 'AEBD21B769A6D13C0DF064E383682EFF';
const SHARED = '00112233445566778899AABBCCDDEEFF';

/** A general-glo-ciphering APDU as meters of Luxembourg (security 0x30) send it. */
function ciphered(text: Buffer, key: string, { authentication = SHARED, security = 0x30, counter = 7 } = {}): Buffer {
  const title = Buffer.from('SAGgp!P0', 'latin1');
  const count = Buffer.alloc(4);
  count.writeUInt32BE(counter);
  const cipher = createCipheriv('aes-128-gcm', bytes(key), Buffer.concat([title, count]), { authTagLength: 12 });
  cipher.setAAD(Buffer.concat([Buffer.of(security), bytes(authentication)]));
  const body = Buffer.concat([cipher.update(text), cipher.final()]);
  const tag = security & 0x10 ? cipher.getAuthTag() : Buffer.alloc(0);
  const content = Buffer.concat([Buffer.of(security), count, body, tag]);
  const length = Buffer.of(0x82, content.length >> 8, content.length & 0xff);
  return Buffer.concat([Buffer.of(0xdb, 8), title, length, content]);
}

/** An HDLC frame with this information field. `addresses`: destination and source. */
function hdlc(information: Buffer, addresses = '410883'): Buffer {
  const header = bytes(`${addresses}13`);
  const length = header.length + information.length + 6;
  const head = Buffer.concat([Buffer.of(0xa0 | (length >> 8), length & 0xff), header]);
  const checked = Buffer.concat([head, checksum(head), information]);
  return Buffer.concat([Buffer.of(0x7e), checked, checksum(checked), Buffer.of(0x7e)]);
}

function checksum(part: Buffer): Buffer {
  const value = checksumOf(part, 'crc16-x25');
  return Buffer.of(value & 0xff, value >> 8);
}

const LLC = 'e6e700';
const WIEN_KEY = '000102030405060708090A0B0C0D0E0F';
/** Siemens IM350 of Wiener Netze: values without codes or units, no tag. */
const WIEN = hdlc(
  Buffer.concat([
    bytes(LLC),
    ciphered(
      bytes(`0f0002e9fa 0c07e5080107 0c053200ff8880 020c 09060006190900ff 090d31313131313131313131313131 09040c053200 090507e5080100
        06002cf6de 0600000000 0600000377 0600204d5c 060000004f 0600000000 0900 0900`),
      WIEN_KEY,
      { security: 0x20 },
    ),
  ]),
  'cf00020023',
);

/** Aidon 6525 in Norway: three phases, not encrypted. */
const AIDON = hdlc(
  bytes(`${LLC} 0f4000000000 0109 0202 0906 01010002 81ff 0a0b4149444f4e5f5630303031 0202 0906 0000600100ff 0a1037333539393932
    393030303030303030 0202 0906 0000600107ff 0a0436353135 0203 0906 0100010700ff 0600000000 0202 0f00 161b 0203 0906 0100020700ff
    060000047a 0202 0f00 161b 0203 0906 0100030700ff 0600000000 0202 0f00 161d 0203 0906 0100040700ff 06000000e2 0202 0f00 161d
    0203 0906 01001f0700ff 10ffcd 0202 0fff 1621 0203 0906 0100200700ff 120983 0202 0fff 1623`),
);

/** Kaifa MA304 in Norway: a value without code or unit; there is a flag within the frame (github.com/toreamun/amshan). */
const KAIFA = bytes('7ea027010201105a87e6e7000f40000000090c07e4020f06011922ff8000000201060000157eea5e7e');

/** Kamstrup in Norway: codes without units. */
const KAMSTRUP = hdlc(
  bytes(`${LLC} 0f00000000 0c07e6011801123a32ff800000 0208 0a0e4b616d73747275705f5630303031 0906 0101010700ff 060000033a
    0906 01011f0700ff 06000000ed 0906 0101200700ff 1200e8 0900`),
  '2b21',
);

const DSMR_LINES = [
  '/EST5\\253710000_A',
  '',
  '0-0:1.0.0(221006155014S)',
  '1-0:1.8.0(006545766*Wh)',
  '1-0:1.7.0(000000286*W)',
];
function dsmr(lines = DSMR_LINES): Buffer {
  const text = Buffer.from([...lines, '!'].join('\r\n'));
  return Buffer.concat([text, Buffer.from(`${checksumOf(text, 'crc16-arc').toString(16).toUpperCase()}\r\n`)]);
}

const WRONG = 'the telegram is damaged, or key or authentication_key is wrong';
const UNREADABLE = 'the telegram cannot be read: it is damaged, or the key is wrong';

describe('telegrams of DLMS meters', () => {
  it('are decrypted and joined from two M-Bus frames (Kaifa, Tirol), however they arrive', () => {
    expect(read([TIROL], TIROL_KEY).told).toEqual(TIROL_LINES);
    for (const pieces of everySplit(TIROL)) expect(read(pieces, TIROL_KEY).told).toEqual(TIROL_LINES);
  });

  it('are read when codes and values stand in one list (Sagemcom, Niederösterreich)', () => {
    const { told } = read([EVN], EVN_KEY);
    expect(told).toEqual(
      expect.arrayContaining(['#0(210927094715S)', '1-0:1.8.0(12937*Wh)', '1-0:32.7.0(233.7*V)', '1-0:13.7.0(1.000)']),
    );
  });

  it('are read by HDLC with addresses of several bytes, values by their numbers (Siemens IM350, Wien)', () => {
    const { told } = read([WIEN], WIEN_KEY);
    expect(told).toEqual(expect.arrayContaining(['#4(2946782)', '#5(0)', '#8(79)', '#9(0)']));
  });

  it('are read without encryption (Aidon, Kaifa and Kamstrup, Norway)', () => {
    expect(read([AIDON]).told).toEqual([
      '1-1:0.2.129(AIDON_V0001)',
      '0-0:96.1.0(7359992900000000)',
      '0-0:96.1.7(6515)',
      '1-0:1.7.0(0*W)',
      '1-0:2.7.0(1146*W)',
      '1-0:3.7.0(0*var)',
      '1-0:4.7.0(226*var)',
      '1-0:31.7.0(-5.1*A)',
      '1-0:32.7.0(243.5*V)',
    ]);
    expect(read([KAIFA]).told).toEqual(['#0(5502)']);
    expect(read([KAMSTRUP]).told).toEqual(
      expect.arrayContaining(['#0(Kamstrup_V0001)', '1-1:1.7.0(826)', '1-1:31.7.0(237)', '1-1:32.7.0(232)']),
    );
  });

  it('are DSMR telegrams in Luxembourg and the Steiermark, whose tag and checksum must be right', () => {
    const frame = ciphered(dsmr(), LUX_KEY);
    const lines = DSMR_LINES.filter((line) => line !== '');
    expect(read([frame], LUX_KEY).told.slice(0, -1)).toEqual(lines);
    const own = { authentication: '0102030405060708090A0B0C0D0E0F10' };
    expect(read([ciphered(dsmr(), LUX_KEY, own)], LUX_KEY, own.authentication).told.slice(0, -1)).toEqual(lines);
    expect(read([ciphered(dsmr(), LUX_KEY, own)], LUX_KEY).told).toEqual([WRONG]);
    const plain = { security: 0x20 };
    expect(read([ciphered(dsmr(), LUX_KEY, plain)], LUX_KEY).told.slice(0, -1)).toEqual(lines);
    const altered = dsmr();
    altered[altered.indexOf('286')] = 0x33;
    expect(read([ciphered(altered, LUX_KEY, plain)], LUX_KEY).told).toEqual([UNREADABLE]);
  });

  it('are never a value with a wrong key, without one, or with one byte changed', () => {
    expect(read([TIROL], WIEN_KEY).told).toEqual([UNREADABLE]);
    expect(read([ciphered(dsmr(), LUX_KEY)], WIEN_KEY).told).toEqual([WRONG]);
    expect(read([TIROL]).told).toEqual(['the telegrams of this meter are encrypted']);
    for (const [telegram, key] of [
      [ciphered(dsmr(), LUX_KEY), LUX_KEY],
      [WIEN, WIEN_KEY],
      [TIROL, TIROL_KEY],
      [AIDON, undefined],
    ] as const) {
      for (let at = 0; at < telegram.length; at++) {
        const changed = Buffer.from(telegram);
        changed[at] = (changed[at] ?? 0) ^ 0x10;
        const { told } = read([changed], key);
        expect(
          told.filter((line) => line.includes('(')),
          `byte ${at}`,
        ).toEqual([]);
      }
    }
  });

  it('go on after noise, a beginning that was missed, and a part that was lost', () => {
    const second = TIROL.subarray(TIROL.lastIndexOf(Buffer.from([0x68, 0x26])));
    const first = TIROL.subarray(0, -second.length);
    const { told, lost } = read([second, Buffer.from([0x00, 0x7e, 0x68]), first, TIROL], TIROL_KEY);
    expect(told).toEqual(TIROL_LINES);
    expect(lost).toEqual([second.length, first.length - 11]);
    expect(read([AIDON.subarray(40), AIDON, AIDON]).told.length).toBe(18);
  });

  it('are refused with an error of ours whatever they hold, and however the bytes come', () => {
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.array(fc.constantFrom(0, 1, 2, 6, 9, 15, 22, 0x81, 0xff)),
    );
    fc.assert(
      fc.property(
        body,
        fc.boolean(),
        fc.constantFrom('0f00000000', '0f', 'db08', '', '0f000000000c'),
        (found, bare, head) => {
          const information = Buffer.concat([bytes(bare ? '' : LLC), bytes(head), Buffer.from(found)]);
          const frame = bare ? information : hdlc(information);
          // Another error than ours is thrown on.
          read([frame.subarray(0, 7), frame.subarray(7), AIDON], TIROL_KEY);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('are refused when they are encrypted in another way', () => {
    expect(read([ciphered(dsmr(), LUX_KEY, { security: 0x10 })], LUX_KEY).told).toEqual([
      'this kind of encryption is not supported',
    ]);
  });
});

describe('the keys of a meter', () => {
  const problem = (options: object) => {
    const found = serial.options.safeParse({ path: '/dev/ttyUSB0', framing: 'dlms', ...options }).error?.issues;
    return found?.map(({ path, message }) => `${path.join('.')}: ${message}`);
  };

  it('are 32 digits in quotes, and a wrong one is not repeated in the message', () => {
    expect(problem({ key: TIROL_KEY })).toBeUndefined();
    expect(problem({ key: '10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f' })).toBeUndefined();
    expect(problem({ key: TIROL_KEY.slice(1) })).toEqual(['key: a key has 32 hexadecimal digits']);
    expect(problem({ key: 1e31 })).toEqual(['key: a key of digits is a number to YAML: write it in quotes']);
    expect(problem({ authentication_key: TIROL_KEY })).toEqual(['authentication_key: goes with key']);
    expect(problem({ framing: 'raw', key: TIROL_KEY })).toEqual(['key: goes with framing: dlms']);
  });

  it.each([
    `{ p: { driver: serial, path: /dev/x, framing: dlms, key: ${TIROL_KEY.slice(1)} } }`,
    `{ p: { driver: serial, path: /dev/x, framing: dlms, key: [${TIROL_KEY}] } }`,
    `{ p: { driver: serial, path: /dev/x, framing: dlms, key: { ${TIROL_KEY}: x } } }`,
    `{ p: { driver: serial, path: /dev/x, framing: dlms, key: { file: ${TIROL_KEY} } } }`,
    `{ p: { driver: serial, path: /dev/x, framing: dlms, key: { file: [${TIROL_KEY}] } } }`,
    `{ p: { driver: serial, path: /dev/x, framing: dlms, key: "${TIROL_KEY}", authentication_key: [${TIROL_KEY}] } }`,
    `{ p: [{ driver: serial, path: /dev/x, framing: dlms, key: ${TIROL_KEY} }] }`,
    `[{ driver: serial, path: /dev/x, framing: dlms, key: ${TIROL_KEY} }]`,
  ])('never stand in a problem of the configuration: ports: %s', (ports) => {
    const loaded = JSON.stringify(loadConfigText(`ports: ${ports}`, '/x.yaml', { drivers: [serial] }));
    expect(loaded).toContain('"severity":"error"');
    expect(loaded).not.toContain(TIROL_KEY.slice(4));
  });

  it('may stand in a file of their own', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dcs-io-key-'));
    const file = join(folder, 'meter.key');
    writeFileSync(file, `${TIROL_KEY}\n`);
    expect(readKeys({ file })?.encryption).toEqual(bytes(TIROL_KEY));
    writeFileSync(file, 'no key');
    expect(() => readKeys({ file })).toThrow('holds no key');
    rmSync(folder, { recursive: true });
    expect(() => readKeys({ file })).toThrow('the key cannot be read');
  });
});

describe('a port with telegrams that cannot be read', () => {
  /** The readings of a pin after each telegram, and what was logged. */
  async function told(options: object, telegrams: readonly Buffer[]) {
    const parsed = serial.options.parse({ path: 'x', framing: 'dlms', ...options });
    const address = serial.pin.parse({ match: '\\n1-0:1\\.7\\.0\\((\\d+)\\*W\\)' });
    const channel = { key: 'power', kind: 'analog', direction: 'in', address, debounceMs: 0 } as const;
    const { changed, listen } = recordReadings();
    const log = memoryLog();
    const keys = readKeys(parsed.key, parsed.authentication_key);
    const context = { clock: new ManualClock(), log, changed, count() {}, down() {} };
    const port = new SerialPort(parsed, 'x', [channel], context, keys);
    await port.begin({ async send() {}, async close() {} });
    const seen: unknown[] = [];
    listen(channel, (reading) => seen.push(reading.ok ? reading.value : reading.error.code));
    const after = telegrams.map((telegram) => {
      port.events.data(telegram);
      return seen.at(-1);
    });
    await port.close();
    return { after, logged: JSON.stringify(log) };
  }

  const good = ciphered(dsmr(), LUX_KEY);
  const damaged = Buffer.from(good);
  damaged[60] = (damaged[60] ?? 0) ^ 1;

  it('keeps its values over one or two, is bad from the third on, and good with the next that is right', async () => {
    const { after, logged } = await told({ key: LUX_KEY }, [
      good,
      damaged,
      damaged,
      good,
      damaged,
      damaged,
      damaged,
      good,
    ]);
    expect(after).toEqual([286, 286, 286, 286, 286, 286, 'BAD_REPLY', 286]);
    expect(logged).not.toContain(LUX_KEY);
  });

  it('is bad at once when the key is missing', async () => {
    expect((await told({}, [good])).after).toEqual(['BAD_CONFIG']);
  });
});
